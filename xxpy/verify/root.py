"""Whether a program finds its dynamic linker and its libraries in a root filesystem, all of its own architecture.

The search is ld.so(8)'s: DT_RUNPATH or DT_RPATH with $ORIGIN, /etc/ld.so.conf, the default folders; musl's
/etc/ld-musl-*.path. Nothing is run, and no path leads out of the root.
"""

from __future__ import annotations

import os

from xxpy.errors import XxError
from xxpy.verify import elfdeep
from xxpy.verify.elf import parse_elf
from xxpy.verify.source import Source, open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xxpy.verify.elf import ElfHeader

_DEFAULT = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
_MOST_LINKS = 40
_MOST_LIBRARIES = 2048
_MAX_CONF = 64 << 10
_MOST_CONF = 64


class Lack:
    """What a file would not find. ``name`` is the dynamic linker's path or the library's name.

    ``asker`` is the path of the file that needs it: the file itself or one of its libraries. ``found`` says of what is
    there instead. ``reason`` is ``no-loader``, ``wrong-loader``, ``no-library`` or ``wrong-library``.
    """

    __slots__ = ("asker", "found", "name", "reason")

    def __init__(self, name: str, asker: str, reason: str, found: str = "") -> None:
        self.name = name
        self.asker = asker
        self.reason = reason
        self.found = found


class Root:
    """A root filesystem's folder. It remembers what it has found: many programs need the same libraries.

    ``name`` is what messages call it. ``extra`` are folders of libraries that go before the configured ones, as
    LD_LIBRARY_PATH names them.
    """

    def __init__(self, folder: str, name: str = "", extra: Sequence[str] = ()) -> None:
        self.folder = os.path.realpath(folder)
        self.name = name or self.folder
        self._extra = [each for each in extra if each.startswith("/")]
        self._headers: dict[str, tuple[ElfHeader, elfdeep.Needs] | None] = {}
        self._conf: list[str] | None = None

    def missing(self, source: Source, header: ElfHeader, place: str) -> list[tuple[str, str]]:
        """(message, reason) for what a file at ``place``, a path in the root, would not find there.

        Libraries of libraries are looked for as well. Raises XxError (``elf-damaged``) of the file itself.
        """
        return [(self.words(lack, place), lack.reason) for lack in self.lacking(source, header, place)]

    def words(self, lack: Lack, place: str) -> str:
        """What is said of ``lack`` of the file at ``place``."""
        if lack.reason == "no-loader":
            return f"its dynamic linker {lack.name} is not in {self.name}"
        if lack.reason == "wrong-loader":
            return f"its dynamic linker {lack.name} is {lack.found}"
        by = "" if lack.asker == place else f", which {os.path.basename(lack.asker)} needs,"
        if lack.reason == "wrong-library":
            return f"{lack.name}{by} is there for another architecture alone: {lack.found}"
        return f"{lack.name}{by} is not in {self.name}"

    def lacking(self, source: Source, header: ElfHeader, place: str) -> list[Lack]:
        """As `missing`, as values."""
        found = []
        if header.interpreter:
            loader = self._load(header.interpreter)
            if loader is None:
                found.append(Lack(header.interpreter, place, "no-loader"))
            elif not _same(loader[0], header):
                words = f"{loader[0].machine_name}, not {header.machine_name}"
                found.append(Lack(header.interpreter, place, "wrong-loader", words))
        todo = [(place, elfdeep.read_needs(source, header))]
        seen = {name for name in (os.path.basename(header.interpreter),) if name}
        while todo and len(seen) < _MOST_LIBRARIES:
            asker, needs = todo.pop(0)
            for name in needs.libraries:
                if name in seen:
                    continue
                seen.add(name)
                path, other = self._find(name, needs.paths, os.path.dirname(asker), header)
                if path:
                    loaded = self._headers[path]
                    assert loaded is not None
                    todo.append((path, loaded[1]))
                else:
                    found.append(Lack(name, asker, "wrong-library" if other else "no-library", other))
        return found

    def header(self, path: str) -> ElfHeader | None:
        """The header of the ELF file at ``path`` of the root, if there is one."""
        loaded = self._load(path)
        return loaded[0] if loaded is not None else None

    def _find(self, name: str, paths: list[str], origin: str, header: ElfHeader) -> tuple[str, str]:
        """Where the library lies, and else where one of another architecture does."""
        name = name.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
        if "/" in name:
            folders, name = [os.path.dirname(name)], os.path.basename(name)
        else:
            own = [path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for path in paths]
            folders = [*own, *self._extra, *self._configured(), *_DEFAULT]
        other = ""
        for folder in dict.fromkeys(folders):
            path = os.path.join(folder, name)
            loaded = self._load(path)
            if loaded is not None and _same(loaded[0], header):
                return path, ""
            if loaded is not None:
                other = other or f"{path} is {loaded[0].machine_name}"
        return "", other

    def _load(self, path: str) -> tuple[ElfHeader, elfdeep.Needs] | None:
        if path not in self._headers:
            self._headers[path] = None
            real = self.resolve(path)
            if real:
                self._headers[path] = _read(real)
        return self._headers[path]

    def resolve(self, path: str) -> str:
        """The real path of ``path`` of the root, its symlinks followed within the root; empty if it is not there."""
        parts = [part for part in path.split("/") if part]
        done: list[str] = []
        links = 0
        while parts:
            part = parts.pop(0)
            if part == ".":
                continue
            if part == "..":
                done = done[:-1]
                continue
            here = os.path.join(self.folder, *done, part)
            try:
                to = os.readlink(here)
            except OSError:
                done.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                return ""
            if to.startswith("/"):
                done = []
            parts = [each for each in to.split("/") if each] + parts
        full = os.path.join(self.folder, *done)
        return full if os.path.lexists(full) else ""

    def _configured(self) -> list[str]:
        if self._conf is None:
            self._conf = self._read_conf("/etc/ld.so.conf", set())
            for name in self._names("/etc"):
                if name.startswith("ld-musl-") and name.endswith(".path"):
                    self._conf += self._text(f"/etc/{name}").replace(":", "\n").split()
            # Debian's loaders have the folders of their architecture built in.
            for base in ("/lib", "/usr/lib"):
                self._conf += [
                    f"{base}/{name}" for name in self._names(base) if name.count("-") >= 2 and "linux" in name
                ]
        return self._conf

    def _read_conf(self, path: str, seen: set[str]) -> list[str]:
        if path in seen or len(seen) > _MOST_CONF:
            return []
        seen.add(path)
        found: list[str] = []
        for line in self._text(path).splitlines():
            words = line.partition("#")[0].split()
            if words[:1] == ["include"]:
                from fnmatch import fnmatchcase

                for pattern in words[1:]:
                    pattern = os.path.join(os.path.dirname(path), pattern)
                    folder, name = os.path.split(pattern)
                    matching = [each for each in self._names(folder) if fnmatchcase(each, name)]
                    for each in matching:
                        found += self._read_conf(f"{folder}/{each}", seen)
            elif words and words[0].startswith("/"):
                found.append(words[0].rstrip("/"))
        return found

    def _names(self, folder: str) -> list[str]:
        real = self.resolve(folder)
        try:
            return sorted(os.listdir(real)) if real else []
        except OSError:
            return []

    def _text(self, path: str) -> str:
        real = self.resolve(path)
        if not real:
            return ""
        try:
            fd, size = open_regular(real)
        except XxError:
            return ""
        try:
            return os.pread(fd, min(size, _MAX_CONF), 0).decode("utf-8", "replace")
        finally:
            os.close(fd)


def _same(one: ElfHeader, other: ElfHeader) -> bool:
    return (one.machine, one.bits, one.order) == (other.machine, other.bits, other.order)


def _read(real: str) -> tuple[ElfHeader, elfdeep.Needs] | None:
    try:
        fd, size = open_regular(real)
    except XxError:
        return None
    try:
        source = Source(fd, size, "ELF file")
        header = parse_elf(source)
        return header, elfdeep.read_needs(source, header)
    except (XxError, OSError):
        return None
    finally:
        os.close(fd)
