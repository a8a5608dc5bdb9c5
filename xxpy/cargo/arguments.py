"""cargo's command line: which of it is the subcommand, and where ``--target`` belongs."""

from __future__ import annotations

from xxpy.info.words import command_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Subcommands that build nothing and take no --target (cargo help). All others, those of plug-ins too, are given it.
_WITHOUT_TARGET = frozenset({
    "add", "config", "fmt", "generate-lockfile", "help", "info", "init", "locate-project", "login", "logout",
    "metadata", "new", "owner", "pkgid", "read-manifest", "remove", "report", "rm", "search", "uninstall", "update",
    "verify-project", "version", "yank",
})  # fmt: skip
# Options before the subcommand whose value is a word of its own.
_WITH_VALUE = frozenset({"--color", "--config", "-C", "-Z", "--explain"})


def toolchain_of(args: Sequence[str]) -> str:
    """``nightly`` of a leading ``+nightly``; or empty."""
    return args[0][1:] if args and args[0].startswith("+") else ""


def subcommand_of(args: Sequence[str]) -> str:
    """``build``; empty where there is none, as with ``--version``."""
    return command_of(args[1:] if toolchain_of(args) else args, _WITH_VALUE)


def given_target(args: Sequence[str]) -> str:
    """The value of the user's own ``--target``; or empty. What follows ``--`` is not cargo's."""
    own = args[: args.index("--")] if "--" in args else args
    for index, arg in enumerate(own):
        if arg.startswith("--target="):
            return arg[len("--target=") :]
        if arg == "--target" and index + 1 < len(own):
            return own[index + 1]
    return ""


def with_target(args: Sequence[str], triple: str) -> list[str]:
    """``args`` with ``--target=triple`` at the end of cargo's own options: before a ``--``, never after it."""
    command = subcommand_of(args)
    if not command or command in _WITHOUT_TARGET or given_target(args) or "--help" in args or "-h" in args:
        return list(args)
    at = args.index("--") if "--" in args else len(args)
    return [*args[:at], f"--target={triple}", *args[at:]]
