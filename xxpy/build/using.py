"""Who uses the store at present: each build says so while it lives, so that what it takes from there stays.

A file in ``locks/`` stands for a build. It was made when the build began and is locked while the build lives. Whatever
was used (`Store.record`, `Store.read`, `Store.has`) since the oldest living one began may be in use still.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator

from xxpy.build.disk import storing
from xxpy.build.store import Store

_USE = "use-"
_STEP = 2_000_000_000
"""Nanoseconds by which the clock may have been set back while a build runs."""
_TICK = 20_000_000
"""Nanoseconds by which the kernel's times of files may lie behind the clock."""


@contextlib.contextmanager
def using(store: Store) -> Iterator[None]:
    """Keep all that this process and its children use of ``store`` while the block runs. Raises StoreError."""
    path = store.locks / f"{_USE}{secrets.token_hex(8)}"
    with storing(store.root):
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink:
                break
            # Between the two calls it was taken for a dead build's.
            os.close(fd)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(fd)


def used_since(store: Store) -> int:
    """From when on (nanoseconds since 1970) what was used is in use; the present where no build runs."""
    since = time.time_ns() - _TICK
    for entry in list(os.scandir(store.locks)):
        if not entry.name.startswith(_USE):
            continue
        # A build that ends meanwhile removes its own.
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
            except BlockingIOError:
                since = min(since, os.fstat(fd).st_mtime_ns - _STEP)
            finally:
                os.close(fd)
    return since
