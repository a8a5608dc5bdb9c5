"""Trees that are deleted whatever they are. Paths inside a root are tests/unit/test_engine_parts.py's."""

from __future__ import annotations

import os
from pathlib import Path

from xxpy.build.engine.rooted import remove_tree


def test_a_tree_goes_with_what_forbids_it_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").touch()
    closed = tmp_path / "tree/closed"
    (closed / "in").mkdir(parents=True)
    (closed / "in/f").touch()
    (closed / "link").symlink_to(tmp_path / "outside")
    closed.chmod(0)
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    (tmp_path / "link").symlink_to("outside")
    remove_tree(tmp_path / "link")
    assert sorted(os.listdir(tmp_path)) == ["link", "outside"] and os.listdir(tmp_path / "outside") == ["f"]


def test_a_tree_deeper_than_any_path(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("ab", dir_fd=here)
        below = os.open("ab", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(tmp_path / "ab")
    assert os.listdir(tmp_path) == []
