"""What is planned to go out of a store, and that nothing else goes: real stores, real processes beside them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from stores import DAY, age, cache_mount, image, inventory, layer_record, named, snapshot, step, there

from xxpy.build.collect import remove_all
from xxpy.build.engine.cache import Cache, Record
from xxpy.build.engine.caches import lock_of
from xxpy.build.engine.images import unpacked_key
from xxpy.build.graph import digest_of
from xxpy.build.inventory import Inventory, Item, Kind
from xxpy.build.prune import Limits, cache_size, parse_filters, plan
from xxpy.build.store import Store
from xxpy.build.using import used_since, using
from xxpy.errors import UsageError

ROOT = Path(__file__).parents[2]
ALL = Limits(everything=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def items(*given: Item) -> Inventory:
    return Inventory({item.id: item for item in given})


def going(found: Inventory, limits: Limits = ALL, now: int = 1000) -> list[str]:
    return [item.id for item in plan(found, limits, now).items]


def prune(store: Store, limits: Limits = ALL) -> set[str]:
    """Have go what may; the snapshots and cache mounts that are left."""
    # The kernel's times of files have a grain: what was used just now could be a build's that begins.
    time.sleep(0.03)
    found = inventory(store)
    remove_all(store, found, plan(found, limits, time.time_ns()), lambda item: None)
    return there(store)


def thing(name: str, used: int = 5, size: int = 10, kind: Kind = Kind.SNAPSHOT, **more: object) -> Item:
    refers = frozenset(str(each) for each in more.pop("refers", ()))  # type: ignore[attr-defined]
    return replace(Item(name, kind, size, used, refers), **more)  # type: ignore[arg-type]


def test_the_oldest_goes_first_until_it_is_enough() -> None:
    found = items(thing("new", 9), thing("old", 1), thing("mid", 5))
    assert going(found) == ["old", "mid", "new"]
    assert going(found, replace(ALL, keep=20)) == ["old"]
    assert going(found, replace(ALL, keep=19)) == ["old", "mid"]
    assert going(found, replace(ALL, keep=30)) == [] and going(found, replace(ALL, keep=0)) == ["old", "mid", "new"]


def test_what_is_in_use_or_named_stays_with_all_below_it() -> None:
    found = items(
        thing("base"),
        thing("top"),
        thing("record", record=True, needed=True, refers=["base", "top"]),
        thing("layer", kind=Kind.BLOB),
        thing("manifest", kind=Kind.IMAGE, named=True, refers=["layer"]),
        thing("free"),
    )
    assert going(found) == ["free"]


def test_what_refers_goes_before_what_it_refers_to() -> None:
    found = items(
        thing("base", 5),
        thing("top", 5),
        thing("one", 5, record=True, refers=["base"]),
        thing("two", 5, record=True, refers=["base", "top"]),
        thing("index", 5, kind=Kind.BLOB, refers=["manifest"]),
        thing("manifest", 5, kind=Kind.BLOB, refers=["layer"]),
        thing("layer", 1, kind=Kind.BLOB),
    )
    order = going(found)
    assert sorted(order) == sorted(found.items)
    for item in found.items.values():
        assert all(order.index(item.id) < order.index(name) for name in item.refers), order
    assert going(found, replace(ALL, keep=69)) == ["index", "manifest", "layer"]


def test_things_that_refer_to_each_other_end() -> None:
    assert sorted(going(items(thing("a", refers=["b"]), thing("b", refers=["a"])))) == ["a", "b"]


def test_names_do_not_count_for_the_limit() -> None:
    found = items(thing("image", size=1000, kind=Kind.IMAGE, named=True), thing("a", size=10))
    assert cache_size(found) == 10 and going(found, replace(ALL, keep=10)) == []


def test_without_all_what_images_were_made_of_stays() -> None:
    found = items(
        thing("base"),
        thing("packed", shared=True),
        thing("record", record=True, kind=Kind.INTERNAL, makes="packed", refers=["base", "packed"]),
        thing("other"),
        thing("said", record=True, kind=Kind.INTERNAL),
    )
    assert going(found, Limits()) == ["other"]
    assert set(going(found)) == {"base", "packed", "record", "other", "said"}


def test_filters() -> None:
    hour = 3600 * 10**9
    assert parse_filters(["until=24h"], ALL).unused == 24 * hour
    assert parse_filters(["unused-for=1h30m"], ALL).unused == hour * 3 // 2
    assert parse_filters(["type=exec.cachemount,id=ab", "id=cd"], Limits()).ids == ("ab", "cd")
    for text in ("until=", "until=1", "until=1d", "until=-1h", "until=1..5h", "type=x", "id=", "x=1", "until", ""):
        with pytest.raises(UsageError) as caught:
            parse_filters([text], ALL)
        assert caught.value.reason == "bad-filter", text


def test_filters_choose() -> None:
    found = items(thing("abc", 10), thing("abd", 90), thing("sha256:abe", 50, kind=Kind.BLOB))
    assert going(found, replace(ALL, unused=50), now=100) == ["abc", "sha256:abe"]
    assert going(found, replace(ALL, ids=("ab",))) == ["abc", "sha256:abe", "abd"]
    assert going(found, replace(ALL, ids=("sha256:abe", "abd"))) == ["sha256:abe", "abd"]
    assert going(found, replace(ALL, kinds=(Kind.BLOB,))) == ["sha256:abe"]


def test_the_inventory_of_a_store(store: Store) -> None:
    step(store, "base", size=100_000)
    step(store, "top", ("base",))
    snapshot(store, "orphan")
    cache_mount(store, "cache", 50_000)
    manifest = image(store, (b"layer",))
    named(store, "docker.io/library/a:latest", manifest)
    loose = store.put_bytes(b"loose", "text/plain")
    age(store)
    found = inventory(store).items
    assert found["base"].size >= 100_000 and found["cache"].size >= 50_000
    assert found["base"].text == "RUN base" and found["top"].text == "RUN top"
    assert found["cache"].text == "cache id of cache"
    assert {one.id for one in found.values() if one.named} >= {manifest.digest} | found[manifest.digest].refers
    assert found[loose.digest].kind is Kind.BLOB and found[manifest.digest].kind is Kind.IMAGE
    assert not any(one.needed for one in found.values() if one.id != "orphan")
    kinds = {one.kind for one in found.values()}
    assert kinds == set(Kind)


def test_last_use_is_that_of_what_refers_to_it(store: Store) -> None:
    base, top = step(store, "base"), step(store, "top", ("base",))
    age(store, base, days=9)
    age(store, top, days=2)
    found = inventory(store).items
    assert found["base"].used == found["top"].used
    assert time.time_ns() - 3 * DAY < found["base"].used < time.time_ns() - DAY
    store.record(base)
    assert inventory(store).items["base"].used > time.time_ns() - DAY


def test_a_use_is_seen(store: Store) -> None:
    step(store, "a")
    blob = store.put_bytes(b"{}", "application/json")
    for use in (lambda: store.record(step_key("a")), lambda: store.has(blob.digest), lambda: store.read(blob.digest)):
        age(store, days=3)
        before = {name: item.used for name, item in inventory(store).items.items()}
        use()
        after = inventory(store).items
        assert [name for name in before if after[name].used > before[name] and not after[name].record] != []


def step_key(name: str) -> str:
    return digest_of(name)


def test_everything_without_a_name_goes(store: Store) -> None:
    for key in (step(store, "a"), step(store, "b", ("a",)), lock_of("cache")):
        with store.lock(key):
            pass
    cache_mount(store, "cache")
    manifest = image(store, (b"layer",))
    named(store, "docker.io/library/a:latest", manifest)
    other = image(store, (b"layer", b"more"))
    assert prune(store) == set()
    assert list(store.record_files()) == [] and not store.has(other.digest)
    assert {path.name for path in store.locks.iterdir()} <= {"index", "prune", "sizes", "synced"}
    for digest in (manifest.digest, *inventory(store).items[manifest.digest].refers):
        assert store.has(digest)
    assert list(store.tmp.iterdir()) == []


def test_what_a_named_image_was_made_of_stays_without_all(store: Store) -> None:
    layer = store.put_bytes(b"layer", "application/vnd.oci.image.layer.v1.tar")
    named(store, "docker.io/library/a:latest", image(store, (b"layer", b"upper")))
    upper = store.put_bytes(b"upper", "application/vnd.oci.image.layer.v1.tar")
    Cache(store).put(unpacked_key(layer.digest), Record((snapshot(store, "unpacked"),), 1.0))
    step(store, "made", ("unpacked",))
    layer_record(store, "made", upper)
    step(store, "other", ("unpacked",))
    assert prune(store, Limits()) == {"unpacked", "made"}
    assert store.record(step_key("made")) is not None
    assert prune(store) == set()


def test_drafts_of_dead_builds_go_and_of_living_ones_stay(store: Store) -> None:
    for name in ("work-dead", "work-alive"):
        (store.tmp / name / "upper").mkdir(parents=True)
    (store.locks / "work-gone").touch()
    (store.locks / "work-dead").touch()
    with store.lock("work-alive"):
        prune(store)
        assert os.listdir(store.tmp) == ["work-alive"]
        assert [name for name in os.listdir(store.locks) if name.startswith("work-")] == ["work-alive"]


def test_of_two_that_prune_each_tells_of_its_own(store: Store) -> None:
    step(store, "a")
    time.sleep(0.03)
    found = inventory(store)
    planned = plan(found, ALL, time.time_ns())
    first: list[Item] = []
    second: list[Item] = []
    remove_all(store, found, planned, first.append)
    assert remove_all(store, found, planned, second.append) == 0
    assert len(first) == 2 and second == []


def test_of_several_names_one_keeps_an_image(store: Store) -> None:
    manifest = image(store, (b"layer",))
    for name in ("docker.io/library/a:latest", "docker.io/library/b:latest"):
        named(store, name, manifest)
    store.untag(["docker.io/library/a:latest"])
    prune(store)
    assert store.has(manifest.digest)
    store.untag(["docker.io/library/b:latest"])
    prune(store)
    assert not store.has(manifest.digest) and list(store.blobs.iterdir()) == []


def test_a_record_of_what_is_gone_goes(store: Store) -> None:
    step(store, "a")
    step(store, "b", ("a",))
    age(store)
    (store.snapshots / "a/file").unlink()
    (store.snapshots / "a").rmdir()
    prune(store, Limits(keep=1 << 40))
    assert there(store) == {"b"}
    # Nothing can find b any more.
    assert prune(store, Limits(unused=DAY * 30)) == set()
    assert list(store.record_files()) == []


def test_damaged_files_are_no_trouble(store: Store) -> None:
    step(store, "a")
    for number, data in enumerate(
        (b"", b"{", b"null", b'{"value": 5}', b'{"value": {"chain": 5}}', b"\xff", b"[" * 9999)
    ):
        (store.records / "00").mkdir(exist_ok=True)
        (store.records / "00" / f"{'0' * 63}{number}.json").write_bytes(data)
        store.put_bytes(data, "text/plain")
    store.put_json({"manifests": [{"digest": "sha256:../x"}, 5], "layers": {"a": 1}, "config": []}, "text/plain")
    (store.files / "sizes.json").write_text('{"snapshots": []}')
    cache_mount(store, "cache")
    (store.caches / "cache/about.json").write_text("[]")
    assert prune(store) == set() and list(store.blobs.iterdir()) == []


# -- beside builds ---------------------------------------------------------------------------------------------------


def test_what_a_build_has_used_since_it_began_stays(store: Store) -> None:
    old, new = step(store, "old"), step(store, "new")
    step(store, "over", ("new",))
    blob = store.put_bytes(b"loose", "text/plain")
    age(store)
    with using(store):
        assert store.record(new) is not None and store.has(blob.digest)
        assert prune(store) == {"new"}
        assert store.record(old) is None and store.record(new) is not None and store.has(blob.digest)
    assert prune(store) == set()


def test_what_is_used_after_the_plan_stays(store: Store) -> None:
    base, top = step(store, "base"), step(store, "top", ("base",))
    step(store, "other")
    manifest = image(store, (b"layer",))
    age(store)
    found = inventory(store)
    planned = plan(found, ALL, time.time_ns())
    # Here a build begins.
    assert store.record(top) is not None
    store.read(manifest.digest)
    gone: list[Item] = []
    spared = remove_all(store, found, planned, gone.append)
    assert there(store) == {"base", "top"} and spared
    assert store.record(base) is None and store.record(top) is not None
    assert all(store.has(digest) for digest in (manifest.digest, *found.items[manifest.digest].refers))
    assert "other" in {item.id for item in gone}


def test_a_record_that_was_made_again_after_the_plan_stays(store: Store) -> None:
    step(store, "a")
    age(store)
    found = inventory(store)
    planned = plan(found, ALL, time.time_ns())
    Cache(store).put(step_key("a"), Record((snapshot(store, "again"),), 1.0))
    remove_all(store, found, planned, lambda item: None)
    assert "again" in there(store) and Cache(store).find(step_key("a")) is not None


def test_a_snapshot_that_has_no_record_yet_stays_while_its_build_lives(store: Store) -> None:
    with using(store):
        snapshot(store, "fresh")
        assert prune(store) == {"fresh"}
    assert prune(store) == set()


def test_a_cache_mount_that_a_step_has_stays(store: Store) -> None:
    cache_mount(store, "held")
    cache_mount(store, "free")
    with store.shared_lock(lock_of("held")):
        assert not inventory(store).items["held"].reclaimable
        assert prune(store) == {"held"}
    assert prune(store) == set()


def test_a_dead_build_uses_nothing(store: Store) -> None:
    child = os.fork()
    if child == 0:
        with using(store):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [path for path in store.locks.iterdir() if path.name.startswith("use-")] != []
    assert time.time_ns() - used_since(store) < 10**9
    assert [path for path in store.locks.iterdir() if path.name.startswith("use-")] == []
    with using(store):
        assert time.time_ns() - used_since(store) > 10**9


BUILDER = """
import random
import sys
import time
from pathlib import Path
from xxpy.build.engine.cache import Cache, Record
from xxpy.build.engine.snapshots import new_id, whole
from xxpy.build.graph import digest_of
from xxpy.build.store import Store
from xxpy.build.using import using
store = Store.open(Path(sys.argv[1]))
hits = made = 0
chance = random.Random(sys.argv[2])
for turn in range(50):
    # Without this there is always a build that lives, and nothing goes.
    time.sleep(chance.random() / 8)
    with using(store):
        cache, chain, blobs = Cache(store), (), []
        for number in range(4):
            key = digest_of(["race", number])
            record = cache.find(key)
            if record is None or record.chain[:-1] != chain:
                name = new_id()
                (store.snapshots / name).mkdir()
                (store.snapshots / name / "file").write_text(str(number))
                record = Record((*chain, name), 0.0)
                cache.put(key, record)
                made += 1
            else:
                hits += 1
            chain = record.chain
            blobs.append(store.put_bytes(b"%d" % (turn % 3 * 10 + number), "text/plain"))
        for name in chain:
            assert (store.snapshots / name / "file").read_text() in "0123", name
        assert whole(store.snapshots, chain)
        for blob in blobs:
            store.read(blob.digest)
print(hits, made)
"""


def test_builds_and_prunes_at_once(store: Store) -> None:
    """Two builders, each of which looks at all it has used before it ends, and a third that prunes without a pause."""
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(store.root), str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for number in range(2)
    ]
    pruned = 0
    while any(builder.poll() is None for builder in builders):
        found = inventory(store)
        removed: list[Item] = []
        remove_all(store, found, plan(found, ALL, time.time_ns()), removed.append)
        pruned += len(removed)
    told = [builder.communicate()[0].split() for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert pruned and sum(int(words[1]) for words in told) > 8, (pruned, told)


def _killed(root: Path, after: int) -> None:
    store = Store.open(root)
    found = inventory(store)
    left = [after]

    def count(_item: Item) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    remove_all(store, found, plan(found, ALL, time.time_ns()), count)


@pytest.mark.parametrize("after", [1, 3, 5, 8, 11])
def test_a_killed_prune_leaves_a_sound_store(store: Store, after: int) -> None:
    keys = [step(store, "0")]
    for number in range(1, 5):
        keys.append(step(store, str(number), tuple(str(each) for each in range(number))))
    manifests = [image(store, (b"one", b"%d" % number)) for number in range(3)]
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_killed, args=(store.root, after))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    # What is there is whole.
    for key in keys:
        value = store.record(key)
        assert value is None or all((store.snapshots / name).is_dir() for name in value["chain"])
    for manifest in manifests:
        if store.has(manifest.digest):
            body = store.read_json(manifest.digest)
            assert all(store.has(part["digest"]) for part in (body["config"], *body["layers"]))
    assert prune(store) == set() and list(store.blobs.iterdir()) == [] and list(store.tmp.iterdir()) == []
