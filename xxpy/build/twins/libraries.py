"""How a program of this machine is started in a root that lacks its loader and its libraries, and which those are."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xxpy.build.engine.rooted import inside
from xxpy.build.twins import LOADERS
from xxpy.build.twins.table import NAME, Guard, Kind
from xxpy.errors import XxError
from xxpy.platforms import Platform
from xxpy.verify.elf import parse_elf
from xxpy.verify.elfdeep import Needs, read_needs
from xxpy.verify.source import Source, open_regular

_SUBFOLDERS = ("glibc-hwcaps", "tls")
"""Folders in a library folder that ld.so looks into first."""
MOST_LIBRARIES = 500
"""Libraries of one program: far more than any has."""
_MOST_LOADER = 16 << 20
"""Bytes of a loader that are looked at: ten times as many as any has."""


@dataclass(frozen=True)
class Loader:
    """How a dynamic program is started (ld.so(8)).

    ``program`` is the loader as the step sees it. ``folders`` are those of libraries: how the step sees each, and where
    it is on this machine.
    """

    program: str
    folders: Mapping[str, Path]
    _known: dict[str, list[str]] = field(default_factory=dict, compare=False, repr=False)
    _places: dict[str, list[str]] = field(default_factory=dict, compare=False, repr=False)

    def prefix(self, program: str, arguments: tuple[str, ...] = (), name: str = NAME) -> tuple[str, ...]:
        """The words before the arguments of ``program``, with the argv[0] ``name``: that which it was started with."""
        libraries = ":".join(self.folders)
        return (self.program, "--inhibit-cache", "--argv0", name, "--library-path", libraries, program, *arguments)

    def starts(self, file: Path) -> bool:
        """Whether ``file``, a dynamic program of the root, can be started. ld.so takes no other machine's library."""
        return True

    def guards(self, file: Path) -> tuple[Guard, ...]:
        """What has to hold for ``file`` to find in the root just the libraries that it has as a twin."""
        names = tuple(sorted(self._needed(file)))
        return (Guard(Kind.LIBRARIES, (*names, *_SUBFOLDERS)), Guard(Kind.NO_VARIABLE, "GLIBC_TUNABLES"))

    def _needed(self, file: Path) -> set[str]:
        """The names of all libraries that ``file`` is loaded with."""
        names: set[str] = set()
        files = [str(file)]
        for each in files:
            if each not in self._known:
                self._known[each] = _needed_by(each)
            for name in self._known[each]:
                if name not in names and len(names) < MOST_LIBRARIES:
                    names.add(name)
                    files += self._found(name, each)
        return names

    def _found(self, name: str, wanting: str) -> list[str]:
        """The library ``name`` in the folders, or beside the file that wants it, as DT_RUNPATH often has it."""
        folders = [str(folder) for folder in self.folders.values()]
        if name not in self._places:
            self._places[name] = _first(name, folders, folders)
        beside = os.path.dirname(wanting)
        return self._places[name] or _first(name, [beside], [*folders, beside])


def _first(name: str, folders: Sequence[str], within: Sequence[str]) -> list[str]:
    """The real path of ``name`` in the first of ``folders`` that has it, if it is ``within`` those."""
    for folder in folders:
        real = os.path.realpath(path) if os.path.islink(path := f"{folder}/{name}") else path
        if os.path.isfile(real) and any(real.startswith(f"{each}/") for each in within):
            return [real]
    return []


def _needed_by(file: str) -> list[str]:
    needs = needs_of(file)
    return [name for name in needs.libraries if "/" not in name] if needs else []


def needs_of(file: str, machine: int = 0) -> Needs | None:
    """What ``file``, a program or a library, needs; None where that cannot be told.

    Nor is it if ``file`` is of another ``machine`` (e_machine) than the one that is named.
    """
    try:
        descriptor, size = open_regular(file)
    except XxError:
        return None
    try:
        source = Source(descriptor, size, "the library")
        header = parse_elf(source)
        return read_needs(source, header) if machine in (0, header.machine) else None
    except (OSError, XxError):
        return None
    finally:
        os.close(descriptor)


def has_word(file: Path, word: bytes) -> bool:
    """Whether a loader, a regular file, has ``word`` in its first megabytes. Raises OSError."""
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as opened:
        return stat.S_ISREG(os.fstat(fd).st_mode) and word in opened.read(_MOST_LOADER)


def find_loader(root: Path, seen: str, host: Platform, triplet: str) -> Loader | None:
    """The loader of the twin ``root``, which the step sees at ``seen``.

    None where it cannot keep argv[0] (glibc before 2.33) or there is none. ``triplet`` is in names of folders.
    """
    if host.arch not in LOADERS:
        return None
    folders = ("/usr/local/lib", f"/usr/local/lib/{triplet}", f"/lib/{triplet}", f"/usr/lib/{triplet}")
    try:
        path = Path(inside(root, LOADERS[host.arch]))
        if not has_word(path, b"--argv0"):
            return None
        real = dict.fromkeys(real for folder in folders if os.path.isdir(real := inside(root, folder)))
    except (OSError, XxError):
        return None
    shown = {f"{seen}/{os.path.relpath(each, root)}": Path(each) for each in real}
    return Loader(f"{seen}/{os.path.relpath(path, root)}", shown)
