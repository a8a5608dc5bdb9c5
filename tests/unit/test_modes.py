"""Symbolic modes, as chmod(1) reads them."""

from __future__ import annotations

import pytest

from xxpy.build.modes import changed, is_symbolic


@pytest.mark.parametrize(
    ("text", "before", "folder", "after"),
    [
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o700, True, 0o755),
        ("+x", 0o644, False, 0o755),
        ("a-x", 0o755, False, 0o644),
        ("g=u", 0o640, False, 0o660),
        ("o=g", 0o751, False, 0o755),
        ("u+s", 0o755, False, 0o4755),
        ("g+s,o+t", 0o755, True, 0o3755),
        ("o+s", 0o755, False, 0o755),
        ("+s", 0o755, False, 0o6755),
        ("u=rx", 0o4755, False, 0o555),
        ("go=", 0o777, False, 0o700),
        ("u+w-x", 0o500, False, 0o600),
        ("a-x,u+X", 0o755, False, 0o744),
        ("a-x,u+X", 0o644, False, 0o644),
        ("ug+r,o-rwx", 0o007, False, 0o440),
    ],
)
def test_changes(text: str, before: int, folder: bool, after: int) -> None:
    assert is_symbolic(text)
    assert oct(changed(text, before, folder=folder)) == oct(after)


@pytest.mark.parametrize("text", ["", "755", "rwx", "u", "u=rwz", "u=r,", ",u=r", "x+r", "u=ug", "888", "u=r w"])
def test_what_is_none(text: str) -> None:
    assert not is_symbolic(text)
