"""apk for a target: a second root ``/<triple>`` beside the stage's own, as Alpine has no two architectures in one.

The plan is computed as values; `xxpy.cli.xx_apk` carries it out. Sources: apk(8), apk-repositories(5), apk-world(5);
Alpine's release notes for 3.20 and 3.21.
"""

from __future__ import annotations

import re

from xxpy.info.words import command_of as command_of_line
from xxpy.pkg import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xxpy.platforms import Platform

KEEP_VARIABLE = "XX_APK_KEEP_BINARIES"
"""Any text: programs of the second root are left there, though this machine cannot run them."""

META: Mapping[str, tuple[str, ...]] = {
    "xx-c-essentials": ("musl-dev", "gcc"),
    "xx-cxx-essentials": ("musl-dev", "g++"),
}
"""gcc has the runtime (libgcc, crtbegin.o) that clang links as well."""

SINCE: Mapping[str, tuple[int, int]] = {"riscv64": (3, 20), "loong64": (3, 21)}
"""The first release that has the architecture (Alpine's release notes)."""
NEVER = ("mips", "mipsle", "mips64", "mips64le")

_CHANGING = frozenset({"add", "del", "fix", "upgrade", "update"})
_WITH_VALUE = frozenset({
    "-t", "--virtual", "-X", "--repository", "-p", "--root", "--arch", "--cache-dir", "--cache-max-age", "--keys-dir",
    "--progress-fd", "--repositories-file", "--wait", "--timeout", "--cache-packages",
})  # fmt: skip


def command_of(args: Sequence[str]) -> str:
    """apk's command among ``args``: ``add``; empty if there is none."""
    return command_of_line(args, _WITH_VALUE)


def expand(args: Sequence[str]) -> list[str]:
    """``args`` with the packages that meta-names stand for, each once. Raises UsageError (``meta-not-installed``)."""
    return words.expand_meta(args, META, command_of(args), ("add", "fetch"))


def command_line(args: Sequence[str], root: str, cross: bool) -> list[str]:
    """apk's whole command line. Scripts of the target's packages are not run: their programs do not run here."""
    if not cross:
        return ["apk", *expand(args)]
    scripts = ["--no-scripts"] if command_of(args) in _CHANGING - {"update"} else []
    return ["apk", "--root", root, *scripts, *expand(args)]


def repositories(text: str, platform: Platform, version: str) -> str:
    """The second root's repositories: the stage's, of a later release where theirs lacks the architecture.

    ``version`` is the stage's VERSION_ID, as ``3.19.1``. Branches such as ``edge`` stay.
    """
    since = SINCE.get(platform.arch)
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if since is None or len(numbers) < 2 or numbers >= since:
        return text
    return re.sub(r"/v\d+\.\d+(/|$)", f"/v{since[0]}.{since[1]}\\1", text, flags=re.MULTILINE)


def linked_packages(args: Sequence[str]) -> list[str]:
    """The packages among ``args`` whose files the stage's own clang or rustc looks for in its own root."""
    if command_of(args) != "add":
        return []
    names = [re.split("[=<>~@]", arg, maxsplit=1)[0] for arg in args]
    return [name for name in names if name in ("compiler-rt", "compiler-rt-static", "rust-stdlib")]
