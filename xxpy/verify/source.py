"""Reading a file that may be anything: every offset and count is checked against the file before it is used."""

from __future__ import annotations

import os
import stat
from struct import unpack_from

from xxpy.errors import XxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Source:
    """An open regular file, or a part of one: ``size`` bytes from ``base``. ``what`` names its format in errors."""

    __slots__ = ("base", "fd", "size", "what")

    def __init__(self, fd: int, size: int, what: str, base: int = 0) -> None:
        self.fd = fd
        self.size = size
        self.what = what
        self.base = base

    def part(self, offset: int, size: int, what: str) -> Source:
        """A file within this one, as an archive's member. Raises XxError (``file-damaged``)."""
        if offset > self.size or size > self.size - offset:
            raise self.damaged(f"{what} lies outside the file")
        return Source(self.fd, size, self.what, self.base + offset)

    def head(self, count: int) -> bytes:
        """The first bytes, fewer if the file is shorter."""
        return os.pread(self.fd, min(count, self.size), self.base)

    def bytes_at(self, offset: int, count: int, what: str) -> bytes:
        """Raises XxError (``file-damaged``) if they are not in the file."""
        if offset < 0 or offset > self.size or count > self.size - offset:
            raise self.damaged(f"{what} lie{'' if what.endswith('s') else 's'} outside the file")
        data = os.pread(self.fd, count, self.base + offset)
        if len(data) < count:
            raise self.damaged(f"{what} cannot be read in full")
        return data

    def unpack(self, form: str, offset: int, size: int, what: str) -> tuple[Any, ...]:
        """`struct.unpack` of the ``size`` bytes at ``offset``."""
        return unpack_from(form, self.bytes_at(offset, size, what))

    def damaged(self, what: str) -> XxError:
        return XxError(
            f"is a damaged {self.what}: {what}", reason="elf-damaged" if "ELF" in self.what else "file-damaged"
        )


def open_regular(path: str | os.PathLike[str]) -> tuple[int, int]:
    """A descriptor and the size of a regular file; a symlink is followed.

    Raises XxError: ``elf-unreadable``, or ``elf-not-file`` (a directory, FIFO, device or socket; never waited on).
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if _is_special(path):
            raise XxError("is a device or a socket, not a program", reason="elf-not-file") from None
        raise XxError(f"cannot be read: {error.strerror}", reason="elf-unreadable") from None
    except ValueError:
        raise XxError("cannot be read: the name has a NUL character", reason="elf-unreadable") from None
    try:
        return fd, regular_size(fd)
    except XxError:
        os.close(fd)
        raise


def regular_size(fd: int) -> int:
    """The size of the regular file that is open. Raises XxError (``elf-not-file``)."""
    info = os.fstat(fd)
    if stat.S_ISDIR(info.st_mode):
        raise XxError("is a directory, not a program", reason="elf-not-file")
    if not stat.S_ISREG(info.st_mode):
        what = "FIFO" if stat.S_ISFIFO(info.st_mode) else "device or a socket"
        raise XxError(f"is a {what}, not a program", reason="elf-not-file")
    return info.st_size


def _is_special(path: str | os.PathLike[str]) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
