"""Names, images and exporters."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from xxpy.build.descriptor import Descriptor
from xxpy.build.export import export_image
from xxpy.build.hostca import HostCa, parse_host_ca
from xxpy.build.image import read_image, write_image, write_index
from xxpy.build.layers import write_layer
from xxpy.build.names import normalize_name, short_name, tag_of
from xxpy.build.outputs import Output, check_dest, parse_output
from xxpy.build.store import Store
from xxpy.errors import SourceError, StoreError, UsageError
from xxpy.platforms import Platform

NAMES = {
    "busybox": "docker.io/library/busybox:latest",
    "debian:trixie": "docker.io/library/debian:trixie",
    "team/app": "docker.io/team/app:latest",
    "localhost/app:1": "localhost/app:1",
    "example.test:5000/a/b:v1": "example.test:5000/a/b:v1",
    "a@sha256:" + "0" * 64: "docker.io/library/a@sha256:" + "0" * 64,
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    assert normalize_name(name) == NAMES[name]


@pytest.mark.parametrize(
    "name", ["", "UPPER", "a b", "a:", ":a", "a@sha256:0", "a//b", "-a", "a" * 600, "a:b:c", "../a"]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalize_name(name)
    assert caught.value.reason == "bad-reference"


def test_short_names() -> None:
    assert short_name(normalize_name("busybox")) == "busybox" and short_name("localhost/a:1") == "localhost/a:1"
    assert tag_of("localhost:5000/a") == "latest" and tag_of("localhost:5000/a:x") == "x"


@pytest.fixture
def image(tmp_path: Path) -> tuple[Store, Descriptor]:
    store = Store.open(tmp_path / "store")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/f").write_text("f")
    os.utime(tmp_path / "tree/f", (1, 1))
    layer = write_layer(tmp_path / "tree", store)
    entries = [
        write_image(
            store, Platform.parse(text), {"Env": ["A=1"]}, [layer], [{"created_by": "x"}], "2020-01-01T00:00:00Z"
        )
        for text in ("linux/amd64", "linux/arm/v7", "linux/arm64")
    ]
    index = write_index(store, entries)
    store.tag("docker.io/library/x:1", index)
    return store, index


def test_an_image_is_found_by_platform(image: tuple[Store, Descriptor]) -> None:
    store, _ = image
    found = read_image(store, "x:1", Platform.parse("linux/arm64"))
    assert found.platform == Platform.parse("linux/arm64") and found.config["config"] == {"Env": ["A=1"]}
    assert len(found.layers) == 1
    # An older variant runs on a newer one.
    assert read_image(store, "x:1", Platform.of("linux", "arm", "v8")).platform == Platform.parse("linux/arm/v7")
    for name, platform, reason in (("x:1", "linux/s390x", "platform-missing"), ("y:1", "linux/amd64", "image-missing")):
        with pytest.raises(SourceError) as caught:
            read_image(store, name, Platform.parse(platform))
        assert caught.value.reason == reason and "--build-context" in caught.value.remedy


def test_a_tar_is_whole_and_the_same_each_time(image: tuple[Store, Descriptor], tmp_path: Path) -> None:
    store, index = image
    paths = [tmp_path / "one.tar", tmp_path / "deep/er/two.tar"]
    for path in paths:
        export_image(store, index, ["docker.io/library/x:1"], Output("oci", str(path)))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with tarfile.open(paths[0]) as tar:
        member = tar.extractfile("index.json")
        assert member is not None
        entry = json.load(member)["manifests"][0]
        assert entry["digest"] == index.digest
        assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1"
        blobs = {name for name in tar.getnames() if name.startswith("blobs/sha256/")}
    # index, three manifests, three configs, one layer
    assert len(blobs) == 8


def test_a_folder_replaces_an_older_one_and_nothing_else(image: tuple[Store, Descriptor], tmp_path: Path) -> None:
    store, index = image
    output = Output("oci", str(tmp_path / "layout"), tar=False)
    for _ in range(2):
        check_dest(output)
        export_image(store, index, [], output)
    assert sorted(os.listdir(tmp_path / "layout")) == ["blobs", "index.json", "oci-layout"]
    assert sorted(name for name in os.listdir(tmp_path) if "layout" in name) == ["layout"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(UsageError):
        check_dest(Output("oci", str(tmp_path / "mine"), tar=False))


def test_a_failed_export_leaves_what_was_there(image: tuple[Store, Descriptor], tmp_path: Path) -> None:
    store, index = image
    dest = tmp_path / "out.tar"
    dest.write_text("older")
    missing = Descriptor(index.media_type, "sha256:" + "0" * 64, 1)
    with pytest.raises(StoreError):
        export_image(store, missing, [], Output("oci", str(dest)))
    assert dest.read_text() == "older" and [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=cacheonly", "output-unsupported"), ("type=nope,dest=x", "bad-output"), ("dest=x,tar=1", "bad-output"),
        ("type=oci,dest=x,tar=maybe", "bad-output"), ("type=oci,dest=x,nope=1", "bad-output"),
        ("type=oci,dest=-,tar=false", "bad-output"), ("", "bad-output"),
    ],
)  # fmt: skip
def test_wrong_outputs(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_output(text)
    assert caught.value.reason == reason


def test_outputs() -> None:
    assert parse_output("type=oci,dest=a.tar") == Output("oci", "a.tar")
    assert parse_output('type=oci,"dest=a,b",tar=0') == Output("oci", "a,b", tar=False)


def test_host_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("PEM")
    assert parse_host_ca("") == HostCa() and parse_host_ca("off") == HostCa()
    monkeypatch.setenv("XX_HOST_CA", str(pem))
    given = parse_host_ca("")
    assert given.bundle == pem and parse_host_ca("off") == HostCa()
    pairs = dict(pair.split("=", 1) for pair in given.environment(["SSL_CERT_FILE=/own"]))
    assert "SSL_CERT_FILE" not in pairs and pairs["CURL_CA_BUNDLE"].startswith("/run/")
    assert HostCa().environment([]) == []
    given.write_to(tmp_path)
    assert (tmp_path / "ca-certificates.crt").read_text() == "PEM" and "CAInfo" in (tmp_path / "apt.conf").read_text()
    with pytest.raises(UsageError) as caught:
        parse_host_ca(str(tmp_path / "nowhere"))
    assert caught.value.reason == "host-ca-missing"
