"""Packages of this machine that make code for the target: ``gcc-aarch64-linux-gnu`` where a Dockerfile says gcc.

Which there are apt is asked, all in one call. Sources: Debian's CrossToolchains wiki page; the names of the packages of
gcc-defaults, binutils and mingw-w64.
"""

from __future__ import annotations

from xxpy.pkg.apt import bare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xxpy.platforms import Platform

    Ask = Callable[[Sequence[str]], str]

# What names of packages have besides letters and digits (deb-control(5)).
_NO_MARKS = str.maketrans("", "", "+.-")

PREFER_VARIABLE = "XX_APT_PREFER_CROSS"
"""Any text: ``libc6-dev-arm64-cross`` rather than ``libc6-dev:arm64``, where the former exists."""

MINGW = {"amd64": "mingw-w64-x86-64", "386": "mingw-w64-i686"}
"""What Debian's packages for Windows end with. For ARM it has none."""
MINGW_META = {"xx-c-essentials": ("gcc",), "xx-cxx-essentials": ("gcc", "g++")}
"""For Windows the C library and the compiler's runtime come with the compiler."""


def suffix_of(triple: str) -> str:
    """What cross packages of the triple end with: package names have no underscore."""
    return triple.replace("_", "-")


def cross_names(words: Sequence[str], suffix: str, arch: str, prefer: bool, ask: Ask) -> dict[str, str]:
    """For each word that has a cross package what to install instead. ``arch`` is Debian's name of the target's."""
    candidates: dict[str, list[str]] = {}
    for word in words:
        name = bare(word)
        plain = name.translate(_NO_MARKS)
        if name.endswith("-") or not (plain.isascii() and plain.isalnum() and name[0].isalnum()):
            continue
        candidates[word] = [f"{name}-{suffix}", *([f"{name}-{arch}-cross"] if prefer else [])]
    if not candidates:
        return {}
    known = available([name for names in candidates.values() for name in names], ask)
    made = {}
    for word, names in candidates.items():
        if found := next((name for name in names if name in known), ""):
            made[word] = found + word[len(bare(word)) :]
    return made


def available(names: Sequence[str], ask: Ask) -> set[str]:
    """Those of ``names`` that apt can install."""
    found, name = set(), ""
    for line in ask(["apt-cache", "policy", *dict.fromkeys(names)]).splitlines():
        if line and not line[0].isspace():
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and not line.endswith("(none)"):
            found.add(name)
    return found


def windows_names(words: Sequence[str], platform: Platform, ask: Ask) -> tuple[list[str], list[str]]:
    """The mingw-w64 packages for ``words``, and the words that have none."""
    suffix = MINGW.get(platform.arch)
    if suffix is None:
        return [], list(words)
    wanted = [name for word in words for name in MINGW_META.get(word, (word,))]
    made: Mapping[str, str] = cross_names(wanted, suffix, "", False, ask)
    return list(dict.fromkeys(made[word] for word in wanted if word in made)), [w for w in wanted if w not in made]
