"""Locks by name between processes and threads: files that flock(2) is asked for, and that may be removed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from xxpy.build.disk import storing
from xxpy.errors import StoreError


def lock_path(folder: Path, name: str) -> Path:
    """The file in ``folder`` that stands for ``name``, which may be any text."""
    safe = re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name)
    return folder / (name if safe else hashlib.sha256(name.encode()).hexdigest())


@contextlib.contextmanager
def locked(folder: Path, name: str, how: int) -> Iterator[bool]:
    """Hold the lock ``name`` while the block runs; ``how`` is an operation of flock(2).

    The block gets False if another holds it and ``how`` has LOCK_NB. Raises StoreError.
    """
    path = lock_path(folder, name)
    fd = -1
    try:
        while fd < 0:
            with storing(path):
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held = _flock(fd, how, path)
            if held and not os.fstat(fd).st_nlink:
                # Between the two calls somebody has removed it.
                os.close(fd)
                fd = -1
        yield held
    finally:
        if fd >= 0:
            os.close(fd)


def _flock(fd: int, how: int, path: Path) -> bool:
    try:
        with storing(path):
            fcntl.flock(fd, how)
        return True
    except StoreError as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        return False
