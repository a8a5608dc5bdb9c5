"""The truth of an image: each ELF file that a build added is looked at, whether it is for the image's platform.

Read are the snapshots above the base's layers, each once: the names of its binaries are a record of the snapshot, what
is wrong with them a record of the whole chain. So an unchanged build reads no file. Paths are resolved in a read-only
view of the image, never out of it, and no file is trusted (`xxpy.verify`).
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from xxpy.build.engine import Job
from xxpy.build.engine.images import IMAGE, base_image, own_line
from xxpy.build.engine.rooted import read_inside
from xxpy.build.engine.snapshots import Chain, view
from xxpy.build.events import Notice
from xxpy.build.graph import Digest, Graph, Result, digest_of
from xxpy.build.store import Store
from xxpy.build.verdict import (
    WRONG_MACHINE,
    WRONG_OBJECT,
    Mode,
    Problem,
    counterparts,
    judge,
    multiarch_of,
    wrong_bases,
)
from xxpy.errors import XxError
from xxpy.platforms import DEBIAN, Platform
from xxpy.verify.binary import is_archive
from xxpy.verify.check import Wanted, arch_of, check_source
from xxpy.verify.elf import ET_CORE, ET_EXEC, ET_REL, ElfHeader, parse_elf
from xxpy.verify.loaders import known_loaders
from xxpy.verify.root import Lack, Root
from xxpy.verify.source import Source, open_regular

I386 = Platform("linux", "386")
VERSION = 2
"""Raised when the same files would be judged otherwise than before."""

_BEGINNINGS = (b"\x7fELF", b"!<arch>\n")
_SMALLEST = 52
"""Bytes of the smallest ELF header."""
_MOST_ENTRIES = 2_000_000
_MOST_BINARIES = 50_000
_MOST_PROBLEMS = 1000
_LIBRARY_PATH = "LD_LIBRARY_PATH="
# ld.so takes what is below it on machines of that level alone (ld.so(8), "Hardware capabilities").
_HWCAPS = "/glibc-hwcaps/"
# Go's own sources have programs of many machines in such folders (go help packages).
_TESTDATA = "/testdata/"

Found = tuple[str, str, str, str]
"""A problem as it is recorded: snapshot, path, message, reason."""


def verify(
    store: Store, job: Job, chains: Mapping[Digest, Chain], work: Path | None, tell: Callable[[Notice], None]
) -> bool:
    """Judge every target's image and tell what is no error.

    ``work`` is where a view can be mounted, None where nothing may be read: the answer is False if something has to be.
    Raises VerifyError, StoreError, OSError.
    """
    if job.verify.mode is Mode.OFF:
        return True
    problems = list(wrong_bases(job.plan))
    lies = {problem.platform for problem in problems}
    for result in job.plan.graph.results:
        # On a base of another platform every file would be one more word of the same.
        if not result.root or result.platform in lies:
            continue
        lines = added(store, job.plan.graph, chains, result)
        found = _recorded(store, chains[result.root], result)
        if found is None:
            if work is None:
                return False
            found = _look(store, chains[result.root], tuple(lines), result, work)
        problems += [
            Problem(result.platform, path, message, reason, lines.get(snapshot, 0))
            for snapshot, path, message, reason in found
        ]
    for warning in judge(problems, job.verify, job.dockerfile):
        tell(Notice(warning))
    return True


def added(store: Store, graph: Graph, chains: Mapping[Digest, Chain], result: Result) -> dict[str, int]:
    """The snapshots that the build put above the base, the lowest first, each with the line of its step."""
    line, base = own_line(graph, result)
    start = len(base_image(store, base).layers) if base is not None and base.identifier.startswith(IMAGE) else 0
    found: dict[str, int] = {}
    for digest in reversed(line):
        chain = chains.get(digest)
        if chain is not None:
            found |= dict.fromkeys(chain[start:], graph.vertices[digest].label.line)
            start = len(chain)
    return found


def _library_path(result: Result) -> tuple[str, ...]:
    return tuple(
        folder
        for pair in result.config.env
        if pair.startswith(_LIBRARY_PATH)
        for folder in pair.removeprefix(_LIBRARY_PATH).split(":")
    )


def _key(chain: Chain, result: Result) -> Digest:
    return digest_of(["truth", VERSION, str(result.platform), list(chain), list(_library_path(result))])


def _recorded(store: Store, chain: Chain, result: Result) -> list[Found] | None:
    value = store.record(_key(chain, result))
    rows = value.get("problems") if value is not None else None
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        return None
    return [(str(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in rows]


def _look(store: Store, chain: Chain, snapshots: Sequence[str], result: Result, work: Path) -> list[Found]:
    with view(work, chain) as merged:
        looker = Looker(Root(str(merged), "the image", _library_path(result)), result.platform)
        seen: set[str] = set()
        for snapshot in reversed(snapshots):
            files = [path for path in _binaries(store, snapshot) if path not in seen]
            seen.update(files)
            for path in files:
                looker.look(snapshot, path)
        found = looker.found()
    store.put_record(_key(chain, result), {"problems": [list(each) for each in found]})
    return found


def _binaries(store: Store, snapshot: str) -> list[str]:
    """The ELF files and static libraries of ``snapshot``, absolute in the image."""
    key = digest_of(["binaries", VERSION, snapshot])
    value = store.record(key)
    files = value.get("files") if value is not None else None
    if isinstance(files, list) and all(isinstance(path, str) for path in files):
        return files
    found = sorted(find_binaries(str(store.snapshots / snapshot)))
    store.put_record(key, {"files": found})
    return found


def find_binaries(folder: str) -> Iterator[str]:
    """The files below ``folder`` that begin as ELF files and static libraries do, as ``/usr/bin/x``.

    Links are not followed, special files not opened. What is beyond the limits is not looked at.
    """
    todo, left, most = [""], _MOST_ENTRIES, _MOST_BINARIES
    while todo and left > 0:
        inside = todo.pop()
        with os.scandir(f"{folder}{inside}") as entries:
            for entry in entries:
                left -= 1
                path = f"{inside}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    todo.append(path)
                elif entry.is_file(follow_symlinks=False) and most > 0 and _begins(entry.path):
                    most -= 1
                    yield path


def _begins(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        head = os.pread(fd, _SMALLEST, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
    return len(head) == _SMALLEST and head.startswith(_BEGINNINGS)


class Looker:
    """Looks at one image's files, one after the other, and remembers what is wrong with them."""

    def __init__(self, root: Root, platform: Platform) -> None:
        self._root = root
        self._platform = platform
        self._found: list[Found] = []
        self._lacks: list[tuple[str, str, ElfHeader, Lack]] = []

    def look(self, snapshot: str, path: str) -> None:
        """Look at the file that ``snapshot`` has at ``path``, if the image shows it there."""
        real = self._root.resolve(path)
        # What a later step removed or hid is not in the image; where it put a link, something else is.
        if real != f"{self._root.folder}{path}" or len(self._found) >= _MOST_PROBLEMS:
            return
        try:
            fd, size = open_regular(real)
        except XxError:
            return
        try:
            found = self._judged(Source(fd, size, "file"), snapshot, path)
            self._found += [(snapshot, path, message, reason) for message, reason in found]
        except OSError as error:
            self._found.append((snapshot, path, f"cannot be read: {error.strerror}", "elf-unreadable"))
        finally:
            os.close(fd)

    def _judged(self, source: Source, snapshot: str, path: str) -> list[tuple[str, str]]:
        wanted = Wanted(self._platform)
        if is_archive(source):
            if self._is_multiarch(path, ""):
                return []
            found = check_source(source, wanted)
            if self._platform.arch == "amd64" and not check_source(source, Wanted(I386)):
                return []
            return [(message, WRONG_OBJECT) for message, reason in found if reason == WRONG_MACHINE]
        try:
            header = parse_elf(source)
        except XxError as error:
            return [(error.message, error.reason)]
        if self._excused(header, path):
            return []
        runs = runs_too(header, self._platform)
        found = [] if runs else check_source(source, wanted)
        if _HWCAPS in path:
            found = [each for each in found if each[1] != "wrong-level"]
        if any(reason == WRONG_MACHINE for _, reason in found):
            data = header.kind in (ET_REL, ET_CORE) or _TESTDATA in path or _only_data(source, header)
            kind = WRONG_OBJECT if data else WRONG_MACHINE
            return [(message, kind) for message, reason in found if reason == WRONG_MACHINE]
        if self._platform.os == "linux":
            self._need(source, header, snapshot, path)
        return found

    def _excused(self, header: ElfHeader, path: str) -> bool:
        """Code of a device (BPF, a GPU) is no platform's; of a package for several there is the right one beside."""
        arch = arch_of(header)
        if arch == self._platform.arch:
            return False
        if not arch or self._is_multiarch(path, arch):
            return True
        for other in counterparts(path, arch, self._platform.arch):
            beside = [other]
            if other.endswith(".node"):
                # Of Node's add-ons each folder has those of one architecture, named by what else they are for.
                beside += [f"{os.path.dirname(other)}/{name}" for name in self._names(os.path.dirname(other))]
            for each in beside:
                right = self._root.header(each)
                if right is not None and arch_of(right) == self._platform.arch:
                    return True
        return False

    def _is_multiarch(self, path: str, arch: str) -> bool:
        """Whether a file of ``arch`` (empty: of that of its folder) lies where Debian keeps another architecture's.

        Of a cross toolchain they always do, else if dpkg has been told of that architecture.
        """
        named, cross = multiarch_of(path)
        return bool(named) and arch in ("", named) and named != self._platform.arch and (cross or named in self._dpkg)

    @functools.cached_property
    def _dpkg(self) -> frozenset[str]:
        """The architectures that dpkg was told of (dpkg(1), --add-architecture), by OCI's names."""
        names = set(read_inside(Path(self._root.folder), "/var/lib/dpkg/arch").split())
        return frozenset(key.partition("/")[0] for key, name in DEBIAN.items() if name in names)

    def _names(self, folder: str) -> list[str]:
        real = self._root.resolve(folder)
        try:
            return sorted(name for name in os.listdir(real) if name.endswith(".node"))[:20] if real else []
        except OSError:
            return []

    def _need(self, source: Source, header: ElfHeader, snapshot: str, path: str) -> None:
        try:
            lacks = self._root.lacking(source, header, path)
        except XxError as error:
            self._found.append((snapshot, path, error.message, error.reason))
            return
        if not is_program(header, path):
            # A library is loaded by a linker that is there then.
            linkers = {os.path.basename(each) for each in known_loaders(self._platform)}
            lacks = [each for each in lacks if "loader" not in each.reason and each.name not in linkers]
        for lack in lacks[: _MOST_PROBLEMS - len(self._lacks)]:
            self._lacks.append((snapshot, path, header, lack))

    def found(self) -> list[Found]:
        """All that is wrong, other architectures first, by path."""
        absent = {lack.name for _, _, _, lack in self._lacks if lack.reason == "no-library"}
        places = self._places(absent) if absent else {}
        unstarted = {path for _, path, _, lack in self._lacks if lack.reason == "no-loader"}
        for snapshot, path, header, lack in self._lacks:
            program = is_program(header, path)
            words = f"cannot {'start' if program else 'be loaded'}: {self._root.words(lack, path)}"
            if lack.reason == "no-library":
                there = [each for each in places.get(lack.name, ()) if self._same(each, header)]
                if there and (not program or lack.asker != path or path in unstarted):
                    # Whatever loads this library may have loaded that one before, by a path of its own.
                    continue
                if there:
                    words = f"cannot start: {lack.name} is at {there[0]}, where its dynamic linker does not look"
            self._found.append((snapshot, path, f"{words} ({self._platform})", lack.reason))
        return sorted(self._found[:_MOST_PROBLEMS], key=lambda each: (each[3] != WRONG_MACHINE, each[1]))

    def _same(self, path: str, header: ElfHeader) -> bool:
        other = self._root.header(path)
        return other is not None and (other.machine, other.bits) == (header.machine, header.bits)

    def _places(self, names: set[str]) -> dict[str, list[str]]:
        """Where in the whole image files of these names are; no file is read."""
        found: dict[str, list[str]] = {}
        left = _MOST_ENTRIES
        for folder, _, files in os.walk(self._root.folder):
            left -= len(files) + 1
            if left < 0:
                break
            for name in names.intersection(files):
                found.setdefault(name, []).append(f"{folder.removeprefix(self._root.folder)}/{name}")
        return found


def is_program(header: ElfHeader, path: str) -> bool:
    """Whether it names a dynamic linker to start by and is no library that does, as glibc's libc.so.6."""
    return bool(header.interpreter) and ".so" not in os.path.basename(path)


def _only_data(source: Source, header: ElfHeader) -> bool:
    """Whether it is a program that nobody may execute, as the examples that a debugger's tests read."""
    program = header.kind == ET_EXEC or bool(header.interpreter)
    return program and not os.fstat(source.fd).st_mode & 0o111


def runs_too(header: ElfHeader, platform: Platform) -> bool:
    """Whether the platform's processor runs a file of another architecture's name: i386 on amd64."""
    return platform.arch == "amd64" and arch_of(header) == I386.arch
