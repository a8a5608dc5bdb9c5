"""Tables: columns that fit a terminal, and lines that end where their text does."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xxpy.build.tables import cells, has_styles, table, width_of

ROWS = [
    ("NAME", "PLATFORMS", "ID", "NOTE"),
    ("busybox", "linux/amd64,linux/arm64", "0123456789ab", "a base image: files only"),
    ("q", "-", "", ""),
]


def test_any_width() -> None:
    assert table(ROWS, gap=3).split("\n") == [
        "NAME      PLATFORMS                 ID             NOTE",
        "busybox   linux/amd64,linux/arm64   0123456789ab   a base image: files only",
        "q         -",
    ]
    assert table([("A", "B")]) == "A  B"


def test_what_does_not_fit_goes_to_further_lines() -> None:
    assert table(ROWS, width=40).split("\n") == [
        "NAME     PLATFORMS", "    ID", "    NOTE",
        "busybox  linux/amd64,linux/arm64", "    0123456789ab", "    a base image: files only",
        "q        -",
    ]  # fmt: skip


def test_texts_are_wrapped_below_themselves() -> None:
    text = "a stage FROM --platform=$BUILDPLATFORM if it runs no program of the image"
    assert table([("line", "why"), ("12", text)], width=40).split("\n") == [
        "line  why",
        "12    a stage FROM",
        "      --platform=$BUILDPLATFORM if it",
        "      runs no program of the image",
    ]


@given(
    st.lists(st.tuples(*[st.text("ab -/é世", max_size=30)] * 3), min_size=1, max_size=5),
    st.integers(min_value=1, max_value=100),
)
def test_no_word_is_cut_and_no_line_ends_with_blanks(rows: list[tuple[str, str, str]], width: int) -> None:
    made = table(rows, width=width)
    assert sorted(made.split()) == sorted(" ".join(" ".join(row) for row in rows).split())
    for line in made.split("\n"):
        assert line == line.rstrip() and (cells(line) <= width or len(line.split()) == 1)


def test_wide_and_combining_characters() -> None:
    assert cells("é") == 1 and cells("e\u0301") == 1 and cells("世界") == 4
    assert table([("a", "b"), ("世界", "x")]).split("\n") == ["a     b", "世界  x"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    assert width_of(Terminal()) == 60 and width_of(io.StringIO()) is None
    for columns in ("", "0", "wide"):
        monkeypatch.setenv("COLUMNS", columns)
        assert width_of(Terminal()) == 80
    assert has_styles(Terminal()) and not has_styles(io.StringIO())
    assert table([("a", "b"), ("c", "d")], bold=True) == "\x1b[1ma  b\x1b[0m\nc  d"
    monkeypatch.setenv("TERM", "dumb")
    assert not has_styles(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_styles(Terminal())
