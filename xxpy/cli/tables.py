"""Tables as Docker prints them: plain columns, which programs cut apart as easily as people read them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from xxpy.build.naming import harmless

_UNITS = ((604800, "weeks"), (86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
ID_DIGITS = 12
"""Hex digits of a digest that are shown, as Docker does."""


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A line for ``head`` and each of ``rows``, all cells of a column as wide as the widest."""
    lines = [head, *([harmless(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("   ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def ago(nanoseconds: int, now: int) -> str:
    """``6 days ago``; both times are nanoseconds since 1970, 0 is never."""
    if not nanoseconds:
        return "never"
    seconds = max(0, now - nanoseconds) // 10**9
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return "just now"


def short_id(name: str) -> str:
    """A digest without its algorithm, short; any other id as it is."""
    return name.removeprefix("sha256:")[:ID_DIGITS] if name.startswith("sha256:") else name


def date(nanoseconds: int) -> str:
    """RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(nanoseconds / 1e9))
