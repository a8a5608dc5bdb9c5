"""Packages that must have one version in all architectures, and do not: told before apt fails without saying so.

``Multi-Arch: same`` packages of two architectures are installed together only in the same version (deb-control(5);
Debian's Multiarch specification). A mirror that has built a package for one architecture and not yet for the other
makes every package that depends on it uninstallable.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Ask = Callable[[Sequence[str]], str]


class Skew:
    """A package in two versions: the one installed here or to come, and the one there is for the target."""

    __slots__ = ("name", "native", "offered", "target")

    def __init__(self, name: str, native: str, target: str, offered: bool) -> None:
        self.name = name
        self.native = native
        self.target = target
        self.offered = offered
        """Whether apt has the target's version for this machine too."""


def find_skews(packages: Sequence[str], arch: str, ask: Ask) -> list[Skew]:
    """The skews among what ``packages`` (of Debian's ``arch``) depend on and what is installed here.

    Nothing where a package is not known: apt says that itself.
    """
    names = sorted(_needed(packages, arch, ask))
    if not names:
        return []
    versions = _candidates(ask(["apt-cache", "policy", *names, *(f"{name}:{arch}" for name in names)]))
    found = []
    for name in names:
        here, there = versions.get(name), versions.get(f"{name}:{arch}")
        if here and there and "(none)" not in (here[0], there[0]) and here[0] != there[0]:
            found.append(Skew(name, here[0], there[0], there[0] in here[1]))
    # Asked last: mostly there is nothing to ask about.
    installed = _installed_in_step(ask) if found else set()
    return [each for each in found if each.name in installed]


def _installed_in_step(ask: Ask) -> set[str]:
    """The installed packages of which another architecture's has to be of the same version."""
    rows = (line.partition(" ") for line in ask(["dpkg-query", "-W", "-f", "${Package} ${Multi-Arch}\n"]).splitlines())
    return {name for name, _, kind in rows if kind == "same"}


def _needed(packages: Sequence[str], arch: str, ask: Ask) -> set[str]:
    from xxpy.errors import HostError

    argv = ["apt-cache", "depends", "--recurse", "--important", "--no-breaks", "--no-conflicts", "--no-replaces"]
    try:
        text = ask([*argv, *packages])
    except HostError:
        return set()
    lines = [line for line in text.splitlines() if line and not line[0].isspace()]
    return {line.removesuffix(f":{arch}") for line in lines if line.endswith(f":{arch}")}


def _candidates(text: str) -> dict[str, tuple[str, set[str]]]:
    """The candidate of each package of ``apt-cache policy``, and all versions that a source offers."""
    found: dict[str, tuple[str, set[str]]] = {}
    name = ""
    for line in text.splitlines():
        words = line.split()
        if line and not line[0].isspace():
            name = line.rstrip(":")
        elif words[:1] == ["Candidate:"]:
            found[name] = (words[1], set())
        elif name in found and len(words) in (2, 3) and words[-1].lstrip("-").isdigit() and "Pin:" not in words:
            found[name][1].add(words[-2])
    return found


def worded(skews: Sequence[Skew], arch: str) -> list[str]:
    """One line for each skew, and the command that mends those that can be mended."""
    lines = [
        f"{skew.name} is {skew.native} here and {skew.target} for {arch}, and must be the same in both"
        for skew in skews
    ]
    if back := [f"{skew.name}={skew.target}" for skew in skews if skew.offered]:
        lines.append(
            f"RUN apt-get install -y --allow-downgrades {' '.join(back)}, before this step, makes them the same"
        )
    if len(back) < len(skews):
        lines.append(f"this mirror lacks {arch} packages that it has for this machine: another mirror, or later")
    return lines
