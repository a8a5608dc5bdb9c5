"""What every reader of a tar does alike with an entry: its content as a file, its device as a node."""

from __future__ import annotations

import os
import stat
import tarfile

from xxpy.build.compressed import BadStream

XATTR = "SCHILY.xattr."
"""What the name of an extended attribute has before it in a pax header (star(1))."""

LATEST = 1 << 34
"""Seconds since 1970 of the latest time that a file gets: what filesystems can hold (ext4: the year 2446)."""


def write_content(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
    """Make the new file ``path`` of what a regular entry holds. Raises BadStream if it is cut short, OSError."""
    content = tar.extractfile(entry)
    with open(path, "xb") as file:
        while content is not None and (data := content.read(1 << 20)):
            file.write(data)
        if file.tell() != entry.size:
            raise BadStream(f"{entry.name[:100]!r} is cut short")


def make_device(entry: tarfile.TarInfo, path: str) -> bool:
    """Make the device node ``path``; False if only real root may, or if there is no such number. Raises OSError."""
    kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
    try:
        os.mknod(path, kind | 0o600, os.makedev(entry.devmajor, entry.devminor))
    except (PermissionError, OverflowError):
        return False
    return True
