"""musl's loader: how a program of an Alpine root is started in another, and which libraries it has there.

It looks for libraries in LD_LIBRARY_PATH, or what ``--library-path`` gives in its place, then in what the program and
what wants the library name (DT_RUNPATH, DT_RPATH), then in /etc/ld-musl-ARCH.path, or in /lib, /usr/local/lib and
/usr/lib (musl, ldso/dynlink.c). It does not look which machine a library is of: one of the emulated root would end the
twin. So a program has a twin only if each of its libraries is of this machine, is found in the folders that it is told,
and is the one that it would have without being told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from xxpy.build.engine.rooted import inside, read_inside
from xxpy.build.twins import LOADERS
from xxpy.build.twins.libraries import MOST_LIBRARIES, Loader, has_word, needs_of
from xxpy.build.twins.table import NAME, Guard, Kind
from xxpy.errors import XxError
from xxpy.platforms import Platform, elf_machine, name_in
from xxpy.verify.elfdeep import Needs

ARCHITECTURES = {
    "amd64": "x86_64", "386": "i386", "arm": "armhf", "arm64": "aarch64", "riscv64": "riscv64",
    "ppc64le": "powerpc64le", "s390x": "s390x", "loong64": "loongarch64",
}  # fmt: skip
"""musl's name of an architecture in that of its loader (musl, configure), as Alpine builds it."""

_DEFAULT = "/lib:/usr/local/lib:/usr/lib"
_OWN = tuple(f"lib{name}." for name in ("c", "pthread", "rt", "m", "dl", "util", "xnet"))
"""What the loader is itself, whatever follows these."""
_MOST_PATH = 4096
_MOST_NAMED, _MOST_FOLDERS = 4096, 32
"""Folders that a library and what wants it name, and those of them that are not the same."""


def _expanded(folder: str, origin: str) -> str:
    return folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)


def _list_of(platform: Platform) -> str:
    return f"/etc/ld-musl-{name_in(ARCHITECTURES, platform)}.path"


@dataclass(frozen=True)
class _Library:
    """A library, or the program: ``path`` in its root, and what wanted it."""

    path: str
    wanted_by: _Library | None = None


@dataclass(frozen=True)
class Musl(Loader):
    """musl's loader of the twin ``root``, which the step sees at ``seen``. ``machine`` is its e_machine."""

    root: Path = Path()
    seen: str = ""
    machine: int = 0
    _programs: dict[str, tuple[tuple[str, ...], frozenset[str]] | None] = field(
        default_factory=dict, compare=False, repr=False
    )
    _read: dict[str, Needs | None] = field(default_factory=dict, compare=False, repr=False)

    def prefix(self, program: str, arguments: tuple[str, ...] = (), name: str = NAME) -> tuple[str, ...]:
        """See `Loader`. ``program`` is as the step sees it."""
        found = self._look(program.removeprefix(self.seen))
        libraries = ":".join(f"{self.seen}{folder}" for folder in found[0]) if found else ":".join(self.folders)
        return (self.program, "--argv0", name, "--library-path", libraries, "--", program, *arguments)

    def guards(self, file: Path) -> tuple[Guard, ...]:
        """See `Loader`. Of musl's variables MUSL_LOCPATH has translations, and OpenSSL's name libraries of the root."""
        found = self._look(self._own(file))
        names = tuple(sorted(found[1])) if found else ()
        return (Guard(Kind.LIBRARIES, names), *(Guard(Kind.NO_VARIABLE, each) for each in ("MUSL_LOCPATH", "OPENSSL_")))

    def starts(self, file: Path) -> bool:
        """Whether all libraries of ``file`` are in the root, and found where they are looked for."""
        return self._look(self._own(file)) is not None

    def _own(self, file: Path) -> str:
        return f"/{os.path.relpath(file, self.root)}"

    def _look(self, program: str) -> tuple[tuple[str, ...], frozenset[str]] | None:
        if program not in self._programs:
            self._programs[program] = self._libraries(program)
        return self._programs[program]

    def _libraries(self, program: str) -> tuple[tuple[str, ...], frozenset[str]] | None:
        """The folders to be told, and the names of what is loaded from them; None where that would not do."""
        folders: dict[str, None] = {}
        names: dict[str, str] = {}
        files = [_Library(program)]
        for each in files:
            needs = self._needs(each.path)
            if needs is None or any("/" in name for name in needs.libraries):
                return None
            for name in needs.libraries:
                if name in names or name.startswith(_OWN):
                    continue
                own = dict.fromkeys(islice(self._named(each), _MOST_NAMED))
                library = self._first(name, (*own, *self._defaults))
                if library is None or len(names) >= MOST_LIBRARIES or len(own) > _MOST_FOLDERS:
                    return None
                if not all(folder.startswith("/") for folder in own):
                    # One of the folder that the program is started in.
                    return None
                names[name] = library
                folders.update(own)
                files.append(_Library(library, each))
        told = (*folders, *self._defaults)
        same = all(os.path.realpath(self._real(library)) == self._told(name, told) for name, library in names.items())
        return (told, frozenset(names)) if same else None

    @property
    def _defaults(self) -> tuple[str, ...]:
        return tuple(folder.removeprefix(self.seen) for folder in self.folders)

    def _named(self, wanting: _Library) -> Iterator[str]:
        """The folders that ``wanting`` and what wanted it name, the nearest first."""
        each: _Library | None = wanting
        while each is not None:
            needs = self._needs(each.path)
            origin = os.path.dirname(each.path)
            paths = [_expanded(folder, origin) for folder in needs.paths] if needs else []
            # Where it cannot expand one of them, musl's loader takes none.
            if not any("$" in folder for folder in paths):
                yield from (os.path.normpath(folder) for folder in paths if folder)
            each = each.wanted_by

    def _needs(self, path: str) -> Needs | None:
        if path not in self._read:
            self._read[path] = needs_of(self._real(path), self.machine)
        return self._read[path]

    def _first(self, name: str, folders: Sequence[str]) -> str | None:
        return next((path for folder in folders if os.path.isfile(self._real(path := f"{folder}/{name}"))), None)

    def _real(self, path: str) -> str:
        """The real path on this machine of a path of the root; empty where there is none."""
        try:
            return inside(self.root, path)
        except (OSError, XxError):
            return ""

    def _told(self, name: str, folders: Sequence[str]) -> str:
        """The real path of what a twin opens; empty where an absolute link leads it into the step's root."""
        for folder in folders:
            place = f"{self.root}{folder}"
            if os.path.realpath(place) != os.path.realpath(self._real(folder)):
                return ""
            if os.path.lexists(path := f"{place}/{name}"):
                return os.path.realpath(path)
        return ""


def find_musl(root: Path, seen: str, before: Path, host: Platform, target: Platform) -> Musl | None:
    """The loader of the twin ``root``, which the step sees at ``seen``.

    None where there is none that can keep argv[0] (musl before 1.1.17), and where the emulated root ``before`` has its
    libraries elsewhere than it.
    """
    if host.arch not in LOADERS or target.arch not in ARCHITECTURES:
        return None
    listed = read_inside(root, _list_of(host), _MOST_PATH)
    if listed != read_inside(before, _list_of(target), _MOST_PATH):
        return None
    try:
        path = Path(inside(root, f"/lib/ld-musl-{name_in(ARCHITECTURES, host)}.so.1"))
        if not has_word(path, b"argv0\0"):
            return None
    except (OSError, XxError):
        return None
    names = (listed or _DEFAULT).replace("\n", ":").split(":")
    folders = {f"{seen}{name}": root / name.lstrip("/") for name in names if name.startswith("/")}
    return Musl(f"{seen}/{os.path.relpath(path, root)}", folders, root=root, seen=seen, machine=elf_machine(host))
