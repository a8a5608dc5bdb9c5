"""Command lines of other programs: where their subcommand is."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def command_at(args: Sequence[str], with_value: Collection[str]) -> int:
    """The index of the first word that is neither an option nor the value of one of ``with_value``; -1 without one."""
    skip = False
    for index, arg in enumerate(args):
        if skip:
            skip = False
        elif arg in with_value:
            skip = True
        elif not arg.startswith("-"):
            return index
    return -1


def command_of(args: Sequence[str], with_value: Collection[str]) -> str:
    """That word: ``install``; or empty."""
    at = command_at(args, with_value)
    return args[at] if at >= 0 else ""
