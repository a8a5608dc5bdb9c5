"""Files that are written under a temporary name and get their own when whole; what killed writers left, removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from pathlib import Path

from xxpy.build.disk import sync_directory

PARTIAL = "pull-"
"""What files begin with that the next writer goes on with (`xxpy.build.partial`)."""
PARTIAL_LASTS = 7 * 24 * 3600.0
"""Seconds after its last byte that a partial file stays for who may want it."""

_TEMP = "put-"


class Temporary:
    """A new file in ``tmp/`` that gets its own name when it is whole.

    It stays locked while its writer lives. So what a killed writer left is a file whose lock is free.
    """

    def __init__(self, directory: Path) -> None:
        while True:
            self.path = directory / (_TEMP + secrets.token_hex(12))
            self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if os.fstat(self.fd).st_nlink:
                return
            # A sweep got the lock first, between the two calls, and took the file for a dead writer's.
            os.close(self.fd)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def publish(self, name: Path, *, sync: bool) -> None:
        if sync:
            os.fsync(self.fd)
        os.rename(self.path, name)
        if sync:
            sync_directory(name.parent)

    def discard(self) -> None:
        """Close the file, and remove it unless it was published."""
        if self.fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            os.close(self.fd)
            self.fd = -1


def sweep(directory: Path, partial_lasts: float = PARTIAL_LASTS) -> None:
    """Remove what killed writers left in ``directory``, of partial files what nobody has written to for that long.

    Raises OSError.
    """
    for entry in list(os.scandir(directory)):
        partial = entry.name.startswith(PARTIAL) and _age(entry) >= partial_lasts
        if not partial and not entry.name.startswith(_TEMP):
            continue
        # Whoever publishes or removes it meanwhile is as welcome.
        with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
            fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
            finally:
                os.close(fd)


def _age(entry: os.DirEntry[str]) -> float:
    """Seconds since a file was written to; none for one that is gone."""
    with contextlib.suppress(FileNotFoundError):
        return time.time() - entry.stat(follow_symlinks=False).st_mtime
    return 0.0
