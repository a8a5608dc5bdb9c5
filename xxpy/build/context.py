"""The build context: which files a COPY may take, and a digest of those it takes.

Contents are hashed only for files that some COPY names, and hashed once: a file whose size, times and inode are as they
were when it was last hashed keeps its digest (as ``git status`` does), in a small file of the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xxpy.build.disk import pieces_of
from xxpy.build.dockerfile.ignore import Ignore
from xxpy.build.graph import CopyAction, Digest, digest_of
from xxpy.build.selection import Entry, entries_of, found, take
from xxpy.build.xattrs import kept_xattrs
from xxpy.errors import SourceError

MOST_ENTRIES = 2_000_000
"""Files and folders of a context that are looked at, at most."""

_LINKS = 40
"""Symbolic links that a path may lead through, as the kernel's own limit (path_resolution(7))."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which a file's times tell it from a later write; younger ones are hashed again."""


_MARKS, _ESCAPED = re.compile(r"([*?\[\\])"), r"\\\1"
"""What a pattern would take for more than a character, and how it is written as one."""


@dataclass(frozen=True)
class Stamp:
    """What tells that a file is as it was: size in bytes, times in nanoseconds, inode."""

    size: int
    mtime: int
    ctime: int
    inode: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        return cls(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


class HashCache:
    """Digests of the context's files by path and `Stamp`, kept in ``file``; if unreadable, an empty one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = False
        self._known: dict[str, list[object]] = {}
        try:
            known = json.loads(file.read_bytes())
            if isinstance(known, dict):
                self._known = known
        except (OSError, ValueError):
            pass

    def digest(self, path: str, stamp: Stamp) -> str:
        """The SHA-256 of the file's content, in hex. Raises OSError."""
        mark = [stamp.size, stamp.mtime, stamp.ctime, stamp.inode]
        known = self._known.get(path)
        if isinstance(known, list) and len(known) == 5 and known[:4] == mark and isinstance(known[4], str):
            return known[4]
        found = _hash(path, stamp.size)
        # A file written within the clock's grain of now could change again without its times changing.
        if time.time_ns() - max(stamp.mtime, stamp.ctime) > _SETTLED:
            self._known[path] = [*mark, found]
            self._changed = True
        return found

    def save(self) -> None:
        """Write what is new. A store that cannot be written loses speed, nothing else."""
        if not self._changed:
            return
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps(self._known, separators=(",", ":")))
            os.replace(temporary, self._file)
        except OSError:
            temporary.unlink(missing_ok=True)


def _hash(path: str, size: int) -> str:
    state = hashlib.sha256()
    for data in pieces_of(path, size):
        state.update(data)
    return state.hexdigest()


@dataclass
class Context:
    """A folder and what ``.dockerignore`` leaves of it. Paths are relative to ``root``, without a leading slash."""

    root: Path
    ignore: Ignore
    hashes: HashCache
    skipped_sockets: list[str] = field(default_factory=list)
    named: dict[str, Context] = field(default_factory=dict)
    """The other folders of the build, by the identifier of their source vertex (``local://NAME``)."""

    def at(self, identifier: str) -> Context:
        """The folder that a source vertex stands for: one of `named`, or this one."""
        return self.named.get(identifier, self)

    def save(self) -> None:
        """Keep the digests of what was hashed."""
        for each in (self, *self.named.values()):
            each.hashes.save()

    def select(self, source: str) -> list[str]:
        """The paths that one source of a COPY stands for, links resolved inside the context; ``""`` is all of it.

        Nothing for what is not there.
        """
        try:
            return [path for path, _ in found(self, source)]
        except SourceError as error:
            if error.reason != "copy-source-missing":
                raise
            return []

    def resolve(self, path: str) -> str | None:
        """See `Tree.resolve`; hidden is what ``.dockerignore`` excludes."""
        real = self._resolve(path)
        return real if real is not None and self._seen(real) else None

    def hides(self, path: str) -> bool:
        """See `Tree.hides`."""
        return not self._seen(path)

    def _resolve(self, path: str) -> str | None:
        """``path`` without symbolic links, as if ``root`` were ``/``; None when it is not there."""
        todo, links = path.split("/")[::-1], 0
        done: list[str] = []
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done[-1:] = []
                continue
            here = "/".join([*done, part])
            try:
                info = os.lstat(self.root / here)
            except OSError:
                return None
            if stat.S_ISLNK(info.st_mode):
                links += 1
                if links > _LINKS:
                    return None
                target = os.readlink(self.root / here)
                if target.startswith("/"):
                    done = []
                todo += target.split("/")[::-1]
                continue
            done.append(part)
        return "/".join(done)

    def _seen(self, path: str) -> bool:
        if not path or not self.ignore.excludes(path):
            return True
        # An excluded folder may hold what a later "!" brings back.
        folder = os.path.isdir(self.root / path) and not os.path.islink(self.root / path)
        return folder and not self.ignore.may_skip(path) and any(True for _ in self.walk(path))

    def walk(
        self, start: str, skip: Callable[[str], bool] = lambda path: False
    ) -> Iterator[tuple[str, os.stat_result]]:
        """Every file and folder from ``start`` on that is not excluded, folders before what is in them, sorted.

        Folders below ``start`` that ``skip`` names are passed over with all that is in them. Sockets are left out and
        noted in ``skipped_sockets``. Raises SourceError (``context-unreadable``, ``context-too-large``).
        """
        count = 0
        stack = [start]
        while stack:
            path = stack.pop()
            count += 1
            if count > MOST_ENTRIES:
                raise SourceError(
                    f"the context has more than {MOST_ENTRIES} files",
                    remedy="exclude what no COPY needs in .dockerignore",
                    reason="context-too-large",
                    place=str(self.root),
                )
            full = os.path.join(self.root, path)
            with _readable(full):
                info = os.lstat(full)
                excluded = bool(path) and path != start and self.ignore.excludes(path)
                if stat.S_ISDIR(info.st_mode):
                    if (excluded and self.ignore.may_skip(path)) or (path != start and skip(path)):
                        continue
                    names = sorted(os.listdir(full), reverse=True)
                    stack += [f"{path}/{name}" if path else name for name in names]
                elif excluded:
                    continue
                elif stat.S_ISSOCK(info.st_mode):
                    self.skipped_sockets.append(path)
                    continue
            if not excluded:
                yield path, info

    def rows(self, entries: Iterable[Entry]) -> Iterator[list[object]]:
        """What can be told of files that are copied: name, type and permission bits, content or link target; no times.

        Attributes and hard links between them are told where there are any.
        """
        names: dict[tuple[int, int], str] = {}
        for entry in entries:
            mode = entry.info.st_mode
            content = ""
            more: list[object] = []
            with _readable(entry.full):
                if stat.S_ISREG(mode):
                    content = self.hashes.digest(entry.full, Stamp.of(entry.info))
                    if entry.info.st_nlink > 1:
                        first = names.setdefault((entry.info.st_dev, entry.info.st_ino), entry.name)
                        more = [first] if first != entry.name else []
                elif stat.S_ISLNK(mode):
                    content = os.readlink(entry.full)
                more += [[name, value.hex()] for name, value in kept_xattrs(entry.full, mode)]
            yield [os.fsencode(entry.name).hex(), mode, os.fsencode(content).hex(), entry.parent, *more]

    def digest(self, path: str) -> Digest:
        """A digest of the tree at ``path``. Raises SourceError."""
        return digest_of([*self.rows(entries_of(self, path))])

    def copied(self, action: CopyAction, source: str) -> Digest:
        """A digest of what ``source`` of ``action`` takes. Raises as `take` does, and SourceError."""
        taken = take(self, action, source)
        # Neither the name nor the mode of a folder itself matters: what is in it is copied.
        rows = [(one, [*self.rows(one.entries)]) for one in taken]
        return digest_of([found[1:] if one.folder else [one.name, *found] for one, found in rows])


class _readable:
    """Turns an OSError of the block into a SourceError about ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise SourceError(
                f"cannot read it: {error.strerror}",
                remedy="make it readable, or exclude it in .dockerignore",
                reason="context-unreadable",
                place=self._path,
            ) from error


def open_context(
    folder: Path, dockerfile: Path | None, cache_folder: Path, *, closed: bool = False, without: Path | None = None
) -> Context:
    """The context at ``folder``. ``<Dockerfile>.dockerignore`` goes before ``.dockerignore``, as with buildx.

    Of a ``closed`` context no link leads out: it is not the user's own. ``without`` is never in it. Raises SourceError:
    ``context-missing``, ``context-unreadable``.
    """
    if not folder.is_dir():
        raise SourceError(
            "the context is not a folder" if folder.exists() else "there is no such context",
            remedy="name the folder that COPY takes files from, as in: xx build .",
            reason="context-missing",
            place=str(folder),
        )
    root = folder.resolve()
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:24]
    ignore = read_ignore(root, dockerfile, closed=closed, without=without)
    return Context(root, ignore, HashCache(cache_folder / f"context-{name}.json"))


def read_ignore(root: Path, dockerfile: Path | None, *, closed: bool = False, without: Path | None = None) -> Ignore:
    """What the context at ``root`` leaves out. Raises SourceError (``context-unreadable``, ``bad-pattern``)."""
    candidates = [dockerfile.with_name(dockerfile.name + ".dockerignore")] if dockerfile is not None else []
    candidates.append(root / ".dockerignore")
    there = [each for each in candidates if each.is_file() or each.is_dir()]
    file = next((each for each in there if not (closed and each.is_symlink())), None)
    if file is not None and file.is_dir():
        raise SourceError(
            f"{file} is a folder, and should be a file of patterns",
            remedy="give it another name",
            reason="context-unreadable",
        )
    text = ""
    if file is not None:
        with _readable(str(file)):
            text = file.read_text(errors="replace")
    if without is not None and root in (inner := without.resolve()).parents:
        text += f"\n{_MARKS.sub(_ESCAPED, str(inner.relative_to(root)))}\n"
    return Ignore.parse(text)
