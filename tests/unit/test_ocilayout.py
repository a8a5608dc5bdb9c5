"""OCI layouts as named contexts: what is meant, which platform, and that nothing is taken unchecked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from xxpy.build.descriptor import canonical_json, digest_of_bytes
from xxpy.build.export import export_image
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE
from xxpy.build.layoutindex import INDEX_TYPE, MOST_INDEX, REF_NAME
from xxpy.build.ocilayout import Layout, LayoutImages, chosen_entry, parse_layout
from xxpy.build.outputs import Output
from xxpy.build.remotecache.local import LocalPlace
from xxpy.build.remotecache.spec import Cache
from xxpy.build.store import Store
from xxpy.errors import SourceError, StoreError, UsageError
from xxpy.platforms import Platform

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci-layout://a/b", Layout(Path("a/b"), "", "")),
        ("oci-layout:///a:1.0", Layout(Path("/a"), "1.0", "")),
        (f"oci-layout://a@{DIGEST}", Layout(Path("a"), "", DIGEST)),
        (f"oci-layout://a:t@{DIGEST}", Layout(Path("a"), "t", DIGEST)),
        ("oci-layout://a:b/c", Layout(Path("a:b/c"), "", "")),
    ],
)
def test_names(text: str, expected: Layout) -> None:
    assert parse_layout(text) == expected


def test_no_name() -> None:
    with pytest.raises(UsageError):
        parse_layout("oci-layout://")


class Folder:
    """A layout that is written blob by blob."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)

    def put(self, value: object, kind: str, **more: object) -> dict[str, Any]:
        data = canonical_json(value)
        digest = digest_of_bytes(data)
        self.blob(digest).write_bytes(data)
        return {"mediaType": kind, "digest": digest, "size": len(data), **more}

    def blob(self, digest: str) -> Path:
        return self.path / "blobs/sha256" / digest.removeprefix("sha256:")

    def image(self, platform: Platform, *, said: bool = True) -> dict[str, Any]:
        parts = {"os": platform.os, "architecture": platform.arch}
        config = {**parts, "rootfs": {"type": "layers", "diff_ids": []}, "config": {"Env": [f"OF={platform.arch}"]}}
        manifest = {"schemaVersion": 2, "config": self.put(config, CONFIG_TYPE), "layers": []}
        return self.put(manifest, MANIFEST_TYPE, **({"platform": parts} if said else {}))

    def index(self, entries: Sequence[dict[str, Any]], tag: str = "") -> dict[str, Any]:
        named = {"annotations": {REF_NAME: tag}} if tag else {}
        value = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(entries)}
        return self.put(value, INDEX_TYPE, **named)

    def write(self, *entries: dict[str, Any]) -> None:
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "layout")


@pytest.fixture
def images(tmp_path: Path) -> LayoutImages:
    class Nothing:
        def base(self, name: str, platform: Platform) -> Any:
            raise SourceError(name, reason="elsewhere")

    return LayoutImages(Store.open(tmp_path / "store"), Nothing())


def env_of(images: LayoutImages, name: str, platform: Platform) -> tuple[str, ...]:
    return images.base(name, platform).config.env


def test_the_manifest_for_the_platform_is_taken(folder: Folder, images: LayoutImages) -> None:
    attestation = {**folder.image(AMD64), "platform": {"os": "unknown", "architecture": "unknown"}}
    inner = folder.index([attestation, folder.image(AMD64), folder.image(ARM64)], "latest")
    folder.write(folder.index([folder.image(AMD64)], "other"), folder.index([inner], "registry.test/a:nested"), inner)
    for name in ("", ":nested", ":latest", f"@{inner['digest']}", f"@{folder.image(ARM64)['digest']}"):
        assert env_of(images, f"oci-layout://{folder.path}{name}", ARM64) == ("OF=arm64",), name
    for name, platform, reason in (
        ("", Platform.parse("linux/riscv64"), "platform-missing"),
        (":other", ARM64, "platform-missing"),
        (":nope", ARM64, "image-missing"),
        (f"@{DIGEST}", ARM64, "image-missing"),
    ):
        with pytest.raises(SourceError) as caught:
            images.base(f"oci-layout://{folder.path}{name}", platform)
        assert caught.value.reason == reason


def test_one_image_needs_no_tag_and_no_platform_in_the_index(folder: Folder, images: LayoutImages) -> None:
    folder.write({**folder.image(ARM64, said=False), "annotations": {REF_NAME: "only"}})
    assert env_of(images, f"oci-layout://{folder.path}", ARM64) == ("OF=arm64",)
    with pytest.raises(SourceError):
        images.base(f"oci-layout://{folder.path}", AMD64)


def test_other_names_are_for_others(folder: Folder, images: LayoutImages) -> None:
    with pytest.raises(SourceError) as caught:
        images.base("busybox", AMD64)
    assert caught.value.reason == "elsewhere"
    with pytest.raises(SourceError) as caught:
        images.base(f"oci-layout://{folder.path}", AMD64)
    assert caught.value.reason == "layout-missing"


def test_what_is_damaged_is_not_taken(folder: Folder, images: LayoutImages) -> None:
    image = folder.image(AMD64)
    manifest = json.loads(folder.blob(image["digest"]).read_bytes())
    index = folder.index([image], "latest")
    folder.write(index)
    for digest in (index["digest"], image["digest"], manifest["config"]["digest"]):
        good = folder.blob(digest).read_bytes()
        for bad in (good.replace(b"a", b"b"), good[:-1], good + b" ", b""):
            folder.blob(digest).write_bytes(bad)
            with pytest.raises(StoreError):
                images.base(f"oci-layout://{folder.path}", AMD64)
        folder.blob(digest).unlink()
        with pytest.raises(StoreError):
            images.base(f"oci-layout://{folder.path}", AMD64)
        folder.blob(digest).write_bytes(good)
    assert env_of(images, f"oci-layout://{folder.path}", AMD64) == ("OF=amd64",)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"manifests": [1]}', '{"manifests": [{"digest": "../../etc/passwd"}]}']
)
def test_a_hostile_index(folder: Folder, images: LayoutImages, text: str) -> None:
    (folder.path / "index.json").write_text(text)
    with pytest.raises((StoreError, SourceError)):
        images.base(f"oci-layout://{folder.path}", AMD64)


def test_an_index_without_end(folder: Folder, images: LayoutImages) -> None:
    deep = folder.image(AMD64)
    for _ in range(10):
        deep = folder.index([deep])
    folder.write(deep)
    with pytest.raises(StoreError):
        images.base(f"oci-layout://{folder.path}", AMD64)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"manifests": {}}', b'{"manifests": [5]}', b'{"manifests": [{"digest": "sha256:x"}]}',
     b"[" * 100_000, b" " * (MOST_INDEX + 1)],
)  # fmt: skip
def test_a_damaged_index_is_told_alike_wherever_it_is(data: bytes, tmp_path: Path) -> None:
    store, image = Store.open(tmp_path / "store"), Store.open(tmp_path / "images")
    made = image.put_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}, INDEX_TYPE)
    folder = tmp_path / "layout"
    folder.mkdir()
    for path in (store.root, folder):
        (path / "index.json").write_bytes(data)
    output = Output("oci", str(folder), tar=False)
    reads = (
        store.images,
        lambda: chosen_entry(Layout(folder, "", "")),
        LocalPlace(Cache("local", str(folder))).read,
        lambda: export_image(image, made, ["docker.io/library/a:1"], output),
    )
    told = set()
    for read in reads:
        with pytest.raises(StoreError) as caught:
            read()
        assert caught.value.remedy and caught.value.message.startswith(str(tmp_path)), caught.value.message
        told.add((caught.value.reason, caught.value.message.partition("index.json")[2]))
    assert len(told) == 1
    # What was there stays.
    assert (folder / "index.json").read_bytes() == data and len([*folder.iterdir()]) == 1
