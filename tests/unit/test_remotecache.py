"""Caches of others: their flags, what they say, and a folder that several builds add to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from registries import Memory
from stores import image, named

from xxpy.build.descriptor import Descriptor, canonical_json, digest_of_bytes
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE
from xxpy.build.layoutindex import REF_NAME, index_json
from xxpy.build.registry.client import Registries
from xxpy.build.remotecache import aging
from xxpy.build.remotecache.aging import Addition
from xxpy.build.remotecache.entries import (
    INLINE_KEY,
    Entries,
    OtherVersion,
    Packed,
    Result,
    inline_json,
    read_entries,
    read_inline,
)
from xxpy.build.remotecache.importing import Importer
from xxpy.build.remotecache.local import LocalPlace
from xxpy.build.remotecache.registry import RegistryPlace
from xxpy.build.remotecache.spec import Cache, parse_cache_from, parse_cache_to
from xxpy.build.store import Store
from xxpy.cli.xx import main
from xxpy.errors import StoreError, UsageError, XxError

NOW, DAY = 1_700_000_000, 86_400
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(text: str) -> str:
    return digest_of_bytes(text.encode())


# -- flags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=local,dest=d", Cache("local", "d")),
        ("type=local,dest=d,tag=t,mode=max,ignore-error=true", Cache("local", "d", "t", "", "max", ignore_error=True)),
        ('type=local,"dest=a,b",oci-mediatypes=true,image-manifest=1', Cache("local", "a,b")),
        ("type=registry,ref=r.io/a/b,mode=max", Cache("registry", "r.io/a/b:latest", mode="max")),
        ("r.io/a/b:c", Cache("registry", "r.io/a/b:c")),
        ("type=local,dest=d,keep-storage=2g", Cache("local", "d", keep=2 << 30)),
        ("type=registry,ref=r.io/a/b,keep-storage=0", Cache("registry", "r.io/a/b:latest", keep=0)),
        ("type=inline", Cache("inline", "")),
    ],
)
def test_cache_to(text: str, expected: Cache) -> None:
    assert parse_cache_to(text) == expected and str(parse_cache_to(text)) == text


def test_cache_from() -> None:
    assert parse_cache_from("type=local,src=d,tag=t") == Cache("local", "d", "t")
    assert parse_cache_from("user/app") == Cache("registry", "docker.io/user/app:latest")
    wanted = digest("m")
    assert parse_cache_from(f"type=local,src=d,digest={wanted}").digest == wanted
    with pytest.raises(UsageError, match="digest=abc is none"):
        parse_cache_from("type=local,src=d,digest=abc")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=local", "bad-cache"),
        ("type=local,dest=d,src=e", "bad-cache"),
        ("type=local,dest=d,mode=most", "bad-cache"),
        ("type=local,dest=d,ignore-error=perhaps", "bad-cache"),
        ("type=local,dest=d,compression=zstd", "cache-unsupported"),
        ("type=local,dest=d,oci-mediatypes=false", "cache-unsupported"),
        ("type=local,dest=d,keep-storage=much", "bad-size"),
        ("type=inline,mode=max", "bad-cache"),
        ("type=gha", "cache-unsupported"),
        ("type=nosuch", "bad-cache"),
        ("dest=d", "bad-cache"),
        ("type=local,dest", "bad-cache"),
        ("type=registry,ref=", "bad-cache"),
        ("type=registry,ref=A B", "bad-reference"),
    ],
)
def test_cache_to_that_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_cache_to(text)
    assert caught.value.reason == reason and caught.value.remedy


# -- what a cache says -----------------------------------------------------------------------------------------------


def entries(*names: str, epoch: int | None = None, used: int = NOW) -> Entries:
    """A result for each name, of a layer of its own on that of a base."""
    layers = {digest(f"diff {name}"): Packed(Descriptor(LAYER, digest(name), len(name)), epoch) for name in names}
    results = {digest(f"key {name}"): Result((digest("base"), digest(f"diff {name}")), 1.5, used) for name in names}
    return Entries(results, layers)


def added(*names: str, now: int = NOW, steps: Sequence[str] = (), keep: int | None = None) -> Addition:
    return Addition(entries(*names, used=0), frozenset(digest(f"key {name}") for name in steps), now, keep)


def said(given: Entries) -> tuple[dict[str, Any], dict[str, Any]]:
    config = json.loads(canonical_json(given.config()))
    return {"layers": [layer.to_json() for layer in given.descriptors()]}, config


def test_entries_are_read_as_they_were_written() -> None:
    given = entries("a", "b", epoch=7)
    assert read_entries(*said(given)) == given
    both = entries("a").over(entries("b"))
    assert both == entries("b", "a") and entries("a").within(both) and not both.within(entries("a"))


def test_what_an_older_version_wrote_was_used_at_no_known_time() -> None:
    manifest, config = said(entries("a"))
    del config["results"][0]["used"]
    assert read_entries(manifest, config) == entries("a", used=0)


def test_entries_of_another_version_are_not_misread() -> None:
    manifest, config = said(entries("a"))
    with pytest.raises(OtherVersion, match="its version is '2'"):
        read_entries(manifest, config | {"version": 2})
    with pytest.raises(OtherVersion):
        read_entries(manifest, {})


@pytest.mark.parametrize(
    "change",
    [
        {"results": 5},
        {"layers": []},
        {"results": [{"key": "sha256:xyz", "chain": [], "seconds": 1}]},
        {"results": [{"key": digest("k"), "chain": "all", "seconds": 1}]},
        {"results": [{"key": digest("k"), "chain": [5], "seconds": 1}]},
        {"results": [{"key": digest("k"), "chain": [], "seconds": "long"}]},
        {"results": [{"key": digest("k"), "chain": [], "seconds": 1, "used": "often"}]},
        {"results": [[]]},
        {"layers": [5]},
        {"layers": [{"diffID": "../../etc"}]},
    ],
)
def test_entries_that_make_no_sense(change: dict[str, Any]) -> None:
    manifest, config = said(entries("a"))
    with pytest.raises(StoreError) as caught:
        read_entries(manifest, config | change)
    assert caught.value.reason in ("cache-invalid", "digest-invalid")


def test_an_image_says_what_it_is_the_result_of() -> None:
    layers = [Descriptor(LAYER, digest(name), 1) for name in "abc"]
    diff_ids = [digest(f"diff {name}") for name in "abc"]
    config: dict[str, Any] = {"rootfs": {"diff_ids": diff_ids}}
    manifest = {"layers": [layer.to_json() for layer in layers]}
    assert read_inline(manifest, config) == Entries()
    config[INLINE_KEY] = inline_json([(digest("k"), 2), (digest("l"), 3)], 9)
    found = read_inline(manifest, config)
    assert found.results[digest("k")] == Result(tuple(diff_ids[:2]), 0.0)
    assert found.layers[diff_ids[2]] == Packed(layers[2], 9)
    config[INLINE_KEY]["results"] = [[digest("k"), 4]]
    with pytest.raises(StoreError):
        read_inline(manifest, config)
    config[INLINE_KEY]["version"] = 99
    with pytest.raises(OtherVersion):
        read_inline(manifest, config)


# -- what stays of a cache -------------------------------------------------------------------------------------------


def test_what_was_used_longest_ago_goes() -> None:
    there = entries("a", used=NOW - 3 * DAY).over(entries("b", used=NOW - 2 * DAY)).over(entries("c", used=NOW - DAY))
    assert added("d").to(there) == there.over(entries("d"))
    assert added("d", keep=4).to(there) == there.over(entries("d"))
    assert added("d", keep=2).to(there) == entries("d").over(entries("c", used=NOW - DAY))
    # A step of the build that nothing was needed of is in use all the same.
    assert added("d", keep=2, steps=["a", "unknown"]).to(there) == entries("a", "d")
    # What this build adds stays, and so does what others have added just now.
    assert added("d", "e", keep=0).to(entries("f", used=NOW - 60).over(there)) == entries("d", "e").over(
        entries("f", used=NOW - 60)
    )


def test_a_clock_that_is_ahead_keeps_nothing_for_ever() -> None:
    there = added("b").to(entries("a", used=NOW + 9 * DAY))
    assert there == entries("a", "b")
    assert added("c", now=NOW + DAY, keep=1).to(there) == entries("c", used=NOW + DAY)


def test_layers_count_once_and_go_with_their_last_result() -> None:
    shared = entries("a", used=NOW - DAY)
    both = {**shared.results, digest("other"): Result((digest("diff a"),), 1.0, NOW - DAY)}
    there = Entries(both, shared.layers)
    assert added("b", keep=2).to(there) == there.over(entries("b"))
    assert added("b", keep=1).to(there) == entries("b")


@pytest.mark.parametrize(("most", "kept"), [("MOST_RESULTS", "bcd"), ("MOST_LINKS", "d")])
def test_a_cache_stays_small_enough_to_be_read(most: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aging, most, 3)
    there = Entries()
    for number, name in enumerate("abcd"):
        there = added(name, now=NOW + number * DAY).to(there)
    assert there.results.keys() == entries(*kept).results.keys() and there.layers == entries(*kept).layers


# -- a folder --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "store")
    for name in ("a", "b", *map(str, range(20))):
        made.put_bytes(name.encode(), LAYER)
    return made


def place(folder: Path, tag: str = "latest") -> LocalPlace:
    return LocalPlace(Cache("local", str(folder), tag))


def test_a_folder_keeps_what_others_added(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    assert place(folder).read() == Entries()
    assert place(folder).add(added("a"), store) == 1 and place(folder).add(added("b"), store) == 1
    assert place(folder).add(added("a"), store) == 0
    assert place(folder).read() == entries("a", "b")
    # Manifest and config of before are gone; nothing but an OCI layout is there.
    assert len(list((folder / "blobs/sha256").iterdir())) == 4
    assert sorted(path.name for path in folder.iterdir()) == ["blobs", "index.json", "oci-layout"]
    place(folder, "other").add(added("b"), store)
    assert place(folder).read() == entries("a", "b") and place(folder, "other").read() == entries("b")


def test_what_inspect_says_of_one(tmp_path: Path, store: Store) -> None:
    place(tmp_path / "cache").add(added("a"), store)
    args = ["inspect", str(tmp_path / "cache"), "--store", str(store.root)]
    said = CliRunner().invoke(main, args).output
    assert "Kind:        a cache of xx build, no image" in said and "in 1 layer\n" in said, said
    assert "Platform" not in said and "Created" not in said
    found = json.loads(CliRunner().invoke(main, [*args, "--format", "json"]).output)
    assert found["images"][0]["platform"] is None and "cache" in found["images"][0]["artifactType"]


def test_a_folder_with_more_in_it_than_a_cache_is_left_alone(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    (folder / "lost+found").mkdir(parents=True)
    (folder / ".index.json.0a1b").touch()
    place(folder).add(added("a"), store)
    (folder / "mine").touch()
    with pytest.raises(StoreError) as caught:
        place(folder).add(added("b"), store)
    assert caught.value.reason == "cache-is-none" and "holds mine" in caught.value.message
    assert place(folder).read() == entries("a")


def test_links_that_another_has_put_into_a_folder_are_not_written_through(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    (folder / "blobs/sha256").mkdir(parents=True)
    for link in (folder / "oci-layout", folder / "index.json", folder / "blobs/sha256" / digest("a")[7:]):
        link.symlink_to(tmp_path / "mine")
    place(folder).add(added("a"), store)
    assert not (tmp_path / "mine").exists() and place(folder).read() == entries("a")


def test_who_adds_at_the_same_time_loses_nothing(tmp_path: Path, store: Store) -> None:
    names = [str(number) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: place(tmp_path / "cache").add(added(name), store), names))
    assert place(tmp_path / "cache").read() == entries(*names)


def test_a_folder_is_kept_below_a_size(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    place(folder).add(added("a", "b"), store)
    place(folder, "other").add(added("b"), store)
    assert place(folder).add(added("1", now=NOW + DAY, keep=1), store) == 1
    assert place(folder).read() == entries("1", used=NOW + DAY) and place(folder, "other").read() == entries("b")
    blobs = folder / "blobs/sha256"
    there = {name for name in ("a", "b", "1") if (blobs / digest(name).removeprefix("sha256:")).exists()}
    assert there == {"b", "1"}
    assert len(list(blobs.iterdir())) == 2 + 2 * 2
    # Whether another cache needs a layer cannot be told of one that is damaged.
    index = json.loads((folder / "index.json").read_bytes())
    other = next(each["digest"] for each in index["manifests"] if "other" in each["annotations"].values())
    (blobs / other.removeprefix("sha256:")).write_text("{}")
    place(folder).add(added("2", now=NOW + 2 * DAY, keep=1), store)
    assert (blobs / digest("1").removeprefix("sha256:")).exists()


def test_who_adds_what_another_removes_keeps_it(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path / "cache").add(added("a"), store)
    one = place(tmp_path / "cache")
    put, left = one._put_file, [True]

    def put_and_then(layer: Descriptor, source: Path) -> int:
        size = put(layer, source)
        if left and left.pop():
            place(tmp_path / "cache").add(added("b", now=NOW + DAY, keep=1), store)
        return size

    monkeypatch.setattr(one, "_put_file", put_and_then)
    assert one.add(added("a", now=NOW + DAY), store) == 1
    assert one.read() == entries("a", "b", used=NOW + DAY)
    one.fetch(Descriptor(LAYER, digest("a"), 1), Store.open(tmp_path / "another"))


def test_a_layer_comes_into_another_store_or_not_at_all(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    place(folder).add(added("a", "b"), store)
    other = Store.open(tmp_path / "other")
    place(folder).fetch(Descriptor(LAYER, digest("a"), 1), other)
    assert other.read(digest("a")) == b"a"
    blob = folder / "blobs/sha256" / digest("b").removeprefix("sha256:")
    blob.write_bytes(b"X")
    with pytest.raises(XxError):
        place(folder).fetch(Descriptor(LAYER, digest("b"), 1), other)
    assert not other.has(digest("b"))


def test_what_is_no_cache_of_ours_is_left_alone_with_a_word(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    place(folder).add(added("a"), store)
    layer = Descriptor(LAYER, digest("a"), 1)
    config = store.put_bytes(b"[]", "application/vnd.buildkit.cacheconfig.v0")
    body = {"schemaVersion": 2, "config": config.to_json(), "layers": [layer.to_json()]}
    manifest = store.put_json(body, MANIFEST_TYPE)
    for one in (config, manifest):
        (folder / "blobs/sha256" / one.digest.removeprefix("sha256:")).write_bytes(store.read(one.digest))
    named = Descriptor(MANIFEST_TYPE, manifest.digest, manifest.size, None, ((REF_NAME, "latest"),))
    (folder / "index.json").write_bytes(index_json([named]))
    with pytest.raises(OtherVersion, match="BuildKit"):
        place(folder).read()
    words: list[str] = []
    assert Importer(store, [("it", place(folder))], words.append).find(digest("key a")) is None
    assert words == ["the cache it is left alone: it is a cache of BuildKit's"]
    # Nor does a cache of ours take its place; under another tag there is room.
    with pytest.raises(StoreError) as caught:
        place(folder).add(added("a"), store)
    assert caught.value.reason == "cache-is-none" and caught.value.remedy
    place(folder, "ours").add(added("a"), store)
    assert place(folder, "ours").read() == entries("a")


def test_an_image_without_a_cache_is_told_as_what_it_is(tmp_path: Path, store: Store) -> None:
    made = image(store, (b"layer",))
    for top, kind in ((named(store, "docker.io/library/a:1", made), "an image without a cache in it"),
                      (chart(store), "of type application/vnd.cncf.helm.config")):  # fmt: skip
        folder = tmp_path / kind[:9]
        (folder / "blobs").mkdir(parents=True)
        (folder / "blobs/sha256").symlink_to(store.blobs)
        (folder / "index.json").write_bytes(index_json([top]))
        words: list[str] = []
        assert Importer(store, [("it", place(folder))], words.append).find(digest("key a")) is None
        (word,) = words
        assert word.startswith(f"the cache it is left alone: it is {kind}"), word
    words = []
    assert Importer(store, [("it", place(tmp_path / "nope"))], words.append).find(digest("key a")) is None
    assert words == ["the cache it has nothing yet"]


def chart(store: Store) -> Descriptor:
    config = store.put_bytes(b"{}", "application/vnd.cncf.helm.config.v1+json")
    return store.put_json({"schemaVersion": 2, "config": config.to_json(), "layers": []}, MANIFEST_TYPE)


def test_a_store_and_what_is_no_layout_are_no_place_for_a_cache(tmp_path: Path, store: Store) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/index.json").write_text('{"my": "own"}')
    for folder in (store.root, tmp_path / "other"):
        before = sorted(folder.rglob("*"))
        with pytest.raises(StoreError) as caught:
            place(folder).add(added("a"), store)
        assert caught.value.remedy and sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("data", [b"", b"[", b"[]", b'{"manifests": 5}', b'{"manifests": [{"digest": "x"}]}'])
def test_a_damaged_folder_is_a_word_too(tmp_path: Path, store: Store, data: bytes) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "index.json").write_bytes(data)
    words: list[str] = []
    assert Importer(store, [("it", place(folder))], words.append).find(digest("key a")) is None
    assert len(words) == 1


def test_a_layer_that_is_lost_takes_its_results_with_it(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "cache"
    place(folder).add(added("a", "b"), store)
    (folder / "blobs/sha256" / digest("b").removeprefix("sha256:")).unlink()
    words: list[str] = []
    other = Store.open(tmp_path / "other")
    importer = Importer(other, [("it", place(folder))], words.append)
    assert importer.find(digest("key a")) and importer.find(digest("key b"))
    assert not importer.fetch([digest("diff a"), digest("diff b")]) and len(words) == 1
    assert importer.find(digest("key a")) and importer.find(digest("key b")) is None
    assert importer.fetch([digest("diff a")]) and other.has(digest("a"))


# -- a registry ------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("no_proxy", "*")
    server = Memory()
    yield server
    server.stop()


def tagged(memory: Memory, store: Store) -> RegistryPlace:
    return RegistryPlace(Cache("registry", f"{memory.host}/team/cache:main"), store, Registries(), lambda _event: None)


def test_a_registry_keeps_what_others_added(tmp_path: Path, store: Store, memory: Memory) -> None:
    assert tagged(memory, store).read() == Entries()
    tagged(memory, store).add(added("a"), store)
    other = Store.open(tmp_path / "other")
    other.put_bytes(b"b", LAYER)
    tagged(memory, other).add(added("b"), other)
    third = Store.open(tmp_path / "third")
    place = tagged(memory, third)
    assert place.read() == entries("a", "b")
    place.fetch(Descriptor(LAYER, digest("a"), 1), third)
    assert third.read(digest("a")) == b"a"


def test_a_cache_in_a_registry_is_kept_below_a_size(store: Store, memory: Memory) -> None:
    tagged(memory, store).add(added("a", "b"), store)
    tagged(memory, store).add(added("1", now=NOW + DAY, steps=["b"], keep=2), store)
    assert tagged(memory, store).read() == entries("1", "b", used=NOW + DAY)


def test_who_pushes_at_the_same_time_loses_nothing(
    store: Store, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A disk that is slow for seconds between a reading and a writing is another matter.
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    names = [str(number) for number in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: tagged(memory, store).add(added(name), store), names))
    assert tagged(memory, store).read() == entries(*names)


def test_a_tag_that_another_wrote_meanwhile_is_added_to_again(store: Store, memory: Memory) -> None:
    place = tagged(memory, store)
    place.add(added("a"), store)
    before = dict(memory.manifests["team/cache"])

    def other_writes(_seconds: float) -> None:
        place._pause = lambda _seconds: None
        memory.manifests["team/cache"]["main"] = before["main"]

    place._pause = other_writes
    place.add(added("b"), store)
    assert tagged(memory, store).read() == entries("a", "b")


def test_where_others_never_stop_writing_that_is_told(store: Store, memory: Memory) -> None:
    place = tagged(memory, store)
    place.add(added("a"), store)
    first = memory.manifests["team/cache"]["main"]
    place._pause = lambda _seconds: memory.manifests["team/cache"].update(main=first)
    with pytest.raises(StoreError) as caught:
        place.add(added("b"), store)
    assert caught.value.reason == "cache-busy"


def test_what_lacks_its_layers_in_the_registry_is_not_kept(tmp_path: Path, store: Store, memory: Memory) -> None:
    tagged(memory, store).add(added("a"), store)
    del memory.blobs["team/cache"][digest("a")]
    other = Store.open(tmp_path / "other")
    other.put_bytes(b"b", LAYER)
    tagged(memory, other).add(added("b"), other)
    assert tagged(memory, store).read() == entries("b")


def test_an_image_in_a_registry_is_no_place_for_a_cache(store: Store, memory: Memory) -> None:
    config = memory.put_blob("team/cache", b'{"rootfs": {"diff_ids": []}}')
    described = {"mediaType": CONFIG_TYPE, "digest": config, "size": 28}
    body = canonical_json({"schemaVersion": 2, "config": described, "layers": []})
    memory.put_manifest("team/cache", "main", MANIFEST_TYPE, body)
    with pytest.raises(StoreError) as caught:
        tagged(memory, store).add(added("a"), store)
    assert caught.value.reason == "cache-is-none" and memory.manifests["team/cache"]["main"][1] == body


def test_a_registry_that_does_not_answer_is_a_word(store: Store, memory: Memory) -> None:
    memory.login = "user:word"
    words: list[str] = []
    assert Importer(store, [("it", tagged(memory, store))], words.append).find(digest("key a")) is None
    assert len(words) == 1 and "cannot be read" in words[0]
    with pytest.raises(XxError):
        tagged(memory, store).add(added("a"), store)
