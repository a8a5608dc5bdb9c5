"""Files of an image as files of this machine: made in a new folder, then moved to where they belong.

Nothing that a link of the destination names is written, and nothing of the user's is removed but files in whose place
the result has others.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from xxpy.build.destination import ELSEWHERE
from xxpy.build.disk import storing, sync_directory
from xxpy.build.engine.namespace import undisturbed
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.tarentry import XATTR, make_device
from xxpy.errors import UsageError

_SHOWN = 3
_DEEPEST = 200
"""Folders within each other that are merged with those of the destination: each takes two open files."""


class FolderSink:
    """Writes files below ``root``, an empty folder of its own. With ``owners`` each keeps its owner."""

    def __init__(self, root: Path, *, owners: bool) -> None:
        self._root = os.fspath(root)
        self._owners = owners
        self._folders: list[tarfile.TarInfo] = []
        self._file: tuple[IO[bytes], tarfile.TarInfo] | None = None
        self._devices: list[str] = []
        self._plain: dict[str, None] = {}

    def entry(self, entry: tarfile.TarInfo) -> None:
        """Make a file. Raises OSError."""
        self._finish()
        path = f"{self._root}/{entry.name}"
        if entry.isdir():
            # Closed to others, and open for us, until all that belongs in it is there.
            os.mkdir(path, 0o700)
            self._folders.append(entry)
        elif entry.isreg():
            self._file = (open(path, "xb"), entry)  # noqa: SIM115 - its content comes with later calls
        elif entry.islnk():
            if entry.linkname in self._devices:
                self._devices.append(entry.name)
            else:
                os.link(f"{self._root}/{entry.linkname}", path, follow_symlinks=False)
        elif entry.issym():
            os.symlink(entry.linkname, path)
            self._settle(path, entry)
        elif self._special(path, entry):
            self._settle(path, entry)

    def content(self, data: bytes) -> None:
        """A piece of the last file. Raises OSError."""
        assert self._file is not None
        self._file[0].write(data)

    def end(self) -> None:
        """All is there. Raises OSError."""
        self._finish()
        for entry in reversed(self._folders):
            self._settle(f"{self._root}/{entry.name}", entry)

    def notices(self) -> list[str]:
        """What is not as it is in the image, in words."""
        found = []
        if self._devices:
            found.append(f"{_some(self._devices)} left out: only real root can make device nodes")
        if self._plain:
            found.append(f"extended attributes left out, which cannot be set here: {_some(list(self._plain))}")
        return found

    def _finish(self) -> None:
        if self._file is not None:
            file, entry = self._file
            self._file = None
            file.close()
            self._settle(f"{self._root}/{entry.name}", entry)

    def _special(self, path: str, entry: tarfile.TarInfo) -> bool:
        if entry.isfifo():
            os.mkfifo(path)
            return True
        made = make_device(entry, path)
        if not made:
            self._devices.append(entry.name)
        return made

    def _settle(self, path: str, entry: tarfile.TarInfo) -> None:
        # In this order: a new owner clears the mode's upper bits and the capabilities, writing clears both too.
        if self._owners:
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if not entry.issym():
            os.chmod(path, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            if key.startswith(XATTR):
                self._set_xattr(path, key.removeprefix(XATTR), value.encode("utf-8", "surrogateescape"), entry)
        os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)

    def _set_xattr(self, path: str, name: str, value: bytes, entry: tarfile.TarInfo) -> None:
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError:
            self._plain[entry.name] = None


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


@contextlib.contextmanager
def merged_folder(dest: str) -> Iterator[Path]:
    """A new folder whose files are moved to the folder ``dest`` when the block has ended well.

    What else is in ``dest`` stays. Raises StoreError (``disk-full``, ``store-unwritable``), UsageError
    (``output-in-the-way``: a folder with files where the result has a file).
    """
    # The user's own link to a folder is followed; links within it are not.
    path = Path(os.path.realpath(dest))
    there = path.is_dir()
    with storing(path, ELSEWHERE):
        if not there:
            path.parent.mkdir(parents=True, exist_ok=True)
        # Within a folder that is there: it may be a file system of its own.
        temporary = (path if there else path.parent) / f".{path.name[:200]}.{secrets.token_hex(4)}"
        try:
            temporary.mkdir(mode=0o700)
            yield temporary
            with undisturbed():
                if there:
                    _check_ways(temporary, path)
                    _merge_folders(temporary, path)
                else:
                    temporary.chmod(0o755)
                    os.rename(temporary, path)
                sync_directory(path)
        finally:
            with undisturbed():
                if temporary.is_dir():
                    remove_tree(temporary)


def _check_ways(source: Path, dest: Path) -> None:
    """Refuse while nothing is moved yet."""
    todo = [""]
    while todo:
        folder = todo.pop()
        if folder.count("/") >= _DEEPEST:
            raise UsageError(
                f"{dest} has more than {_DEEPEST} folders within each other that the result has too",
                remedy="name another dest=, or remove the older result",
                reason="output-in-the-way",
            )
        for each in os.scandir(source / folder):
            name = f"{folder}/{each.name}" if folder else each.name
            there = dest / name
            if not there.is_dir() or there.is_symlink():
                continue
            if each.is_dir(follow_symlinks=False):
                todo.append(name)
            elif any(there.iterdir()):
                raise UsageError(
                    f"{there} is a folder with files, and the result has a file of that name",
                    remedy="move it away, or name another dest=",
                    reason="output-in-the-way",
                )


def _merge_folders(source: Path, dest: Path) -> None:
    source_fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        dest_fd = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _merge(source_fd, dest_fd)
        finally:
            os.close(dest_fd)
    finally:
        os.close(source_fd)


def _merge(source: int, dest: int) -> None:
    """Move all of one open folder into another. By open folders, so that no link leads elsewhere."""
    for name in sorted(os.listdir(source)):
        is_folder = stat.S_ISDIR(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode)
        there = _mode_at(name, dest)
        if is_folder:
            _merge_one(name, source, dest, there)
        else:
            if there is not None and stat.S_ISDIR(there):
                os.rmdir(name, dir_fd=dest)
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=dest)


def _merge_one(name: str, source: int, dest: int, there: int | None) -> None:
    info = os.stat(name, dir_fd=source, follow_symlinks=False)
    # Only who may write in a folder may move it or what it holds.
    os.chmod(name, stat.S_IMODE(info.st_mode) | 0o700, dir_fd=source)
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=source)
    settled = fd
    try:
        if there is not None and stat.S_ISDIR(there):
            settled = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=dest)
            with contextlib.suppress(PermissionError):
                # An earlier result may have closed it for its owner too.
                os.fchmod(settled, stat.S_IMODE(there) | 0o700)
            _merge(fd, settled)
            if os.geteuid() == 0:
                os.fchown(settled, info.st_uid, info.st_gid)
        else:
            if there is not None:
                os.unlink(name, dir_fd=dest)
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=dest)
        os.fchmod(settled, stat.S_IMODE(info.st_mode))
        os.utime(settled, ns=(info.st_atime_ns, info.st_mtime_ns))
    finally:
        for each in {fd, settled}:
            os.close(each)


def _mode_at(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
