"""Compressed streams that others made, read with a bound: what they unpack to ends somewhere, whatever they say."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import zlib
from typing import IO, Any, cast

MOST_BYTES = 64 << 30
"""Bytes that a layer or an archive may unpack to."""
MOST_ENTRIES = 2_000_000
"""Entries of a layer or an archive, at most."""

_MOST_MEMORY = 1 << 30
"""Bytes that an xz stream may ask for as its dictionary; ``xz -9`` asks for 64 MiB."""
_PIECE = 1 << 18


class BadStream(Exception):
    """What is read is damaged, or is more than is allowed. The message says which."""


class Bounded(io.RawIOBase):
    """A stream that hashes what is read and ends with BadStream if it is damaged or longer than ``limit`` bytes."""

    def __init__(self, source: IO[bytes], limit: int = MOST_BYTES) -> None:
        self._source = source
        self._limit = limit
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(len(buffer))
        except (zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
            raise BadStream(str(error)) from error
        except OSError as error:
            # gzip and bz2 raise it for damaged data; the system's own has a number.
            if error.errno is not None:
                raise
            raise BadStream(str(error)) from error
        self._limit -= len(data)
        if self._limit < 0:
            raise BadStream("it unpacks to more than is allowed")
        self.hash.update(data)
        buffer[: len(data)] = data
        return len(data)


class _Zstd(io.RawIOBase):
    """A zstd stream. The library is imported with the first that is read: few are."""

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self._error: type[Exception] = zstandard.ZstdError
        self._reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw, read_across_frames=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._reader.read(len(buffer))
        except self._error as error:
            raise BadStream(str(error)) from error
        buffer[: len(data)] = data
        return len(data)


class _Xz(io.RawIOBase):
    """xz streams one after the other, with a bound on memory, which LZMAFile does not have."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._pending = b""
        self._stream = self._new()

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._stream.eof:
                # Between streams there may be zeros ("Stream Padding" of the .xz format).
                self._pending = (self._stream.unused_data or self._pending).lstrip(b"\0") or self._raw.read(_PIECE)
                if not self._pending:
                    return 0
                if not self._pending.lstrip(b"\0"):
                    self._pending = b""
                    continue
                self._stream = self._new()
            piece = b""
            if self._stream.needs_input:
                piece = self._pending or self._raw.read(_PIECE)
                self._pending = b""
                if not piece:
                    raise EOFError("the xz stream is cut short")
            data = self._stream.decompress(piece, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


def by_magic(raw: IO[bytes]) -> IO[bytes]:
    """The content of ``raw``, which is at its start: unpacked if its first bytes say that it is compressed."""
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b\x08"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(raw))
    if magic == b"\xfd7zXZ\0":
        return cast(IO[bytes], _Xz(raw))
    # A frame, or a skippable one before it (RFC 8878).
    if magic.startswith(b"\x28\xb5\x2f\xfd") or (magic[1:4] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50):
        return cast(IO[bytes], _Zstd(raw))
    return raw


def by_media_type(raw: IO[bytes], media_type: str) -> IO[bytes]:
    """The content of a layer whose type is that (OCI image-spec, layer.md)."""
    if media_type.endswith(("+gzip", ".gzip")):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if media_type.endswith("+zstd"):
        return cast(IO[bytes], _Zstd(raw))
    return raw
