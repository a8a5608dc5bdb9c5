"""`xx build --call=outline` and `--call=targets`: what a Dockerfile offers to whoever builds it, as text or JSON.

Source: docker buildx build's reference, "--call", for the tables; BuildKit's subrequests for the names in JSON.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from xxpy.build.dockerfile.instructions import Range
from xxpy.build.dockerfile.outline import Credential, Outline, Target
from xxpy.build.naming import harmless
from xxpy.build.tables import table, width_of


def show_targets(targets: Sequence[Target], text: str, *, as_json: bool) -> None:
    """Print the targets of a Dockerfile, whose text is ``text``, on stdout."""
    if as_json:
        _print_json({"targets": [_target_as_json(target) for target in targets]}, text)
        return
    rows = [(f"{_name(each)}{' (default)' * each.default}", each.description) for each in targets]
    _print_table([("TARGET", "DESCRIPTION"), *rows], 1)


def _name(target: Target) -> str:
    """What --target takes for it."""
    return target.name or str(target.index)


def _target_as_json(target: Target) -> dict[str, Any]:
    return _without_empty(
        name=target.name,
        default=target.default,
        description=target.description,
        base=target.base,
        platform=target.platform,
        location=_location(target.range),
    )


def show_outline(outline: Outline, text: str, *, as_json: bool) -> None:
    """Print the outline of a target of a Dockerfile, whose text is ``text``, on stdout."""
    target = outline.target
    if as_json:
        arguments = [
            {"name": each.name, **_without_empty(description=each.description, value=each.value)}
            | {"location": _location(each.range)}
            for each in outline.arguments
        ]
        secrets, agents = (_credentials_as_json(each) for each in (outline.secrets, outline.agents))
        said = _without_empty(name=target.name, description=target.description, args=arguments)
        _print_json(said | _without_empty(secrets=secrets, ssh=agents), text)
        return
    described = [("DESCRIPTION:", target.description)] if target.description else []
    _print_table([("TARGET:", target.name or "(default)" * target.default or str(target.index)), *described], 1)
    if outline.arguments:
        rows = [(each.name, each.value, each.description) for each in outline.arguments]
        click.echo()
        _print_table([("BUILD ARG", "VALUE", "DESCRIPTION"), *rows], 3)
    for title, found in (("SECRET", outline.secrets), ("SSH", outline.agents)):
        if found:
            click.echo()
            _print_table([(title, "REQUIRED"), *((each.name, "true" * each.required) for each in found)], 3)


def _credentials_as_json(found: Iterable[Credential]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, **_without_empty(required=each.required), "location": _location(each.range)}
        for each in found
    ]


def _location(lines: Range) -> dict[str, Any]:
    return {"ranges": [{"start": {"line": lines.start}, "end": {"line": lines.end}}]}


def _without_empty(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _print_json(value: dict[str, Any], text: str) -> None:
    click.echo(json.dumps({**value, "sources": [base64.b64encode(text.encode()).decode()]}, indent=2))


def _print_table(rows: Sequence[Sequence[str]], gap: int) -> None:
    """Columns as wide as what is in them, with ``gap`` spaces between."""
    clean = [[harmless(cell).replace("\n", " ") for cell in row] for row in rows]
    click.echo(table(clean, gap=gap, width=width_of(sys.stdout)))
