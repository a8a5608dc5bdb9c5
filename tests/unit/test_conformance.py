"""The conformance set itself: each case has an answer, and what differs on purpose is documented."""

from __future__ import annotations

from pathlib import Path

from conformance.cases import DIFFERENT, answers, cases

ROOT = Path(__file__).parents[2]


def test_each_case_has_an_answer() -> None:
    names = {case.name for case in cases()}
    assert len(names) >= 150 and names == set(answers())


def test_what_differs_is_documented() -> None:
    text = (ROOT / "docs/conformance.md").read_text()
    for name, reason in DIFFERENT.items():
        assert f"| `{name}` | {reason} |" in text
