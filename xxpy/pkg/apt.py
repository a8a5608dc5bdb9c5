"""apt and apt-get for a target: which words are packages, what they are called for its architecture, what must be
done before. The commands are computed as values; `xxpy.cli.xx_apt` runs them.

Sources: apt-get(8), apt-cache(8) and Debian's wiki on multiarch.
"""

from __future__ import annotations

import os

from xxpy.errors import HostError, UsageError
from xxpy.info.words import command_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Ask = Callable[[Sequence[str]], str]

PACKAGE_COMMANDS = frozenset(
    {
        "install", "reinstall", "remove", "purge", "autoremove", "build-dep", "satisfy", "download", "changelog",
        "show", "info", "list", "policy", "depends", "rdepends",
    }
)  # fmt: skip
"""Commands of apt and apt-get whose words are packages that a target has of its own."""
LIST_COMMANDS = PACKAGE_COMMANDS - {"remove", "purge", "autoremove", "list", "changelog", "satisfy"}
"""Those that need the target's package lists."""

META = {"xx-c-essentials": ("gcc",), "xx-cxx-essentials": ("gcc", "g++")}
"""What stands for "all that a cross-compiler needs", and the compilers whose libraries that is."""

# Options whose value is a word of its own (apt-get(8), OPTIONS).
_WITH_VALUE = frozenset(
    {
        "-t",
        "--target-release",
        "--default-release",
        "-o",
        "--option",
        "-c",
        "--config-file",
        "-a",
        "--host-architecture",
    }
)
# Patterns, compiled where they are needed: most calls need none, and the module re is half their time.
_LIBRARIES = r"libc[0-9.]+-dev|libgcc-[0-9.]+-dev|libstdc\+\+-[0-9.]+-dev"
_COMPILER = r"(gcc|g\+\+)(-[0-9.]+)?(-[a-z0-9_-]+)?"


def split_command(args: Sequence[str]) -> tuple[int, str]:
    """The index and the name of apt's command among ``args``; (-1, "") if there is none, as with ``--version``."""
    at = command_at(args, _WITH_VALUE)
    return at, args[at] if at >= 0 else ""


def package_words(args: Sequence[str], start: int) -> list[int]:
    """The indexes of the words after ``start`` that are packages: neither options, their values, nor files."""
    found: list[int] = []
    skip = options_ended = False
    for index in range(start + 1, len(args)):
        word = args[index]
        if skip:
            skip = False
        elif word == "--" and not options_ended:
            options_ended = True
        elif word in _WITH_VALUE and not options_ended:
            skip = True
        elif (options_ended or not word.startswith("-")) and not _is_file(word):
            found.append(index)
    return found


def _is_file(word: str) -> bool:
    return word.startswith(("/", "./", "../")) or (word.endswith(".deb") and os.path.exists(word))


def bare(word: str) -> str:
    """``gcc`` of ``gcc=4:12`` and ``gcc/sid``."""
    return word.partition("=")[0].partition("/")[0]


def for_architecture(word: str, arch: str) -> str:
    """``libssl-dev=3.0`` as ``libssl-dev:arm64=3.0``; a word that names an architecture or a pattern stays as it is.

    A ``-`` at the end (remove it) stays at the end.
    """
    if _has_architecture(word):
        return word
    name = bare(word)
    rest = word[len(name) :]
    if name.endswith("-"):
        return f"{name[:-1]}:{arch}-{rest}"
    return f"{name}:{arch}{rest}"


def libraries_of(compilers: Sequence[str], arch: str, native: bool, ask: Ask) -> list[str]:
    """The C (and C++) library packages that the distribution's own compiler of ``arch`` builds with.

    Asks apt what the compilers depend on and recommend, and follows them from one compiler's package to the next, so
    that no version of GCC is known here. Raises HostError (``essentials-unknown``).
    """
    import re

    suffix = "" if native else f":{arch}"
    roots = [f"{compiler}{suffix}" for compiler in compilers]
    wants = _relations(ask([*_DEPENDS, *roots]))
    found: list[str] = []
    todo, seen = list(compilers), set[str]()
    while todo:
        package = todo.pop(0)
        if package in seen:
            continue
        seen.add(package)
        for name in wants.get(package, ()):
            if re.fullmatch(_LIBRARIES, name):
                found += [name] if name not in found else []
            elif re.fullmatch(_COMPILER, name):
                todo.append(name)
    for prefix in ("libc", "libgcc", *(["libstdc++"] if "g++" in compilers else [])):
        if not any(name.startswith(prefix) for name in found):
            raise HostError(
                f"apt knows no {prefix}*-dev for {arch}",
                remedy="does this stage's /etc/apt/sources.list name a suite that has that architecture?",
                reason="essentials-unknown",
            )
    return [f"{name}{suffix}" for name in found]


_DEPENDS = (
    "apt-cache", "depends", "--recurse", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces",
    "--no-enhances",
)  # fmt: skip


def _relations(text: str) -> dict[str, list[str]]:
    """What each package of ``apt-cache depends`` depends on or recommends, without architectures and virtual ones."""
    found: dict[str, list[str]] = {}
    package = ""
    for line in text.splitlines():
        if line and not line[0].isspace() and line[0] != "|":
            package = line.strip().partition(":")[0]
            continue
        kind, colon, name = line.strip().lstrip("|").partition(":")
        name = name.strip()
        if colon and kind in ("Depends", "PreDepends", "Recommends") and not name.startswith("<"):
            found.setdefault(package, []).append(name.partition(":")[0])
    return found


def expand(
    args: Sequence[str], arch: str, native: bool, ask: Ask, cross: Callable[[Sequence[str]], Mapping[str, str]]
) -> list[str]:
    """``args`` with the packages of ``arch`` in place of the names given. Raises HostError, UsageError.

    ``cross`` says of names which packages of this machine make code for the target and are meant by them.
    """
    at, command = split_command(args)
    if command not in PACKAGE_COMMANDS:
        return list(args)
    words = package_words(args, at)
    plain = [args[index] for index in words if args[index] not in META and not _has_architecture(args[index])]
    meant = cross(plain) if plain and not native else {}
    made = []
    for index, word in enumerate(args):
        if index not in words:
            made.append(word)
        elif word in META:
            if command not in LIST_COMMANDS:
                raise UsageError(
                    f"{word} stands for packages to install, not to {command}",
                    remedy=f"name the packages, as libc6-dev:{arch}",
                    reason="meta-not-installed",
                )
            made += libraries_of(META[word], arch, native, ask)
        elif native or word in meant:
            made.append(meant.get(word, word))
        else:
            made.append(for_architecture(word, arch))
    return made


def _has_architecture(word: str) -> bool:
    # A version may have a colon as well: gcc=4:12.
    return ":" in bare(word) or word.startswith(("?", "~", "^"))


def waiting(args: Sequence[str]) -> list[str]:
    """``args`` with the request to wait for another dpkg, up to two minutes, rather than to fail at once."""
    return ["-o", "DPkg::Lock::Timeout=120", *args]
