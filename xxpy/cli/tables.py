"""Tables as Docker prints them: plain columns, which programs cut apart as easily as people read them."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Sequence

from xxpy.build.naming import harmless
from xxpy.build.tables import cells, table, width_of, wrapped

_UNITS = ((604800, "weeks"), (86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
ID_DIGITS = 12
"""Hex digits of a digest that are shown, as Docker does."""


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], gap: int = 3, indent: int = 0) -> str:
    """The table of ``head`` and ``rows`` for stdout, as narrow as a terminal; ``indent`` columns to the right."""
    lines = [head, *([harmless(cell) for cell in row] for row in rows)]
    width = width_of(sys.stdout)
    made = table(lines, gap=gap, width=None if width is None else max(width - indent, 1))
    return textwrap.indent(made, " " * indent)


def beside(head: str, text: str) -> str:
    """``head`` and ``text`` on a line for stdout; where a terminal is too narrow, ``text`` on several."""
    width = width_of(sys.stdout)
    if width is None or cells(head) + cells(text) <= width or width < 2 * cells(head):
        return head + text
    return head + f"\n{' ' * cells(head)}".join(wrapped(text, width - cells(head)))


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
