"""An image in another form: what changes, and that nothing else does."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard

from xxpy.build.annotations import parse_annotation
from xxpy.build.convert import converted
from xxpy.build.descriptor import Descriptor
from xxpy.build.image import image_manifests, write_image, write_index
from xxpy.build.layers import write_layer
from xxpy.build.outputs import Format
from xxpy.build.packers import LEVEL
from xxpy.build.store import Store
from xxpy.errors import StoreError
from xxpy.platforms import Platform

AMD64 = Platform.parse("linux/amd64")
BASE = {AMD64: 1}


@pytest.fixture
def image(tmp_path: Path) -> tuple[Store, Descriptor]:
    """An image of two layers, the lower its base's."""
    store = Store.open(tmp_path / "store")
    layers = []
    for name in ("base", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name * 5000)
        os.utime(tmp_path / name / name, (1, 1))
        layers.append(write_layer(tmp_path / name, store))
    manifest = write_image(store, AMD64, {}, layers, [], "2020-01-01T00:00:00Z")
    return store, write_index(store, [manifest])


def layers_of(store: Store, index: Descriptor) -> list[dict[str, Any]]:
    (manifest,) = image_manifests(store, index)
    found: list[dict[str, Any]] = store.read_json(manifest.digest)["layers"]
    return found


def kinds(store: Store, index: Descriptor) -> list[str]:
    return [layer["mediaType"].rpartition(".")[2] for layer in layers_of(store, index)]


def contents(store: Store, index: Descriptor) -> list[bytes]:
    found = []
    for layer in layers_of(store, index):
        data = store.blob(layer["digest"]).read_bytes()
        if layer["mediaType"].endswith("gzip"):
            data = gzip.decompress(data)
        elif layer["mediaType"].endswith("zstd"):
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        found.append(data)
    return found


def test_nothing_asked_nothing_written(image: tuple[Store, Descriptor]) -> None:
    store, index = image
    assert converted(store, index, Format(), BASE) is index
    assert converted(store, index, Format("gzip", LEVEL), BASE).digest == index.digest


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Format("zstd"), ["tar+gzip", "tar+zstd"]),
        (Format("zstd", 19, force=True), ["tar+zstd", "tar+zstd"]),
        (Format("uncompressed"), ["tar+gzip", "tar"]),
        (Format("uncompressed", force=True), ["tar", "tar"]),
        (Format(level=9), ["tar+gzip", "tar+gzip"]),
        (Format("gzip", 0, force=True), ["tar+gzip", "tar+gzip"]),
        (Format("uncompressed", force=True, oci=False), ["tar", "tar"]),
        (Format(oci=False), ["gzip", "gzip"]),
    ],
)
def test_the_same_files_in_another_form(image: tuple[Store, Descriptor], form: Format, expected: list[str]) -> None:
    store, index = image
    made = converted(store, index, form, BASE)
    assert kinds(store, made) == expected and contents(store, made) == contents(store, index)
    again = converted(store, index, form, BASE)
    assert again == made
    if not form.force:
        assert layers_of(store, made)[0]["digest"] == layers_of(store, index)[0]["digest"]
    configs = [store.read_json(image_manifests(store, one)[0].digest)["config"]["digest"] for one in (made, index)]
    assert configs[0] == configs[1]


def test_levels_differ(image: tuple[Store, Descriptor]) -> None:
    store, index = image
    sizes = [layers_of(store, converted(store, index, Format("gzip", level), BASE))[1]["size"] for level in (0, 9)]
    assert sizes[0] > 5000 > sizes[1]


def test_dockers_media_types(image: tuple[Store, Descriptor]) -> None:
    store, index = image
    zstd = converted(store, index, Format("zstd", force=True), BASE)
    made = converted(store, zstd, Format(oci=False), {})
    assert made.media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
    (manifest,) = image_manifests(store, made)
    body = store.read_json(manifest.digest)
    assert manifest.media_type == body["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert body["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    # Docker's types have no word for zstd.
    assert kinds(store, made) == ["gzip", "gzip"]


def test_annotations_are_where_they_belong(image: tuple[Store, Descriptor]) -> None:
    store, index = image
    said = [each for kind in ("manifest", "index", "manifest-descriptor", "index-descriptor")
            for each in parse_annotation(f"{kind}:where={kind}")]  # fmt: skip
    made = converted(store, index, Format(annotations=tuple(said)), BASE)
    (entry,) = store.read_json(made.digest)["manifests"]
    found = [
        store.read_json(entry["digest"])["annotations"], store.read_json(made.digest)["annotations"],
        entry["annotations"], dict(made.annotations),
    ]  # fmt: skip
    assert [each["where"] for each in found] == ["manifest", "index", "manifest-descriptor", "index-descriptor"]


@pytest.mark.parametrize(("damage", "reason"), [("cut", "bad-layer"), ("other", "digest-mismatch")])
def test_a_damaged_layer_is_not_passed_on(image: tuple[Store, Descriptor], damage: str, reason: str) -> None:
    store, index = image
    path = store.blob(layers_of(store, index)[1]["digest"])
    path.write_bytes(path.read_bytes()[:40] if damage == "cut" else gzip.compress(b"other"))
    with pytest.raises(StoreError) as caught:
        converted(store, index, Format("zstd"), BASE)
    assert caught.value.reason == reason
