"""Flags of ``docker buildx build`` that `xx build` does not serve: each is refused by name, with what to do instead.

Attestations may be turned off by name, as scripts do for other builders' sake: there are none here.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import click

from xxpy.cli.shared import told
from xxpy.errors import UsageError

_OFF = ("false", "0", "f")
_NO_ATTESTATIONS = "leave the flag out: no attestation is made"

_LIMIT = "limit xx itself: systemd-run --user --scope -p MemoryMax=2g -p CPUQuota=50% xx build …"

_REFUSED = {
    "--cgroup-parent": "leave the flag out, or start xx itself in that cgroup: systemd-run --user --scope xx build …",
    "--policy": "leave the flag out: pin what the Dockerfile takes by digest, checksum or commit",
    "--resource": _LIMIT,
    "--memory": _LIMIT,
    "--memory-swap": _LIMIT,
    "--cpu-shares": _LIMIT,
    "--cpu-period": _LIMIT,
    "--cpu-quota": _LIMIT,
    "--cpuset-cpus": _LIMIT,
    "--cpuset-mems": _LIMIT,
    "--security-opt": "allow it to the RUNs that have --security=insecure: --allow security.insecure",
    "--isolation": "leave the flag out: it is of Windows",
    "--squash": "copy the files into one layer: FROM scratch, COPY --from=STAGE / /",
}
_SHORT = {"--memory": "-m", "--cpu-shares": "-c"}
_SWITCHES = ("--squash",)
_HELP = {
    "--cgroup-parent": "Not served.",
    "--policy": "Not served.",
    "--resource": "Not served: set limits for xx itself.",
}
"""The others are left out of the help, as buildx does."""
_TAKEN = ("--compress", "--force-rm", "--rm")
"""Of the builder before BuildKit; they never meant anything to buildx, and mean nothing here."""


def refused_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these flags; their values never reach it."""
    for name in reversed(_REFUSED):
        switch = name in _SWITCHES
        how: dict[str, Any] = {"is_flag": True} if switch else {"metavar": "VALUE", "multiple": True}
        how |= {"help": _HELP[name]} if name in _HELP else {"hidden": True}
        names = [each for each in (_SHORT.get(name), name) if each]
        command = click.option(*names, expose_value=False, callback=_refuse, **how)(command)
    for name in _TAKEN:
        command = click.option(name, is_flag=True, hidden=True, expose_value=False)(command)
    for name in ("--sbom", "--provenance"):
        shown = f"{name[2:].upper() if name == '--sbom' else 'Provenance'}: only false is served."
        command = click.option(name, expose_value=False, metavar="false", callback=_refuse_unless_off, help=shown)(
            command
        )
    shown = "Attestations: only disabled ones are served."
    option = click.option(
        "--attest",
        expose_value=False,
        metavar="type=…,disabled=true",
        multiple=True,
        callback=_refuse_attestations,
        help=shown,
    )
    return option(command)


def _refuse(_context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if not value:
        return
    name = parameter.opts[-1]
    with told():
        raise UsageError(f"{name} is not supported", remedy=_REFUSED[name], reason="flag-unsupported")


def _refuse_unless_off(_context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None or value.lower() in _OFF:
        return
    name = parameter.opts[0]
    with told():
        raise UsageError(f"{name}={value} is not supported", remedy=_NO_ATTESTATIONS, reason="flag-unsupported")


def _refuse_attestations(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> None:
    for text in value:
        fields = dict(each.partition("=")[::2] for each in next(csv.reader([text]), []))
        if fields.get("disabled", "").lower() not in ("true", "1", "t"):
            with told():
                raise UsageError(
                    f"--attest {text} is not supported", remedy=_NO_ATTESTATIONS, reason="flag-unsupported"
                )
