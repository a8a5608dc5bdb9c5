"""What package managers' command lines have in common: names that stand for packages."""

from __future__ import annotations

from xxpy.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def expand_meta(
    args: Sequence[str], meta: Mapping[str, Sequence[str]], command: str, installing: Collection[str]
) -> list[str]:
    """``args`` with the packages that names of ``meta`` stand for, each once.

    Raises UsageError (``meta-not-installed``) where ``command`` is not of ``installing``.
    """
    made: list[str] = []
    for arg in args:
        if arg not in meta:
            made.append(arg)
        elif command not in installing:
            raise UsageError(
                f"{arg} stands for packages to install, not to {command or 'be given alone'}",
                remedy=f"name the packages: {' '.join(meta[arg])}",
                reason="meta-not-installed",
            )
        else:
            made += [name for name in meta[arg] if name not in made]
    return made
