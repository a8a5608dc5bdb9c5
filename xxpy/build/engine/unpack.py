"""ADD of a local archive: a tar taken apart over what a folder holds already, as if that folder were the root.

Source: Dockerfile reference, "Adding local tar archives"; tar(5). The archive is whoever's: no name leads out of the
folder, links in it are followed inside it only, and entries, bytes and memory are bounded.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from xxpy.build.compressed import MOST_BYTES, MOST_ENTRIES, BadStream, Bounded, by_magic
from xxpy.build.engine.places import Owner, make_folders, onto_file
from xxpy.build.engine.rooted import inside, remove_tree
from xxpy.build.tarentry import LATEST, XATTR, make_device, write_content
from xxpy.build.xattrs import is_kept
from xxpy.errors import SourceError


def is_archive(path: str) -> bool:
    """Whether a regular file is a tar, plain or compressed by gzip, bzip2, xz or zstd: by its content alone."""
    with open(path, "rb") as raw:
        try:
            first = _stream(raw).read(tarfile.BLOCKSIZE)
            tarfile.TarInfo.frombuf(first, "utf-8", "surrogateescape")
        except (BadStream, tarfile.HeaderError, EOFError):
            return False
    return True


def _stream(raw: IO[bytes]) -> io.BufferedReader:
    return io.BufferedReader(Bounded(by_magic(raw)), 1 << 20)


def unpack(path: str, root: Path, folder: str, owner: Owner | None, say: Callable[[str], None]) -> None:
    """Unpack the archive at ``path`` into ``folder``, which is in ``root``; both are paths of this process.

    ``owner`` is whose all becomes, None for whom the archive says. ``say`` is told what is left out. Raises SourceError
    (``bad-archive``, ``copy-onto-file``), OSError.
    """
    work = _Unpacker(root, Path(folder), owner, say)
    size = 0
    try:
        with open(path, "rb") as raw, tarfile.open(fileobj=_stream(raw), mode="r|") as tar:
            for count, entry in enumerate(tar):
                # The holes of a sparse file are not in the stream.
                size += entry.size
                if count >= MOST_ENTRIES or size > MOST_BYTES:
                    raise BadStream(f"it has more than {MOST_ENTRIES} entries or {MOST_BYTES} bytes")
                work.take(tar, entry)
    except (tarfile.TarError, BadStream, EOFError, ValueError) as error:
        raise SourceError(
            f"the archive {os.path.basename(path)} cannot be unpacked: {error}",
            remedy="make it again, give its files to one user with --chown, or copy it as it is: --unpack=false",
            reason="bad-archive",
        ) from error
    work.finish()


class _Unpacker:
    def __init__(self, root: Path, folder: Path, owner: Owner | None, say: Callable[[str], None]) -> None:
        self._root = root
        self._folder = folder
        self._owner = owner
        self._say = say
        self._times: list[tuple[str, float]] = []
        self._modes: list[tuple[str, int]] = []

    def take(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        """Put one entry in its place. Raises BadStream, SourceError, OSError."""
        full = self._place(entry.name)
        if full != os.fspath(self._folder):
            _clear(full, entry)
        if not self._create(tar, entry, full):
            return
        if entry.islnk():
            return
        self._give(entry, full)
        if entry.isdir():
            # What is yet to come into it must get in, whoever this is.
            os.chmod(full, entry.mode & 0o7777 | stat.S_IRWXU)
            self._modes.append((full, entry.mode & 0o7777))
        elif not entry.issym():
            os.chmod(full, entry.mode & 0o7777)
        if not entry.issym():
            for key, value in entry.pax_headers.items():
                name = key.removeprefix(XATTR)
                if name != key and is_kept(name):
                    os.setxattr(full, name, value.encode("utf-8", "surrogateescape"))
        # In this order what is no number is 0.
        self._times.append((full, min(max(0, entry.mtime), LATEST)))

    def _give(self, entry: tarfile.TarInfo, full: str) -> None:
        owner = self._owner or (entry.uid, entry.gid)
        try:
            os.chown(full, *owner, follow_symlinks=False)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            # An id beyond those that the user may map (user_namespaces(7)).
            raise BadStream(
                f"{entry.name[:100]!r} belongs to {owner[0]}:{owner[1]}, which cannot be had here"
            ) from None

    def finish(self) -> None:
        """The times of the entries, folders last: what was put into them has changed theirs. Then their modes."""
        for full, mtime in filter(self._still_there, reversed(self._times)):
            with contextlib.suppress(FileNotFoundError):
                os.utime(full, (mtime, mtime), follow_symlinks=False)
        for full, mode in filter(self._still_there, reversed(self._modes)):
            if not os.path.islink(full) and os.path.isdir(full):
                os.chmod(full, mode)

    def _still_there(self, noted: tuple[str, float]) -> bool:
        """Whether no link has taken the place of a folder above what was noted: that would lead elsewhere."""
        full = noted[0]
        return inside(self._folder, os.path.relpath(full, self._folder), follow=False) == full

    def _place(self, name: str) -> str:
        """Where an entry goes; its folder is there. Raises BadStream for a name that leads up."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or any(len(os.fsencode(part)) > 255 for part in parts):
            raise BadStream(f"it names {name[:100]!r}")
        if not parts:
            return os.fspath(self._folder)
        return os.path.join(make_folders(self._folder, "/".join(parts[:-1]), self._owner), parts[-1])

    def _create(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, full: str) -> bool:
        """Make what the entry says; False if it is left out."""
        if entry.isdir():
            if not os.path.isdir(full):
                os.mkdir(full)
        elif full == os.fspath(self._folder):
            raise onto_file(self._root, full) if not os.path.isdir(full) else BadStream("it names no file")
        elif entry.issym():
            os.symlink(entry.linkname, full)
        elif entry.islnk():
            self._link(entry, full)
        elif entry.isfifo():
            os.mkfifo(full)
        elif entry.ischr() or entry.isblk():
            return self._device(entry, full)
        elif entry.isreg():
            write_content(tar, entry, full)
        else:
            raise BadStream(f"{entry.name[:100]!r} is of a type that is not known")
        return True

    def _link(self, entry: tarfile.TarInfo, full: str) -> None:
        if ".." in entry.linkname.split("/"):
            raise BadStream(f"it links to {entry.linkname[:100]!r}")
        source = inside(self._folder, entry.linkname, follow=False)
        if not os.path.lexists(source) or (os.path.isdir(source) and not os.path.islink(source)):
            raise BadStream(f"{entry.name[:100]!r} is a link to a file that is not there")
        os.link(source, full, follow_symlinks=False)

    def _device(self, entry: tarfile.TarInfo, full: str) -> bool:
        made = make_device(entry, full)
        if not made:
            # As a rootless BuildKit does; steps get a /dev of their own.
            self._say(f"left out {entry.name}: a device, which only the machine's root can make")
        return made


def _clear(full: str, entry: tarfile.TarInfo) -> None:
    """Remove what is in an entry's place, as tar does: only a folder stays, under a folder."""
    try:
        mode = os.lstat(full).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(full)
    elif not entry.isdir():
        remove_tree(Path(full))
