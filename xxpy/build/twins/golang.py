"""Go: the compiler, assembler and linker are the same program for every target, which GOARCH tells them.

The go command stays emulated: it asks itself which machine it is on. It hands GOOS, GOARCH and the like to the tools
that it starts, so a tool that has them does what its like would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from xxpy.build.engine.rooted import read_inside
from xxpy.build.twins.find import TWIN, Roots, build_time, program_at
from xxpy.build.twins.table import Entry, Guard, Kind

_TOOLS = ("asm", "buildid", "cgo", "compile", "cover", "link", "pack", "preprofile", "vet")
_PACKAGE = re.compile(r"golang-([0-9.]+)-go")
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
        for tool in _TOOLS:
            path = f"{tree.path}/pkg/tool/linux_{roots.host.arch}/{tool}"
            emulated = f"{tree.path}/pkg/tool/linux_{roots.target.arch}/{tool}"
            program = program_at(roots.twin, path, roots.host)
            if program is not None and program.path == path:
                built = build_time(roots, path, emulated, there=tree.there)
                made = program.entry(roots.twin, TWIN, roots.loader, emulated, built)
                yield replace(made, guards=(*made.guards, *_told(roots.target.arch)))


def _told(arch: str) -> tuple[Guard, ...]:
    return tuple(Guard(Kind.HAS_VARIABLE, each) for each in ("GOOS=linux", f"GOARCH={arch}"))


def _trees(roots: Roots) -> Iterator[_Tree]:
    for package in roots.packages.versions:
        if (match := _PACKAGE.fullmatch(package)) and roots.may_stand_in(package):
            yield _Tree(f"/usr/lib/go-{match[1]}", package in roots.packages_before.versions)
    versions = [read_inside(root, f"{_OWN}/VERSION", _MOST_VERSION) for root in (roots.twin, roots.before)]
    if versions[0] and versions[0] == versions[1]:
        yield _Tree(_OWN, there=True)
