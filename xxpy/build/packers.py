"""How a layer's tar is compressed on its way into a blob: gzip, zstd, or not at all.

The same tar gives the same bytes, however many processors there are.
Sources: RFC 1951 and 1952 (deflate, gzip); RFC 8878 (zstd); OCI image-spec, layer.md.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from xxpy.build.outputs import GZIP, UNCOMPRESSED, ZSTD
from xxpy.build.store import BlobWriter

LAYER_TYPES = {
    GZIP: "application/vnd.oci.image.layer.v1.tar+gzip",
    ZSTD: "application/vnd.oci.image.layer.v1.tar+zstd",
    UNCOMPRESSED: "application/vnd.oci.image.layer.v1.tar",
}
"""The media type of a layer by how it is compressed."""

LEVEL = 5
"""Of gzip: level 6 gives layers that are 1 % smaller and takes half as long again."""
_ZSTD_LEVEL = 3
_ZSTD_SMALL = 12

_BLOCK = 256 << 10
_WINDOW = 32 << 10
"""Bytes that deflate looks back, over the end of a block too."""
_SAMPLE, _SAMPLES = 2 << 10, 4
_WORTH_IT = 0.98
# Raw deflate: the frame around it is written here.
_RAW = -zlib.MAX_WBITS
_END = b"\x03\0"
"""An empty last block of deflate."""


def threads() -> int:
    """How many threads compress one layer."""
    return min(8, os.cpu_count() or 1)


class Packer(Protocol):
    """Takes a tar piece by piece."""

    def write(self, data: bytes, /) -> int: ...

    def end(self) -> str:
        """Write what is left; the digest of all that went in."""
        ...


def packer(out: BlobWriter, compression: str, level: int | None = None) -> Packer:
    """What packs into ``out``. ``level`` is None for the usual one; 0 is zstd's word for its own default."""
    if compression == GZIP:
        return GzipPacker(out, LEVEL if level is None else level)
    if compression == ZSTD:
        return _ZstdPacker(out, level or _ZSTD_LEVEL)
    return _PlainPacker(out)


class GzipPacker:
    """gzip without a name or a time, in blocks that threads compress beside each other, each with the one before as
    its dictionary. What does not become smaller is stored."""

    def __init__(self, out: BlobWriter, level: int = LEVEL) -> None:
        self._out = out
        self._level = level
        self._hash = hashlib.sha256()
        self._crc = self._size = 0
        self._pending = bytearray()
        self._before = b""
        self._running: deque[Future[bytes]] = deque()
        self._most = 2 * threads()
        self._pool: ThreadPoolExecutor | None = None
        out.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")

    def write(self, data: bytes, /) -> int:
        self._pending += data
        while len(self._pending) >= _BLOCK:
            # Begun with the first whole block: most layers have none.
            self._pool = self._pool or ThreadPoolExecutor(threads(), "gzip")
            with memoryview(self._pending) as view:
                block = bytes(view[:_BLOCK])
            del self._pending[:_BLOCK]
            self._running.append(self._pool.submit(deflated, block, self._before, self._level))
            self._count(block)
            self._before = block[-_WINDOW:]
            if len(self._running) >= self._most:
                self._out.write(self._running.popleft().result())
        return len(data)

    def _count(self, block: bytes) -> None:
        self._hash.update(block)
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)

    def end(self) -> str:
        last = bytes(self._pending)
        self._count(last)
        while self._running:
            self._out.write(self._running.popleft().result())
        if self._pool is not None:
            self._pool.shutdown()
        self._out.write(deflated(last, self._before, self._level) + _END)
        self._out.write(self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))
        return "sha256:" + self._hash.hexdigest()


def deflated(block: bytes, before: bytes, level: int) -> bytes:
    """``block`` in whole bytes of deflate, which may refer back to ``before``."""
    level = level if _shrinks(block) else 0
    given = (level, zlib.DEFLATED, _RAW, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY)
    squeeze = zlib.compressobj(*given, before) if before else zlib.compressobj(*given)
    return squeeze.compress(block) + squeeze.flush(zlib.Z_SYNC_FLUSH)


def _shrinks(block: bytes) -> bool:
    """Whether compressing ``block`` is worth the time, by a few pieces of it: what is compressed or random is not."""
    step = len(block) // _SAMPLES
    if step < _SAMPLE:
        return True
    sample = b"".join(block[at : at + _SAMPLE] for at in range(0, _SAMPLES * step, step))
    return len(zlib.compress(sample, 1)) < _WORTH_IT * len(sample)


class _ZstdPacker:
    def __init__(self, out: BlobWriter, level: int) -> None:
        # Imported with the first layer that needs it: few do.
        import zstandard

        self._out = out
        # One thread or several give the same bytes, none gives others: so the level alone decides between them. Each
        # holds a few windows, and those of high levels are of many megabytes.
        count = min(2, threads()) if level <= _ZSTD_SMALL else 0
        self._squeeze = zstandard.ZstdCompressor(level=level, threads=count).compressobj()
        self._hash = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self._hash.update(data)
        self._out.write(self._squeeze.compress(data))
        return len(data)

    def end(self) -> str:
        self._out.write(self._squeeze.flush())
        return "sha256:" + self._hash.hexdigest()


class _PlainPacker:
    def __init__(self, out: BlobWriter) -> None:
        self._out = out

    def write(self, data: bytes, /) -> int:
        return self._out.write(data)

    def end(self) -> str:
        return self._out.digest
