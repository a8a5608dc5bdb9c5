"""`xx build --check` and `--call`: what the build checks find, shown with the lines it is about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from xxpy.build.checking import Checked
from xxpy.build.dockerfile.checks import Finding
from xxpy.build.naming import harmless
from xxpy.build.outputs import BOOLEANS
from xxpy.errors import UsageError

_META = "xxpy.check."
_RULE = "-" * 20
_AROUND = 2
_METHODS = {"build": "build", "check": "check", "lint": "check", "outline": "outline", "targets": "targets"}
_SWITCH = {**BOOLEANS, "": True}


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"{_META}{parameter.name}"] = value


@dataclass(frozen=True)
class Call:
    """What is to be done in place of building: a method, how it is shown, and whether findings are no failure."""

    method: str
    json: bool = False
    ignore_status: bool = False


def check_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the flags ``--check`` and ``--call``."""
    for option in (
        click.option(
            "--call", metavar="build|check|outline|targets[,format=json]", default="build", expose_value=False,
            callback=_keep, help="What to do with the Dockerfile.",
        ),
        click.option(
            "--check", is_flag=True, expose_value=False, callback=_keep, help="Check the Dockerfile, build nothing."
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def wanted_call() -> Call | None:
    """What the command that runs is to do in place of building; None if it is to build.

    Raises UsageError (``bad-call``).
    """
    meta = click.get_current_context().meta
    text = meta[f"{_META}call"]
    method, *rest = text.split(",")
    given = dict(each.partition("=")[::2] for each in rest)
    form, ignored = given.pop("format", "text"), given.pop("ignorestatus", "false").lower()
    if method not in _METHODS or given or form not in ("text", "json") or ignored not in _SWITCH:
        raise UsageError(
            f"--call={text[:60]} is not known",
            remedy="it takes build, check, outline and targets; format=json, and ignorestatus=true for check",
            reason="bad-call",
        )
    method = "check" if meta[f"{_META}check"] else _METHODS[method]
    return Call(method, form == "json", _SWITCH[ignored]) if method != "build" else None


def show_checks(checked: Checked, *, as_json: bool) -> None:
    """Print what was found on stdout."""
    if as_json:
        click.echo(
            json.dumps({"warnings": [_as_json(finding, checked.place) for finding in checked.findings]}, indent=2)
        )
        return
    count = len(checked.findings)
    if not count:
        click.echo("Check complete, no warnings found.")
        return
    click.echo(f"Check complete, {'1 warning has' if count == 1 else f'{count} warnings have'} been found!")
    for finding in checked.findings:
        click.echo("\n" + "\n".join(_lines(finding, checked)))


def one_line(checked: Checked) -> str:
    """What a build says of them at its end; empty if nothing was found."""
    count = len(checked.findings)
    if not count:
        return ""
    rules = ", ".join(dict.fromkeys(f"{each.rule} (line {each.start})" for each in checked.findings[:3]))
    more = ", …" if count > 3 else ""
    return f"{count} warning{'s' * (count > 1)} found (xx build --check shows more): {rules}{more}"


def _lines(finding: Finding, checked: Checked) -> Iterator[str]:
    yield f"{'ERROR' if finding.error else 'WARNING'}: {finding.rule} - {harmless(finding.text)}"
    yield f"{checked.place}:{finding.start}"
    yield _RULE
    source = checked.text.split("\n")
    around = _AROUND if finding.start == finding.end else 1
    last = len(source) - (source[-1] == "")
    for number in range(max(1, finding.start - around), min(last, finding.end + around) + 1):
        mark = ">>>" if finding.start <= number <= finding.end else "   "
        yield f"{number:4} | {mark} {harmless(source[number - 1])}".rstrip()
    yield _RULE


def _as_json(finding: Finding, place: str) -> dict[str, object]:
    """Names as BuildKit has them in what ``--call=check,format=json`` prints."""
    lines = {"start": {"line": finding.start}, "end": {"line": finding.end}}
    return {
        "ruleName": finding.rule,
        "detail": finding.text,
        "level": "error" if finding.error else "warning",
        "location": {"file": place, "ranges": [lines]},
    }
