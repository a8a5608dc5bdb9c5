"""Which files of a folder are checked: those that are programs, libraries or object files by their first bytes.

Scripts, data and everything else are passed over; a file that is named on the command line never is. Symlinks in a
folder are not followed: what they point to is checked where it lies.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGINNINGS = (
    b"\x7fELF", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf",
    b"\xca\xfe\xba\xbf", b"!<arch>\n", b"!<thin>\n", b"\0asm",
)  # fmt: skip
_WINDOWS = (".exe", ".dll", ".sys", ".ocx", ".pyd", ".efi")


def binaries(folder: str) -> Iterator[str]:
    """The files below ``folder`` that are checked, in order. Raises OSError for a folder that cannot be read."""
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        if entry.is_dir(follow_symlinks=False):
            yield from binaries(entry.path)
        elif entry.is_file(follow_symlinks=False) and is_binary(entry.path):
            yield entry.path


def is_binary(path: str) -> bool:
    """Whether the file begins as a binary does. One that cannot be read counts: it is told, not passed over."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        head = os.pread(fd, 64, 0)
    except OSError:
        return True
    finally:
        os.close(fd)
    if head.startswith(b"MZ"):
        # Two letters are little: data may begin so.
        return path.lower().endswith(_WINDOWS) or b"This program" in head or len(head) >= 64
    if head.startswith(b"\xca\xfe\xba\xbe"):
        # A Java class has its version, 45 or more, where a universal file counts its slices.
        return len(head) >= 8 and int.from_bytes(head[4:8], "big") <= 30
    return head.startswith(_BEGINNINGS)
