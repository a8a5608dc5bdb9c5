"""Blobs that come from afar and may take long: what is there of one outlasts who wrote it, and the next goes on there.

A partial blob is ``tmp/pull-HEX``, by the digest that it is to have. What it holds is nobody's word until all of it has
that digest: after a crash of the machine there may be anything in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from types import TracebackType
from typing import Self

from xxpy.build.descriptor import Descriptor, hex_of
from xxpy.build.disk import storing, sync_directory
from xxpy.build.engine.syscalls import begin_writing
from xxpy.build.store import Store
from xxpy.build.temporary import PARTIAL
from xxpy.errors import StoreError

_PIECE = 1 << 20
_PART = 32 << 20
"""Bytes after which the disk begins to write what has come, so that little is left to wait for at the end."""


class PartialBlob:
    """The blob ``wanted`` as far as it is in ``store``, for writing on. Who opens it has the lock of its digest.

    Without `commit` what was written stays for the next, until it is swept (`xxpy.build.temporary.sweep`).
    """

    def __init__(self, store: Store, wanted: Descriptor) -> None:
        self._store = store
        self._wanted = wanted
        self._path = store.tmp / (PARTIAL + hex_of(wanted.digest))
        self._fd = -1
        self._hash = hashlib.sha256()
        self.size = 0
        """Bytes that are there."""

    def __enter__(self) -> Self:
        with storing(self._store.root):
            self._open()
            while data := os.read(self._fd, _PIECE):
                self._hash.update(data)
                self.size += len(data)
            if self.size > self._wanted.size:
                self.restart()
        return self

    def _open(self) -> None:
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                self._fd = os.open(self._path, flags, 0o644)
            except PermissionError:
                # Another user's, as after a pull by sudo: the folder is ours.
                os.unlink(self._path)
                self._fd = os.open(self._path, flags, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if os.fstat(self._fd).st_nlink:
                return
            # A sweep got the lock first, between the two calls.
            os.close(self._fd)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            if not self.size:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
            os.close(self._fd)
            self._fd = -1

    def write(self, data: bytes) -> None:
        """Append ``data``, or nothing. Raises StoreError; with a full disk what was there is gone, as it may be why."""
        view = memoryview(data)
        try:
            with storing(self._store.root):
                while view:
                    view = view[os.write(self._fd, view) :]
        except BaseException as error:
            if isinstance(error, StoreError) and error.reason == "disk-full":
                self.restart()
            else:
                os.ftruncate(self._fd, self.size)
                os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self._hash.update(data)
        whole = self.size // _PART
        self.size += len(data)
        if self.size // _PART > whole:
            begin_writing(self._fd, whole * _PART, _PART)

    def restart(self) -> None:
        """Throw away what is there. Raises OSError."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash, self.size = hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        """Of what is there."""
        return "sha256:" + self._hash.hexdigest()

    def commit(self) -> None:
        """Give the blob its name. It has to have its digest. Raises StoreError."""
        assert self.digest == self._wanted.digest
        with storing(self._store.root):
            os.fsync(self._fd)
            name = self._store.blob(self._wanted.digest)
            os.rename(self._path, name)
            os.close(self._fd)
            self._fd = -1
            sync_directory(name.parent)
