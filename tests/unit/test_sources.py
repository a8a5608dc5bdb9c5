"""Images read where they lie, in a store, a folder, an archive; what archives of strangers may hold."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from stores import attestation, image, layer_record, named

from xxpy.build.descriptor import Descriptor, digest_of_bytes
from xxpy.build.export import export_image
from xxpy.build.image import INDEX_TYPES
from xxpy.build.inspection import Facts, inspect
from xxpy.build.outputs import Output
from xxpy.build.sources import listing, needs_store, opened
from xxpy.build.store import Store
from xxpy.errors import XxError
from xxpy.platforms import Platform

NAME = "docker.io/library/a:1"
ARM = Platform.parse("linux/arm64")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def both(store: Store) -> Descriptor:
    """An image for two platforms, with a name."""
    one = image(store, (b"base", b"amd64"), history=("FROM base", "RUN make"))
    two = image(store, (b"base", b"arm64"), "linux/arm64")
    layer_record(store, "0123456789abcdef", store.put_bytes(b"amd64", "application/vnd.oci.image.layer.v1.tar"))
    return named(store, NAME, one, two, annotations=(("org.example", "value"),))


def facts_of(store: Store, text: str, platform: Platform | None = None) -> Facts:
    with opened(store, text) as source:
        return inspect(source, platform)


def reason_of(store: Store, text: str) -> str:
    with pytest.raises(XxError) as caught:
        facts_of(store, text)
    assert caught.value.message
    return caught.value.reason


def write(path: Path, files: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
                continue
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def layout_files(store: Store, index: Descriptor) -> dict[str, bytes]:
    """The files of an archive of ``index``."""
    out = store.root.parent / "whole.tar"
    export_image(store, index, [NAME], Output("oci", str(out)))
    with tarfile.open(out) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isreg()}  # type: ignore[union-attr]


def test_the_same_of_a_name_a_digest_a_folder_and_an_archive(store: Store, both: Descriptor, tmp_path: Path) -> None:
    export_image(store, both, [NAME], Output("oci", str(tmp_path / "a.tar")))
    export_image(store, both, [NAME], Output("oci", str(tmp_path / "folder"), tar=False))
    places = ["a:1", both.digest, f"{tmp_path}/folder", f"oci-layout://{tmp_path}/folder:1", f"{tmp_path}/a.tar"]
    places += [f"{tmp_path}/a.tar:1", f"{tmp_path}/a.tar@{both.digest}"]
    places += [f"oci:{tmp_path}/folder:1", f"oci-archive:{tmp_path}/a.tar", f"docker-archive:{tmp_path}/a.tar:1"]
    for place in places:
        facts = facts_of(store, place)
        assert facts.listing.entry.digest == both.digest, place
        assert [str(one.manifest.platform) for one in facts.images] == ["linux/amd64", "linux/arm64"]
        assert dict(facts.listing.annotations) == {"org.example": "value"}
        assert facts.images[0].settings["User"] == "me"
        assert [layer.step for layer in facts.images[0].layers] == ["FROM base", "RUN make"]
        assert [layer.by for layer in facts.images[0].layers] == ["xx build"] * 2
        # A history that does not tell of each layer tells of none.
        assert [layer.step for layer in facts.images[1].layers] == ["", ""]
    assert [layer.snapshot for layer in facts_of(store, "a:1").images[0].layers] == ["", "0123456789abcdef"]
    assert [str(one.manifest.platform) for one in facts_of(store, "a:1", ARM).images] == ["linux/arm64"]
    assert facts_of(store, f"{tmp_path}/a.tar@{both.digest}").images[0].size > 9


def test_what_can_only_be_of_the_store(both: Descriptor, store: Store, tmp_path: Path) -> None:
    export_image(store, both, [NAME], Output("oci", str(tmp_path / "a.tar")))
    (tmp_path / "oci:here").touch()
    for text in (f"oci:{tmp_path}/folder:1", f"oci-archive:{tmp_path}/a.tar", "docker-archive:./none.tar", "oci:./x:1"):
        assert not needs_store(text), text
    for text in ("a:1", "oci:1", "oci", both.digest):
        assert needs_store(text), text


def test_a_manifest_of_an_archive_is_named_by_its_digest(store: Store, both: Descriptor, tmp_path: Path) -> None:
    export_image(store, both, [NAME], Output("oci", str(tmp_path / "a.tar")))
    digest = facts_of(store, "a:1").images[1].manifest.digest
    (one,) = facts_of(store, f"{tmp_path}/a.tar@{digest}").images
    assert one.manifest.digest == digest and one.manifest.platform == ARM


def test_what_is_not_there(store: Store, both: Descriptor, tmp_path: Path) -> None:
    export_image(store, both, [NAME], Output("oci", str(tmp_path / "a.tar")))
    (tmp_path / "empty").mkdir()
    for text, reason in {
        "nope": "image-missing",
        "./nope.tar": "image-missing",
        f"{tmp_path}/a.tar:2": "image-missing",
        f"{tmp_path}/a.tar@sha256:{'0' * 64}": "image-missing",
        f"{tmp_path}/empty": "layout-missing",
        "sha256:" + "0" * 64: "image-missing",
        "/dev/null": "bad-archive",
    }.items():
        assert reason_of(store, text) == reason, text
    with pytest.raises(XxError) as caught:
        facts_of(store, "a:1", Platform.parse("linux/s390x"))
    assert caught.value.reason == "platform-missing"
    export_image(store, both, [f"{NAME}{number}" for number in range(200)], Output("oci", f"{tmp_path}/b", tar=False))
    for text in (f"oci:{tmp_path}/b:nope", f"{tmp_path}/b:nope", f"oci-layout://{tmp_path}/b:nope"):
        with pytest.raises(XxError) as caught:
            facts_of(store, text)
        # Those that there are, as many as a line holds.
        assert "has no image nope; it has 10, 11, " in caught.value.message and len(caught.value.message) < 1000


def test_attestations_are_named_as_what_they_are(store: Store, tmp_path: Path) -> None:
    manifest = image(store, (b"layer",))
    facts = facts_of(store, named(store, NAME, manifest, attestation(store, manifest)).digest)
    assert len(facts.images) == 1
    (attached,) = facts.attached
    assert attached.kind == "attestation-manifest" and attached.subject == manifest.digest
    assert attached.predicates == ("https://slsa.dev/provenance/v1",)


def docker_files(layers: tuple[bytes, ...], tags: list[str], *, diff_ids: list[str] | None = None) -> dict[str, bytes]:
    """What ``docker save`` wrote before version 25."""
    named_by = diff_ids if diff_ids is not None else [digest_of_bytes(each) for each in layers]
    config = {"os": "linux", "architecture": "arm64", "rootfs": {"type": "layers", "diff_ids": named_by}}
    data = json.dumps(config).encode()
    files = {f"{number}/layer.tar": each for number, each in enumerate(layers)}
    entry = {"Config": "config.json", "RepoTags": tags, "Layers": list(files)}
    return {**files, "config.json": data, "manifest.json": json.dumps([entry]).encode()}


def test_an_archive_of_docker_s_own_format(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "d.tar", docker_files((b"one", b"two"), ["app:1"]))
    for text in (str(path), f"{path}:1"):
        (one,) = facts_of(store, text).images
        assert one.manifest.platform == ARM and [layer.blob.size for layer in one.layers] == [3, 3]
    with opened(store, str(path)) as source:
        (manifest,) = listing(source).manifests
        for layer in one.layers:
            source.copy(layer.blob, store)
        source.copy(manifest, store)
        assert store.read(one.layers[1].blob.digest) == b"two" and store.has(manifest.digest)
    packed = gzip.compress(b"one")
    write(path, docker_files((packed,), [], diff_ids=[digest_of_bytes(b"one")]))
    assert facts_of(store, str(path)).images[0].layers[0].blob.digest == digest_of_bytes(packed)
    assert reason_of(store, f"{path}:2") == "image-missing"


def test_a_layer_of_docker_s_that_is_another_is_not_copied(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "d.tar", docker_files((b"one",), [], diff_ids=["sha256:" + "1" * 64]))
    with opened(store, str(path)) as source, pytest.raises(XxError) as caught:
        source.copy(Descriptor("a/b", "sha256:" + "1" * 64, 3), store)
    assert caught.value.reason == "digest-mismatch" and list(store.blobs.iterdir()) == []


def test_hostile_archives(store: Store, both: Descriptor, tmp_path: Path) -> None:
    whole = layout_files(store, both)
    manifest = next(name for name, data in whole.items() if b'"layers"' in data)
    entry = json.loads(whole["index.json"])["manifests"][0]
    link = tarfile.TarInfo("index.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    deep = b"[" * 100_000

    def index(**change: Any) -> bytes:
        return json.dumps({"manifests": [entry | change]}).encode()

    cases: dict[str, tuple[Mapping[str, bytes | tarfile.TarInfo], str]] = {
        "nothing": ({}, "bad-archive"),
        "no index": ({"x": b"y"}, "bad-archive"),
        "no json": (whole | {"index.json": b"{"}, "json-invalid"),
        "deep": (whole | {"index.json": deep}, "json-invalid"),
        "a list": (whole | {"index.json": b"[]"}, "json-invalid"),
        "a link": (whole | {"index.json": link}, "bad-archive"),
        "no manifests": (whole | {"index.json": b'{"manifests": 5}'}, "json-invalid"),
        "a digest that leads out": (
            whole | {"index.json": index(digest="sha256:../../../etc/passwd")},
            "descriptor-invalid",
        ),
        "another size": (whole | {"index.json": index(size=5)}, "digest-mismatch"),
        "a huge size": (whole | {"index.json": index(size=1 << 50)}, "blob-too-large"),
        "another content": (whole | {manifest: whole[manifest].replace(b"layers", b"Layers")}, "digest-mismatch"),
        "a blob less": ({name: data for name, data in whole.items() if name != manifest}, "blob-missing"),
        "docker's, no list": ({"manifest.json": b"{}"}, "image-missing"),
        "docker's, no config": ({"manifest.json": b'[{"Config": "x", "Layers": []}]'}, "bad-archive"),
        "docker's, a config out of it": ({"manifest.json": b'[{"Config": "../../etc/passwd"}]'}, "bad-archive"),
        "docker's, layers more": (docker_files((b"one",), [], diff_ids=[]), "bad-archive"),
        "docker's, no digest": (docker_files((b"one",), [], diff_ids=["x"]), "descriptor-invalid"),
        "too many": ({f"{number}": b"" for number in range(20_001)}, "bad-archive"),
    }
    for name, (files, reason) in cases.items():
        assert reason_of(store, str(write(tmp_path / "hostile.tar", files))) == reason, name


def test_hostile_headers(store: Store, both: Descriptor, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    whole = write(path, layout_files(store, both)).read_bytes()
    for data, reason in (
        (whole[:700], "bad-archive"),
        (whole[: len(whole) // 2], "bad-archive"),
        (b"", "bad-archive"),
        (b"\0" * 10240, "bad-archive"),
        (gzip.compress(whole), "archive-packed"),
        (b"\x28\xb5\x2f\xfd" + whole, "archive-packed"),
    ):
        path.write_bytes(data)
        assert reason_of(store, str(path)) == reason
    # A file that is longer than the archive, a negative size, a pax header of a terabyte in a sparse file.
    for size, kind in ((1 << 40, b"0"), (-512, b"0"), (1 << 40, b"x"), (1 << 40, b"L")):
        entry = tarfile.TarInfo("index.json")
        entry.type = kind
        block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
        # A number of base 256 (GNU tar), of two's complement.
        block[124:136] = (size + (1 << 96) if size < 0 else size | 1 << 95).to_bytes(12, "big")
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        with path.open("wb") as file:
            file.write(block)
            file.truncate(1 << 41 if kind != b"0" else 5120)
        assert reason_of(store, str(path)) == "bad-archive", (size, kind)


def test_an_index_in_an_index_without_end(store: Store) -> None:
    entry = named(store, NAME, image(store, (b"layer",)))
    for _ in range(8):
        entry = store.put_json({"manifests": [entry.to_json()]}, INDEX_TYPES[0])
    store.tag(NAME, entry)
    assert reason_of(store, "a:1") == "json-invalid"


def test_a_fifo_is_not_waited_for(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert reason_of(store, f"{tmp_path}/fifo") == "bad-archive"
