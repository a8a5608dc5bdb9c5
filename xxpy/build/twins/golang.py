"""Go: the compiler, assembler and linker are the same program for every target, which GOARCH tells them.

The go command stays emulated: it asks itself which machine it is on. It hands GOOS, GOARCH and the like to the tools
that it starts, so a tool that has them does what its like would.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from xxpy.build.engine.rooted import inside, read_inside
from xxpy.build.twins.find import TWIN, Roots, build_time
from xxpy.build.twins.manager import Manager
from xxpy.build.twins.table import Entry, Guard, Kind
from xxpy.errors import XxError

_TOOLS = ("asm", "buildid", "cgo", "compile", "cover", "link", "pack", "preprofile", "vet")
_PACKAGE = re.compile(r"golang-([0-9.]+)-go")
_ALPINES = "/usr/lib/go"
"""Where Alpine's package ``go`` has it."""
_OWN = "/usr/local/go"
"""Where the archives of go.dev, and so the golang images, have it."""
_MOST_VERSION = 4096


@dataclass(frozen=True)
class _Tree:
    """A GOROOT; ``there`` is whether the emulated root had it before the step."""

    path: str
    there: bool


def find_go(roots: Roots) -> Iterator[Entry]:
    """The entries of Go's tools. Raises OSError."""
    if roots.loader is None:
        return
    for tree in _trees(roots):
        for tool in (each for each in _TOOLS if each != "link" or _one_loader(roots)):
            path = f"{tree.path}/pkg/tool/linux_{roots.host.arch}/{tool}"
            emulated = f"{tree.path}/pkg/tool/linux_{roots.target.arch}/{tool}"
            program = roots.program(path)
            if program is not None and program.path == path:
                built = build_time(roots, path, emulated, there=tree.there)
                made = program.entry(roots.twin, TWIN, roots.loader, emulated, built)
                yield replace(made, guards=(*made.guards, *_told(roots.target.arch)))


def _one_loader(roots: Roots) -> bool:
    """Whether the linker need not choose what a program's loader is.

    Where musl's and glibc's are both there (gcompat), it takes the one that it was built with, if it links for the
    machine that it runs on, else the one that it finds first.
    """
    return roots.manager is not Manager.APK or not any(
        name.startswith("ld-linux")
        for root in (roots.twin, roots.before)
        for folder in ("/lib", "/lib64")
        for name in _names(root, folder)
    )


def _names(root: Path, folder: str) -> list[str]:
    try:
        return os.listdir(inside(root, folder))
    except (OSError, XxError):
        return []


def _told(arch: str) -> tuple[Guard, ...]:
    return tuple(Guard(Kind.HAS_VARIABLE, each) for each in ("GOOS=linux", f"GOARCH={arch}"))


def _trees(roots: Roots) -> Iterator[_Tree]:
    for package in roots.packages.versions:
        if (match := _PACKAGE.fullmatch(package)) and roots.may_stand_in(package):
            yield _Tree(f"/usr/lib/go-{match[1]}", package in roots.packages_before.versions)
        if roots.manager is Manager.APK and package == "go" and roots.may_stand_in(package):
            yield _Tree(_ALPINES, package in roots.packages_before.versions)
    versions = [read_inside(root, f"{_OWN}/VERSION", _MOST_VERSION) for root in (roots.twin, roots.before)]
    if versions[0] and versions[0] == versions[1]:
        yield _Tree(_OWN, there=True)
