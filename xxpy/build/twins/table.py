"""The dispatcher's table: which programs have a twin, under which conditions, and the twin's command line.

It is one file that the dispatcher maps into memory. All numbers are of this machine's byte order, all offsets are from
the file's beginning, and an offset of 0 ends a list:

    8 bytes "XXTWINS1", u32 count, u32 offset of the entries
    entries, sorted by path:   u32 path, u32 program, u32 prefix, u32 suffix, u32 rules, u32 0, i64 mtime
    rules of an entry:         u32 kind, u32 one, u32 two, …, u32 0 (kind END)
    lists:                     u32 offset of a text, …, u32 0
    texts:                     bytes, NUL
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"XXTWINS1"
NAME = "\1"
"""The word of a prefix that stands for the argv[0] which the program was started with."""
VARIABLE = "\2"
"""What a word of a prefix begins with that is a variable for the twin, as ``name=value``, and no argument."""


class Kind(IntEnum):
    """What a rule asks; the numbers are dispatcher.c's."""

    NO_VARIABLE = 1
    NO_ARGUMENT = 2
    NO_ARGUMENT_PREFIX = 3
    FIRST_ARGUMENT = 4
    HAS_ARGUMENT = 5
    REPLACE = 6
    NO_SUFFIX_IF = 7
    PLAIN_LOCALE = 8
    NEXT_AMONG = 9
    HAS_VARIABLE = 10
    LIBRARIES = 11
    NAMED = 12
    NO_LETTER = 13


Value = str | tuple[str, ...]


@dataclass(frozen=True)
class Guard:
    """One condition on a start, or one change of its arguments.

    NO_VARIABLE: no variable's name begins with ``one``. HAS_VARIABLE: ``one`` is there, as ``name=value``.
    LIBRARIES: of ld.so(8)'s variables there is at most LD_LIBRARY_PATH, and none of its folders has one of ``one``.
    NO_ARGUMENT: none is ``one``; NO_ARGUMENT_PREFIX: none begins with it; NO_LETTER: none that begins with one dash has
    one of the letters ``one``. HAS_ARGUMENT: one of ``one`` is there.
    FIRST_ARGUMENT: the first that is not among ``two`` is one of ``one``; ``-m NAME`` is ``-mNAME``
    there, ``-c CODE`` ``-cCODE``.
    NEXT_AMONG: what follows each ``one`` is among ``two``. REPLACE: ``one`` becomes ``two``.
    NO_SUFFIX_IF: no suffix if ``one`` is there. PLAIN_LOCALE: no locale but C and POSIX is asked for.
    NAMED: the last part of argv[0] is one of ``one``.
    """

    kind: Kind
    one: Value = ""
    two: Value = ""


@dataclass(frozen=True)
class Entry:
    """A program with a twin.

    ``path`` is its real path in the step's root and ``mtime`` its modification time in seconds since 1970, which tells
    its build. ``program`` is the file that is started in its place, with ``prefix`` (argv[0] included), the arguments
    that it was given, and ``suffix``.
    """

    path: str
    mtime: int
    program: str
    prefix: tuple[str, ...]
    suffix: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()


class _Pool:
    def __init__(self, start: int) -> None:
        self._start = start
        self._data = bytearray()
        self._texts: dict[bytes, int] = {}

    def text(self, value: str) -> int:
        data = os.fsencode(value) + b"\0"
        if data not in self._texts:
            self._texts[data] = self._put(data)
        return self._texts[data]

    def words(self, values: Iterable[str]) -> int:
        offsets = [self.text(value) for value in values]
        return self.numbers([*offsets, 0])

    def numbers(self, values: Sequence[int]) -> int:
        self._data += b"\0" * (-len(self._data) % 4)
        return self._put(struct.pack(f"={len(values)}I", *values))

    def value(self, value: Value) -> int:
        return self.text(value) if isinstance(value, str) else self.words(value)

    def rule(self, guard: Guard) -> tuple[int, int, int]:
        two = guard.two or () if guard.kind in (Kind.FIRST_ARGUMENT, Kind.NEXT_AMONG) else guard.two
        return guard.kind, self.value(guard.one), self.value(two)

    def _put(self, data: bytes) -> int:
        at = self._start + len(self._data)
        self._data += data
        return at

    def bytes(self) -> bytes:
        return bytes(self._data)


_HEAD = struct.Struct("=8sII")
_ENTRY = struct.Struct("=IIIIIIq")


def encode(entries: Iterable[Entry]) -> bytes:
    """The table's bytes. Of entries with the same path the first counts whose guards hold."""
    ordered = sorted(entries, key=lambda entry: os.fsencode(entry.path))
    pool = _Pool(_HEAD.size + _ENTRY.size * len(ordered))
    packed = []
    for entry in ordered:
        rules = [each for guard in entry.guards for each in pool.rule(guard)]
        packed.append(
            _ENTRY.pack(
                pool.text(entry.path),
                pool.text(entry.program),
                pool.words(entry.prefix),
                pool.words(entry.suffix),
                pool.numbers([*rules, 0, 0, 0]),
                0,
                entry.mtime,
            )
        )
    return _HEAD.pack(MAGIC, len(ordered), _HEAD.size) + b"".join(packed) + pool.bytes()
