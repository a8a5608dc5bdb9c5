"""Files of others read with care; a disk that may be full, read-only or not ours: errors in words, durable names."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from xxpy.errors import StoreError, XxError

_PIECE = 1 << 20


@contextlib.contextmanager
def storing(path: Path, elsewhere: str = "put the store elsewhere") -> Iterator[None]:
    """Turn an OSError of the block into a StoreError about ``path``; ``elsewhere`` is what else helps.

    Reasons: ``disk-full`` (no space, or a quota), ``store-unwritable`` (permissions, a read-only file system), else
    ``store-failed``.
    """
    try:
        yield
    except OSError as error:
        words = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"no space left to write {path}: {words}",
                remedy=f"Free space on that file system (see: df -h {_existing(path)}), or {elsewhere}.",
                reason="disk-full",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                f"cannot write {error.filename or path}: {words}",
                remedy=f"Make {path} writable for user {os.geteuid()}, or {elsewhere}.",
                reason="store-unwritable",
            ) from error
        raise StoreError(
            f"cannot write {path}: {words}",
            remedy=f"Name a place whose folders are there and can be written to, or {elsewhere}.",
            reason="store-failed",
        ) from error


def words_of(error: BaseException) -> str:
    """What an error says: of one of the system its file and why, without its number."""
    if isinstance(error, XxError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def open_descriptor(path: Path) -> int:
    """The number of the open file of ours that ``path`` names, as ``/dev/stdout`` and ``/dev/fd/N`` do; else -1.

    It may be a regular file that others append to: to be written on, not opened anew or replaced.
    """
    for _ in range(3):
        if path.name.isdecimal() and os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
            return int(path.name)
        try:
            path = path.parent / os.readlink(path)
        except OSError:
            break
    return -1


def _existing(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if each.exists()), path)


def pieces_of(path: str, size: int) -> Iterator[bytes]:
    """What a file of ``size`` bytes holds, to its end should it have grown; never through a link. Raises OSError."""
    # O_NONBLOCK: one that has become a FIFO since it was looked at must not stop the build.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Most files are small: a byte more than the file has tells that it did not grow.
        while data := os.read(fd, min(size + 1, _PIECE)):
            yield data
    finally:
        os.close(fd)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable (fsync(2) of the directory). Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
