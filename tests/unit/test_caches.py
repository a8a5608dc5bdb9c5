"""Cache folders of the store: one for each id, kept, and who waits for whom."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from xxpy.build.engine.caches import Wanted, held
from xxpy.build.graph import CacheOpt, CacheSharing
from xxpy.build.store import Store

SHARED, PRIVATE, LOCKED = CacheSharing.SHARED, CacheSharing.PRIVATE, CacheSharing.LOCKED


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def wanted(name: str, sharing: CacheSharing = SHARED, **more: int) -> Wanted:
    return Wanted(CacheOpt(name, sharing, uid=os.getuid(), gid=os.getgid(), **more))


def test_what_is_written_is_there_for_the_next_of_that_id(store: Store) -> None:
    one = wanted("linux/amd64:/c")
    with held(store, [one], store.tmp) as folders:
        (folders[one.name] / "f").write_text("kept")
        assert folders[one.name].stat().st_mode & 0o7777 == 0o755
    with held(store, [wanted("linux/amd64:/c", LOCKED), wanted("linux/arm64:/c")], store.tmp) as folders:
        assert (folders[one.name] / "f").read_text() == "kept"
        assert len(folders) == 2 and sum(bool(list(each.iterdir())) for each in folders.values()) == 1
    about = json.loads((store.caches / one.name / "about.json").read_text())
    assert about["id"] == "linux/amd64:/c"


def test_what_a_cache_begins_with_tells_it_apart(store: Store) -> None:
    names = {wanted("c").name, wanted("c", mode=0o700).name, Wanted(CacheOpt("c"), "sha256:1").name}
    assert len(names) == 3 and wanted("c").name == wanted("c", LOCKED).name

    def fill(made: Path) -> None:
        (made / "tree").mkdir()
        (made / "tree/seed").write_text("1")

    one = Wanted(CacheOpt("c"), "sha256:1", fill)
    for _ in range(2):
        with held(store, [one], store.tmp) as folders:
            assert (folders[one.name] / "seed").read_text() == "1"
    assert [each for each in store.tmp.iterdir() if each.name.startswith("cache-")] == []


def waits(store: Store, first: CacheSharing, second: CacheSharing, patience: float) -> bool:
    """Whether who wants the cache as ``second`` waits ``patience`` seconds while another has it as ``first``."""
    got, folder = threading.Event(), []

    def take() -> None:
        with held(store, [wanted("c", second)], store.tmp) as folders:
            folder.append(str(*folders.values()))
            got.set()

    with held(store, [wanted("c", first)], store.tmp) as folders:
        thread = threading.Thread(target=take)
        thread.start()
        waited = not got.wait(patience)
        own = str(*folders.values())
    thread.join(10)
    assert got.is_set() and not thread.is_alive()
    assert (folder[0] != own) == (second is PRIVATE)
    return waited


@pytest.mark.parametrize("first", CacheSharing)
@pytest.mark.parametrize("second", CacheSharing)
def test_who_waits(store: Store, first: CacheSharing, second: CacheSharing) -> None:
    expected = second is not PRIVATE and (first, second) != (SHARED, SHARED)
    assert waits(store, first, second, 0.3 if expected else 30) == expected


def test_a_private_cache_is_the_first_that_is_free(store: Store) -> None:
    with held(store, [wanted("c", PRIVATE)], store.tmp) as one, held(store, [wanted("c", PRIVATE)], store.tmp) as two:
        first, second = *one.values(), *two.values()
        (second / "f").write_text("second's")
    with held(store, [wanted("c", PRIVATE)], store.tmp) as one, held(store, [wanted("c", PRIVATE)], store.tmp) as two:
        assert [*one.values(), *two.values()] == [first, second] and (second / "f").exists()


def test_one_step_may_have_a_cache_twice(store: Store) -> None:
    with held(store, [wanted("c", SHARED), wanted("c", LOCKED), wanted("c", SHARED)], store.tmp) as folders:
        assert len(folders) == 1


def test_steps_that_want_the_same_caches_in_another_order_do_not_wait_for_each_other(store: Store) -> None:
    done = []

    def take(*names: str) -> None:
        for _ in range(50):
            with held(store, [wanted(name, LOCKED) for name in names], store.tmp):
                pass
        done.append(names)

    threads = [threading.Thread(target=take, args=names, daemon=True) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(done) == 2
