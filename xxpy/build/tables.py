"""Tables of plain columns, which programs cut apart as easily as people read them, and which fit a narrow terminal."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TextIO

_INDENT = 4
_USUAL_WIDTH = 80
_LEAST_TEXT = 24
"""Columns of a terminal in which sentences can be read; with fewer they go to a line of their own."""

_Places = list[tuple[int, int, int]]
"""The columns that stand on one line: which column, where it begins, how wide it is."""


def table(rows: Sequence[Sequence[str]], *, gap: int = 2, width: int | None = None, bold: bool = False) -> str:
    """A line for each of ``rows``, the first of which is the head: all cells of a column as wide as the widest.

    In a terminal of ``width`` columns (None for any) what does not fit goes to further, indented lines of the same row,
    and texts are wrapped between words. ``bold`` marks the head for a terminal. No line ends with blanks.
    """
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    least = [max(_least(cell) for cell in column) for column in zip(*rows, strict=True)]
    placed = list(_placed(widths, least, gap, width))
    lines = []
    for number, row in enumerate(rows):
        for places in placed:
            made = _lines(row, places)
            lines += [f"\x1b[1m{line}\x1b[0m" if bold and not number and line else line for line in made]
    return "\n".join(lines)


def _least(cell: str) -> int:
    """The columns of a terminal that ``cell`` needs if it is wrapped between words."""
    return min(cells(cell), max(_LEAST_TEXT, *map(cells, cell.split(" "))))


def _placed(widths: Sequence[int], least: Sequence[int], gap: int, width: int | None) -> Iterator[_Places]:
    """Where each column stands: as many as fit on one line, the others on further lines."""
    places: _Places = []
    at = 0
    for column, wide in enumerate(widths):
        room = wide if width is None else width - at
        if places and least[column] > room and width is not None:
            yield places
            places, at = [], min(_INDENT, width // 2)
            room = width - at
        places.append((column, at, min(wide, max(room, 1))))
        at += places[-1][2] + gap
    yield places


def _lines(row: Sequence[str], places: _Places) -> Iterator[str]:
    """The lines of ``row`` for the columns that stand beside each other; none but the first row of cells is empty."""
    parts = [wrapped(row[column], wide) for column, _, wide in places]
    if not any(map(any, parts)) and places[0][1]:
        return
    for number in range(max(map(len, parts))):
        line = ""
        for (_, at, _), cell in zip(places, parts, strict=True):
            text = cell[number] if number < len(cell) else ""
            line += " " * (at - cells(line)) + text if text else ""
        yield line.rstrip()


def wrapped(text: str, wide: int) -> list[str]:
    """``text`` in lines of at most ``wide`` columns of a terminal, but for words that are longer: those stay whole."""
    if cells(text) <= wide:
        return [text]
    lines: list[str] = []
    for word in text.split():
        if lines and cells(lines[-1]) + 1 + cells(word) <= wide:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def cells(text: str) -> int:
    """How many columns of a terminal ``text`` takes (Unicode Standard Annex 11, and characters that combine)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(each) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )


def width_of(stream: TextIO) -> int | None:
    """The columns of the terminal that ``stream`` is, as COLUMNS says or the terminal itself; None if it is none."""
    if not stream.isatty():
        return None
    try:
        return int(os.environ.get("COLUMNS", "")[:5]) or _USUAL_WIDTH
    except ValueError:
        pass
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def has_styles(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that shows bold text, and its user has not refused that (NO_COLOR)."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not os.environ.get("NO_COLOR")
