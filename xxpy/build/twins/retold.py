"""dpkg: what machine it is on is a word that is compiled in, so its twin is a copy with another word.

dpkg's programs have the name of their Debian architecture twice, in their version and as what is native
(``--print-architecture``); the rest of them is the same for all. Names of as many letters are put in their place. Where
the target's has more, or a program has not just those two, it is emulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xxpy.build.twins.find import PLACE, Program, Roots, build_time, program_at
from xxpy.build.twins.manager import Manager
from xxpy.build.twins.table import Entry
from xxpy.platforms import debian_arch

SHOWN = f"{PLACE}/retold"
_PROGRAMS = tuple(
    f"/usr/bin/{name}" for name in ("dpkg", "dpkg-divert", "dpkg-query", "dpkg-statoverride", "dpkg-trigger")
)
_MOST = 4 << 20


def find_retold(roots: Roots, folder: Path) -> Iterator[Entry]:
    """The entries of dpkg's programs, whose copies are written to ``folder``, seen at `SHOWN`. Raises OSError."""
    if (
        roots.manager is not Manager.DPKG
        or roots.loader is None
        or "dpkg" not in roots.packages.versions
        or not roots.may_stand_in("dpkg")
    ):
        return
    there = "dpkg" in roots.packages_before.versions
    for path in _PROGRAMS:
        program = program_at(roots.twin, path, roots.host)
        if program is None or not program.dynamic:
            continue
        file = roots.twin / program.path.lstrip("/")
        data = retold(file.read_bytes(), debian_arch(roots.host), debian_arch(roots.target))
        if data:
            copy = Program(f"/{file.name}", program.dynamic)
            (folder / file.name).write_bytes(data)
            yield copy.entry(folder, SHOWN, roots.loader, path, build_time(roots, program.path, path, there=there))


def retold(program: bytes, host: str, target: str) -> bytes:
    """``program`` with ``target`` in the place of ``host``; nothing where that cannot be."""
    own, version = f"\0{host}\0".encode(), f" ({host})\0".encode()
    same_length = len(host) == len(target)
    if len(program) > _MOST or not same_length or program.count(version) != 1 or program.count(own) > 1:
        return b""
    if program.count(host.encode()) != program.count(own) + 1:
        return b""
    return program.replace(own, f"\0{target}\0".encode()).replace(version, f" ({target})\0".encode())
