"""What ``docker buildx build --progress=rawjson`` prints: status objects of the build, and words between them.

Each object has ``vertexes`` and ``logs`` (moby/buildkit, client/graph.go, SolveStatus). buildx before 0.14 writes one
over many lines, newer ones in one line. The words are warnings and, last, the error.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xxpy.build.naming import Lines, harmless

_MOST_WORDS = 200
_MOST_BYTES = 16 << 20
"""Of one object: one that is larger is left out."""


@dataclass(frozen=True)
class VertexTold:
    """A state of one of BuildKit's vertices; times are seconds since 1970, None for what has not happened."""

    digest: str
    name: str
    started: float | None
    completed: float | None
    cached: bool
    error: str


@dataclass(frozen=True)
class LogTold:
    """Bytes that a vertex's program wrote."""

    vertex: str
    data: bytes


Told = VertexTold | LogTold


class StatusReader:
    """The stream, from pieces that are cut anywhere. ``words`` are its last lines that are no status."""

    def __init__(self) -> None:
        self.words: deque[str] = deque(maxlen=_MOST_WORDS)
        self._rest = b""
        self._object: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Told]:
        """What ``data`` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_BYTES:
            self._rest = b""
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[Told]:
        """What is left without a newline."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._line(rest)

    def _line(self, line: bytes) -> Iterator[Told]:
        if self._object or line == b"{":
            self._size += len(line)
            if self._size < _MOST_BYTES:
                self._object.append(line)
            if line == b"}":
                whole, fits = b"\n".join(self._object), self._size < _MOST_BYTES
                self._object, self._size = [], 0
                if fits:
                    yield from told_by(whole)
        elif line.startswith(b"{") and line.endswith(b"}"):
            yield from told_by(line)
        elif line.strip():
            self.words.append(harmless(line[: Lines.LONGEST].decode("utf-8", "replace")))


def told_by(text: bytes) -> Iterator[Told]:
    """What one object tells. What is not as it should be tells nothing."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(value, dict):
        return
    for each in _objects(value.get("vertexes")):
        yield VertexTold(
            _text(each.get("digest")),
            _text(each.get("name")),
            _seconds(each.get("started")),
            _seconds(each.get("completed")),
            each.get("cached") is True,
            _text(each.get("error")),
        )
    for each in _objects(value.get("logs")):
        try:
            data = base64.b64decode(_text(each.get("data")), validate=True)
        except (binascii.Error, ValueError):
            continue
        yield LogTold(_text(each.get("vertex")), data)


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    """A time of RFC 3339."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
