"""COPY and ADD of files, done on a mounted root, as BuildKit does it.

What of a source is taken says `selection`; here it is where that goes, and what it becomes there: links named by a
source are followed and those inside a folder kept, folders are merged, files replaced, hard links kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.disk import pieces_of
from xxpy.build.engine.places import Owner, make_folders, onto_file, onto_folder, owner_in
from xxpy.build.engine.rooted import inside
from xxpy.build.engine.unpack import is_archive, unpack
from xxpy.build.graph import CopyAction
from xxpy.build.modes import changed
from xxpy.build.selection import Entry, Taken, Tree, Walk, entries_of, take
from xxpy.build.xattrs import kept_xattrs


@dataclass(frozen=True)
class Origin:
    """What a COPY reads, and whose files it becomes if that does not say so itself: None keeps each file's owner."""

    tree: Tree
    owner: Owner | None = None


@dataclass(frozen=True)
class StageTree:
    """A stage or an image as a `Tree`: nothing in it is hidden."""

    root: Path

    def resolve(self, path: str) -> str | None:
        real = inside(self.root, path)
        found = os.path.relpath(real, self.root)
        return ("" if found == "." else found) if os.path.lexists(real) else None

    def hides(self, path: str) -> bool:
        return False

    def walk(self, start: str, skip: Callable[[str], bool]) -> Walk:
        return _walk(self.root, start, skip)


def tree_origin(root: Path) -> Origin:
    """A stage or an image as an `Origin`."""
    return Origin(StageTree(root))


def _walk(root: Path, start: str, skip: Callable[[str], bool]) -> Iterator[tuple[str, os.stat_result]]:
    stack = [start]
    while stack:
        path = stack.pop()
        full = os.path.join(root, path)
        info = os.lstat(full)
        if stat.S_ISDIR(info.st_mode):
            if path != start and skip(path):
                continue
            names = sorted(os.listdir(full), reverse=True)
            stack += [f"{path}/{name}" if path else name for name in names]
        if not stat.S_ISSOCK(info.st_mode):
            yield path, info


def copy(action: CopyAction, root: Path, origin: Origin, say: Callable[[str], None]) -> None:
    """Do one `CopyAction`; ``say`` is told what is left out. Raises as `files.apply` does."""
    given = owner_in(root, action.owner)
    owner = given or origin.owner
    taken = [one for source in action.sources for one in take(origin.tree, action, source)]
    for one in taken:
        full = os.path.join(origin.tree.root, one.path)
        if action.unpack and stat.S_ISREG(one.info.st_mode) and is_archive(full):
            # Whose the files are says the archive, not the context.
            unpack(full, root, make_folders(root, action.dest, given), given, say)
        else:
            _Copier(action, root, owner).copy(one, _target(action, root, one, owner))


def copy_path(tree: Tree, path: str, root: Path, dest: str, owner: Owner | None) -> None:
    """Copy what lies at ``path`` of ``tree``, which is no pattern and no link, to ``dest`` of ``root``.

    Raises as `copy` does.
    """
    one = Taken(path, os.path.basename(path), os.lstat(os.path.join(tree.root, path)), entries_of(tree, path))
    action = CopyAction(0, (), dest)
    _Copier(action, root, owner).copy(one, _target(action, root, one, owner))


def _target(action: CopyAction, root: Path, one: Taken, owner: Owner | None) -> str:
    """Where a source goes, as a path of this process whose folder is there.

    Of several files that a pattern gives to a name that is no folder the last stays, as with BuildKit.
    """
    if one.folder:
        return make_folders(root, action.dest, owner)
    real = inside(root, action.dest)
    if action.dest.endswith("/") or os.path.isdir(real):
        return os.path.join(make_folders(root, action.dest, owner), one.name)
    make_folders(root, os.path.dirname(real).removeprefix(os.fspath(root)), owner)
    return real


class _Copier:
    """Copies one source. ``owner`` is whose all becomes, None to keep each file's."""

    def __init__(self, action: CopyAction, root: Path, owner: Owner | None) -> None:
        self._action = action
        self._root = root
        self._owner = owner
        self._linked: dict[tuple[int, int], str] = {}

    def copy(self, one: Taken, target: str) -> None:
        folders: list[tuple[str, os.stat_result]] = []
        for entry in one.entries:
            full = os.path.join(target, entry.name) if entry.name else target
            if stat.S_ISDIR(entry.info.st_mode):
                self._folder(entry, full)
                folders.append((full, entry.info))
            else:
                self._file(entry, full)
        for full, info in reversed(folders):
            os.utime(full, ns=(info.st_atime_ns, info.st_mtime_ns))

    def _folder(self, entry: Entry, full: str) -> None:
        if os.path.islink(full) or (os.path.lexists(full) and not os.path.isdir(full)):
            raise onto_file(self._root, full)
        there = os.path.isdir(full)
        if not there:
            os.mkdir(full)
        # The folder that is copied into keeps what it is, as does one that is only on the way.
        if entry.name and not (there and entry.parent):
            self._dress(entry, full)

    def _file(self, entry: Entry, full: str) -> None:
        """Put one file that is no folder at ``full``, which is first removed if it is a file."""
        try:
            linked = self._make(entry, full)
        except FileExistsError:
            if os.path.isdir(full) and not os.path.islink(full):
                raise onto_folder(full.removeprefix(os.fspath(self._root))) from None
            os.unlink(full)
            linked = self._make(entry, full)
        if linked:
            return
        self._dress(entry, full)
        os.utime(full, ns=(entry.info.st_atime_ns, entry.info.st_mtime_ns), follow_symlinks=False)

    def _make(self, entry: Entry, full: str) -> bool:
        """Make the new file ``full``; whether it is another name of one that was copied. Raises FileExistsError."""
        info = entry.info
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(entry.full), full)
        elif not stat.S_ISREG(info.st_mode):
            os.mknod(full, info.st_mode, info.st_rdev)
        else:
            first = self._linked.setdefault((info.st_dev, info.st_ino), full) if info.st_nlink > 1 else full
            if first != full:
                os.link(first, full)
                return True
            _copy_content(entry.full, full, info.st_size)
        return False

    def _dress(self, entry: Entry, full: str) -> None:
        """Give a file or folder its owner, mode and attributes."""
        info = entry.info
        os.chown(full, *(self._owner or (info.st_uid, info.st_gid)), follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            return
        os.chmod(full, self._mode(info.st_mode))
        for name, value in kept_xattrs(entry.full, info.st_mode):
            os.setxattr(full, name, value, follow_symlinks=False)

    def _mode(self, mode: int) -> int:
        if self._action.mode_change:
            return changed(self._action.mode_change, stat.S_IMODE(mode), folder=stat.S_ISDIR(mode))
        return stat.S_IMODE(mode) if self._action.mode < 0 else self._action.mode


def _copy_content(source: str, full: str, size: int) -> None:
    given = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for data in pieces_of(source, size):
            view = memoryview(data)
            while view:
                view = view[os.write(given, view) :]
    finally:
        os.close(given)
