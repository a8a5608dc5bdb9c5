"""Switches with a value, as docker's command line takes them: ``--pull=true``, ``--rm=false``."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import click

from xxpy.build.outputs import BOOLEANS
from xxpy.errors import UsageError


class SwitchCommand(click.Command):
    """A command whose switches may have a value; of several of one name the last counts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`. Raises UsageError (``bad-switch``)."""
        options = [each for each in self.params if isinstance(each, click.Option)]
        names = {name for each in options if each.is_flag for name in each.opts if name.startswith("--")}
        try:
            args = plain(args, names)
        except UsageError as error:
            error.place = ctx.command_path
            raise
        return super().parse_args(ctx, args)


def plain(args: Sequence[str], names: Collection[str]) -> list[str]:
    """``args`` with the switches ``names`` alone where they are on, and without them where they are off.

    Raises UsageError for a value that is neither (``bad-switch``).
    """
    found: list[str] = []
    flags = list(itertools.takewhile(lambda each: each != "--", args))
    for arg in flags:
        name, equals, value = arg.partition("=")
        if name not in names or not equals:
            found.append(arg)
            continue
        on = BOOLEANS.get(value.lower())
        if on is None:
            raise UsageError(
                f"{arg} is neither true nor false", remedy=f"write {name} or {name}=false", reason="bad-switch"
            )
        if on:
            found.append(name)
        else:
            found = [each for each in found if each != name]
    return [*found, *args[len(flags) :]]
