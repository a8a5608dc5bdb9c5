"""`xx doctor`: what this machine has of what a build needs, and the command that mends each lack."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from xxpy.build.probes import Probe, State, all_probes, works
from xxpy.build.tables import has_styles
from xxpy.cli.shared import default_store, told
from xxpy.cli.tables import beside
from xxpy.errors import HostError
from xxpy.platforms import QEMU, Platform, parse_list, qemu_arch, runs_natively

_DEFAULT_PLATFORMS = "linux/amd64,linux/arm64"
_STYLES = {State.OK: "green", State.WARN: "yellow", State.MISSING: "red"}


@click.command("doctor")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH[,…]",
    default=_DEFAULT_PLATFORMS,
    show_default=True,
    help="Platforms whose programs a build must be able to run. Lacks of others are only told.",
)
@click.option(
    "--store", type=click.Path(path_type=Path), default=None, help="The store's folder.  [default: as xx build]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def doctor_command(platforms: str, store: Path | None, as_json: bool) -> None:
    """Look at this machine: is everything there that xx build needs?

    Under each problem stands the command that mends it. The exit code is 0 when a build would work and 4 when not.
    """
    with told():
        wanted = architectures(parse_list(platforms))
    host = Platform.host()
    others = [
        name for arch, name in QEMU.items() if name not in wanted and not runs_natively(Platform("linux", arch), host)
    ]
    probes = all_probes(store or default_store(), wanted, others)
    if as_json:
        click.echo(json.dumps({"works": works(probes), "probes": [as_object(probe) for probe in probes]}, indent=2))
    else:
        click.echo("\n".join(lines_of(probes)))
    raise SystemExit(0 if works(probes) else HostError.exit_code)


def architectures(platforms: Iterable[Platform]) -> list[str]:
    """QEMU's names of the architectures of ``platforms`` that this machine does not run itself.

    Only Linux programs are ever run; an image for another system is made of files alone.
    """
    host = Platform.host()
    foreign = (one for one in platforms if one.os == "linux" and not runs_natively(one, host))
    return list(dict.fromkeys(qemu_arch(one) for one in foreign))


def as_object(probe: Probe) -> dict[str, str]:
    """A probe for programs: name, state (``ok``, ``warning``, ``missing``), found, remedy."""
    return {"name": probe.name, "state": probe.state.value, "found": probe.found, "remedy": probe.remedy}


def _styled(text: str, **style: Any) -> str:
    return click.style(text, **style) if has_styles(sys.stdout) else text


def lines_of(probes: Sequence[Probe]) -> list[str]:
    """The aligned list: state, name, what was found; the remedy on a line of its own; a last line that sums it up."""
    width = max(len(probe.name) for probe in probes)
    lines = []
    for probe in probes:
        state = _styled(f"{probe.state.value:<7}", fg=_STYLES[probe.state])
        head = f"{probe.state.value:<7}  {probe.name:<{width}}  "
        lines.append(state + beside(head, probe.found)[len(probe.state.value.ljust(7)) :])
        if probe.remedy:
            lines.append(f"{'':7}  {'':{width}}  {_styled('-> ' + probe.remedy, bold=True)}")
    missing = sum(probe.state is State.MISSING for probe in probes)
    lines += ["", f"A build would not work here: {missing} missing." if missing else "A build would work here."]
    return lines
