"""The limit of a store's cache: how it is read, and how a build learns that it is passed without looking through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores import cache_mount, snapshot, step

from xxpy.build.limit import parse_limit, probable_size
from xxpy.build.naming import human_size
from xxpy.build.sizes import known_sizes, lacking, measure, tree_size
from xxpy.build.store import Store
from xxpy.errors import UsageError

GIB = 1 << 30


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def test_limits_are_read() -> None:
    disk = 1000 * GIB
    assert parse_limit("", disk) == 100 * GIB
    assert parse_limit("", 50 * GIB) == 10 * GIB and parse_limit("", 8 * GIB) == 4 * GIB
    assert parse_limit("20g", disk) == 20 * GIB and parse_limit("512MB", disk) == 512 << 20
    assert parse_limit("15%", disk) == 150 * GIB and parse_limit("0", disk) == 0
    assert parse_limit("off", disk) is None and parse_limit("OFF", disk) is None
    for text in ("x", "-1", "5 %", "%", "10gg"):
        with pytest.raises(UsageError) as caught:
            parse_limit(text, disk)
        assert caught.value.reason == "bad-limit"


def test_snapshots_are_measured_once(store: Store) -> None:
    step(store, "a", size=50_000)
    assert lacking(store, known_sizes(store))
    assert measure(store).snapshots["a"] >= 50_000 and not lacking(store, known_sizes(store))
    (store.snapshots / "a/file").write_bytes(b"")
    snapshot(store, "b")
    assert measure(store).snapshots["a"] >= 50_000 and set(known_sizes(store).snapshots) == {"a", "b"}
    before = probable_size(store)
    (store.snapshots / "a/file").unlink()
    (store.snapshots / "a").rmdir()
    assert probable_size(store) <= before - 50_000
    assert set(measure(store).snapshots) == {"b"}


def test_a_cache_mount_is_measured_again_after_its_use(store: Store) -> None:
    cache_mount(store, "c", 10_000)
    first = measure(store, 0.0).caches["c"]
    assert first[0] >= 10_000
    (store.caches / "c/tree/more").write_bytes(b"x" * 100_000)
    assert measure(store, 0.0).caches["c"][0] == first[0]
    (store.caches / "c/about.json").touch()
    # Not after each build, if they are frequent.
    assert measure(store).caches["c"][0] == first[0]
    assert measure(store, 0.0).caches["c"][0] >= 110_000


def test_links_and_holes_take_what_they_take(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * 100_000)
    once = tree_size(tree)
    (tree / "link").hardlink_to(tree / "file")
    (tree / "away").symlink_to("/usr")
    with (tree / "hole").open("wb") as file:
        file.truncate(1 << 30)
    assert once <= tree_size(tree) < once + 20_000
    assert tree_size(tmp_path / "nothing") == 0


def test_sizes_for_people() -> None:
    shown = [human_size(size) for size in (0, 999, 1000, 12_345_678, 999_949, 999_960, 3 * 10**12)]
    assert shown == ["0B", "999B", "1kB", "12.35MB", "999.9kB", "1MB", "3TB"]
