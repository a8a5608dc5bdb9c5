"""The store: what is written is whole or not there, what is read is what was written."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from xxpy.build.descriptor import Descriptor
from xxpy.build.graph import digest_of
from xxpy.build.store import Store
from xxpy.errors import StoreError
from xxpy.platforms import Platform

KEY = digest_of("key")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def test_a_blob_is_found_by_its_digest(store: Store) -> None:
    descriptor = store.put_bytes(b"abc", "text/plain")
    assert descriptor.digest == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert descriptor.size == 3 and store.read(descriptor.digest) == b"abc" and store.has(descriptor.digest)
    assert store.put_bytes(b"abc", "text/plain") == descriptor


def test_a_changed_blob_is_not_read(store: Store) -> None:
    descriptor = store.put_bytes(b"abc", "text/plain")
    store.blob(descriptor.digest).chmod(0o644)
    store.blob(descriptor.digest).write_bytes(b"abd")
    with pytest.raises(StoreError):
        store.read(descriptor.digest)


def test_a_writer_that_does_not_commit_leaves_nothing(store: Store) -> None:
    with store.writer() as writer:
        writer.write(b"half")
        assert len(list(store.tmp.iterdir())) == 1
    assert list(store.tmp.iterdir()) == [] and list(store.blobs.iterdir()) == []


def test_a_killed_writer_is_cleared_away_and_a_living_one_not(store: Store) -> None:
    with store.writer() as writer:
        writer.write(b"alive")
        child = os.fork()
        if child == 0:
            with store.writer() as other:
                other.write(b"dead")
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert len(list(store.tmp.iterdir())) == 2
        Store.open(store.root)
        assert len(list(store.tmp.iterdir())) == 1
        descriptor = writer.commit("text/plain")
    assert store.read(descriptor.digest) == b"alive"


def test_it_is_an_oci_image_layout(store: Store) -> None:
    assert json.loads((store.root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((store.root / "index.json").read_bytes())["schemaVersion"] == 2


def test_names(store: Store) -> None:
    one, two = (store.put_json({"n": n}, "application/vnd.oci.image.index.v1+json") for n in (1, 2))
    store.tag("docker.io/library/a:1", one)
    store.tag("docker.io/library/b:1", one)
    store.tag("docker.io/library/a:1", two)
    found = store.resolve("docker.io/library/a:1")
    assert found is not None and found.digest == two.digest
    assert store.resolve("docker.io/library/c:1") is None
    assert sorted(name for name, _ in store.images()) == ["docker.io/library/a:1", "docker.io/library/b:1"]


def _tag_many(root: Path, who: int) -> None:
    store = Store.open(root)
    for number in range(10):
        store.tag(f"example.test/{who}-{number}:1", store.put_json({"n": number}, "application/json"))


def test_two_processes_name_at_once_and_none_is_lost(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_tag_many, args=(store.root, who)) for who in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    assert len(store.images()) == 30


def test_records(store: Store) -> None:
    assert store.record(KEY) is None
    store.put_record(KEY, {"a": [1, "x"]})
    assert store.record(KEY) == {"a": [1, "x"]}
    store.put_record(KEY, {"b": 2})
    assert store.record(KEY) == {"b": 2}


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b'{"key": "other"}', b"\xff\xfe"])
def test_a_torn_record_counts_as_none(store: Store, data: bytes) -> None:
    store.put_record(KEY, {"a": 1})
    path = next(path for path in store.records.rglob("*") if path.is_file())
    whole = path.read_bytes()
    path.write_bytes(data)
    assert store.record(KEY) is None
    path.write_bytes(whole.replace(b'"a":1', b'"a":2'))
    assert store.record(KEY) is None


def test_a_lock_keeps_others_out(store: Store) -> None:
    with store.lock("x"), store.try_lock("x") as second, store.try_lock("y") as other:
        assert not second and other
    with store.try_lock("x") as free:
        assert free


def _count(root: Path, turns: int) -> None:
    store = Store.open(root)
    for _ in range(turns):
        with store.lock("count"):
            number = int((root / "files/count").read_text())
            (root / "files/count").write_text(str(number + 1))
        store.drop_lock("count")


def test_a_lock_that_is_dropped_all_the_time_keeps_others_out(store: Store) -> None:
    (store.files / "count").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(store.root, 300)) for _ in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    assert (store.files / "count").read_text() == "900"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(StoreError) as caught:
        Store.open(tmp_path)
    assert caught.value.reason == "store-foreign" and os.listdir(tmp_path) == ["mine"]


def test_another_version_is_refused(store: Store) -> None:
    (store.root / "xx-store").write_text("99\n")
    with pytest.raises(StoreError) as caught:
        Store.open(store.root)
    assert caught.value.reason == "store-version"


def test_a_store_in_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Store.open(tmp_path / "file")


GOOD = {"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:../../etc/passwd"}, {"digest": "md5:0"}, {"digest": None}, {"size": -1}, {"size": True},
        {"size": "1"}, {"mediaType": "no slash"}, {"platform": []}, {"platform": {"os": 1}}, {"annotations": {"a": 1}},
        {"annotations": {str(n): "" for n in range(300)}},
    ],
)  # fmt: skip
def test_a_hostile_descriptor_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(StoreError) as caught:
        Descriptor.from_json(GOOD | change)
    assert caught.value.reason == "descriptor-invalid"


def test_a_descriptor_survives_json() -> None:
    given = Descriptor("a/b", GOOD["digest"], 5, Platform.parse("linux/arm/v7"), (("k", "v"),))  # type: ignore[arg-type]
    assert Descriptor.from_json(json.loads(json.dumps(given.to_json()))) == given


def test_a_relative_name_is_one_of_the_folder_that_it_was_given_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open(Path("store"))
    monkeypatch.chdir("/")
    assert store.root == tmp_path / "store" and store.read(store.put_bytes(b"x", "text/plain").digest) == b"x"
