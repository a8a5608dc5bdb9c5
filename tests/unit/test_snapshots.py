"""Folders that overlayfs copied up and nothing else changed are no part of a snapshot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xxpy.build.engine.snapshots import drop_untouched
from xxpy.build.layers import OPAQUE


class Layers:
    def __init__(self, folder: Path) -> None:
        self.lower, self.middle, self.upper = (folder / name for name in ("lower", "middle", "upper"))
        for each in (self.lower, self.middle, self.upper):
            each.mkdir()

    def left(self) -> list[str]:
        drop_untouched(self.upper, (str(self.lower), str(self.middle)))
        return sorted(str(path.relative_to(self.upper)) for path in self.upper.rglob("*"))


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    try:
        os.setxattr(tmp_path, OPAQUE, b"n")
    except OSError:
        pytest.skip("no user xattrs here")
    return Layers(tmp_path)


def test_what_is_as_below_goes_with_its_parents(layers: Layers) -> None:
    (layers.lower / "etc/ssl").mkdir(parents=True)
    (layers.upper / "etc/ssl").mkdir(parents=True)
    os.utime(layers.upper / "etc", (1, 1))
    assert layers.left() == []


def test_what_holds_something_is_new_or_is_otherwise_stays(layers: Layers) -> None:
    for name in ("full", "mode", "same"):
        (layers.lower / name).mkdir()
        (layers.upper / name).mkdir()
    (layers.upper / "full/file").touch()
    (layers.upper / "mode").chmod(0o700)
    (layers.upper / "new").mkdir()
    assert layers.left() == ["full", "full/file", "mode", "new"]


def test_what_was_covered_since_stays(layers: Layers) -> None:
    """The lowest layer's folder is not what the step saw: a layer between made its parent anew."""
    (layers.lower / "a/b/c").mkdir(parents=True)
    (layers.middle / "a/b").mkdir(parents=True)
    os.setxattr(layers.middle / "a", OPAQUE, b"y")
    (layers.upper / "a/b/c").mkdir(parents=True)
    assert layers.left() == ["a", "a/b", "a/b/c"]


def test_what_hides_what_is_below_stays(layers: Layers) -> None:
    (layers.lower / "a").mkdir()
    (layers.lower / "a/old").touch()
    (layers.upper / "a").mkdir()
    os.setxattr(layers.upper / "a", OPAQUE, b"y")
    assert layers.left() == ["a"]


def test_a_file_below_is_no_folder(layers: Layers) -> None:
    (layers.lower / "a").touch()
    (layers.upper / "a").mkdir()
    assert layers.left() == ["a"]
