"""One index out of several sources, names that change meanwhile, and the list of images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from registries import Memory
from stores import attestation, image, named

from xxpy.build.descriptor import Descriptor, hex_of
from xxpy.build.export import export_image
from xxpy.build.image import MANIFEST_TYPE, image_at, image_manifests
from xxpy.build.listing import named_images
from xxpy.build.merge import merge
from xxpy.build.outputs import Output
from xxpy.build.remotecache.aging import Addition
from xxpy.build.remotecache.entries import Entries
from xxpy.build.remotecache.local import LocalPlace
from xxpy.build.remotecache.spec import Cache
from xxpy.build.sources import opened
from xxpy.build.store import Store
from xxpy.cli.xx import main
from xxpy.errors import StoreError, XxError

A, B, M = (f"docker.io/library/{name}:latest" for name in "abm")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def xx(store: Store, *args: str) -> Result:
    return CliRunner().invoke(main, [*args, "--store", str(store.root)], catch_exceptions=False)


def index(store: Store, name: str = M) -> dict[str, Any]:
    found = store.resolve(name)
    assert found is not None
    return store.read_json(found.digest)


def platforms(store: Store, name: str = M) -> list[str]:
    return ["/".join(one["platform"][key] for key in ("os", "architecture")) for one in index(store, name)["manifests"]]


def elsewhere(tmp_path: Path, name: str, *layers: bytes, platform: str = "linux/arm64", said: str = "same") -> Path:
    """An archive that another store's build has written."""
    other = Store.open(tmp_path / f"other-{name}")
    made = named(other, A, image(other, layers, platform), annotations=(("both", "yes"), ("who", said)))
    export_image(other, made, [A], Output("oci", str(tmp_path / f"{name}.tar")))
    return tmp_path / f"{name}.tar"


def test_two_platforms_become_one_image(store: Store, tmp_path: Path) -> None:
    named(store, A, image(store, (b"amd64",)), annotations=(("both", "yes"), ("who", "me")))
    archive = elsewhere(tmp_path, "b", b"arm64")
    done = xx(store, "merge", "-t", "m", "a", str(archive), "--annotation", "index:new=1")
    assert done.exit_code == 0, done.output
    assert platforms(store) == ["linux/amd64", "linux/arm64"]
    assert index(store)["annotations"] == {"both": "yes", "new": "1"}
    for one in index(store)["manifests"]:
        body = store.read_json(one["digest"])
        assert all(store.read(part["digest"]) for part in (body["config"], *body["layers"]))
    # The order of the sources is no part of it.
    before = store.resolve(M)
    assert xx(store, "merge", "-t", "m", str(archive), "a", "--annotation", "index:new=1").exit_code == 0
    assert store.resolve(M) == before


def test_a_platform_twice(store: Store, tmp_path: Path) -> None:
    named(store, A, image(store, (b"one",), "linux/arm64"))
    same = elsewhere(tmp_path, "same", b"one")
    other = elsewhere(tmp_path, "other", b"two")
    assert xx(store, "merge", "-t", "m", "a", str(same)).exit_code == 0
    assert platforms(store) == ["linux/arm64"]
    done = xx(store, "merge", "-t", "n", str(same), str(other))
    assert done.exit_code == 5 and "same.tar" in done.output and "other.tar" in done.output
    assert store.resolve("docker.io/library/n:latest") is None


def test_append(store: Store, tmp_path: Path) -> None:
    for number, platform in enumerate(("linux/amd64", "linux/arm64", "linux/s390x")):
        archive = elsewhere(tmp_path, str(number), b"%d" % number, platform=platform)
        assert xx(store, "merge", "--append", "-t", "m", str(archive)).exit_code == 0
    assert platforms(store) == ["linux/amd64", "linux/arm64", "linux/s390x"]
    other = elsewhere(tmp_path, "other", b"other", platform="linux/arm64")
    done = xx(store, "merge", "--append", "-t", "m", str(other))
    assert done.exit_code == 5 and "is in m (" in done.output, done.output
    assert xx(store, "merge", "-t", "m", str(other)).exit_code == 0
    assert platforms(store) == ["linux/arm64"]


def test_attestations_go_along(store: Store, tmp_path: Path) -> None:
    one, two = image(store, (b"one",)), image(store, (b"two",), "linux/arm64")
    named(store, A, one, attestation(store, one))
    # One that is about a manifest which is not here has nothing to be with.
    named(store, B, two, attestation(store, image(store, (b"gone",))))
    assert xx(store, "merge", "-t", "m", "a", "b").exit_code == 0
    merged = index(store)["manifests"]
    assert platforms(store) == ["linux/amd64", "linux/arm64", "unknown/unknown"]
    assert merged[2]["annotations"]["vnd.docker.reference.digest"] == one.digest


def test_a_damaged_source_gives_no_image(store: Store, tmp_path: Path) -> None:
    layout = tmp_path / "folder"
    other = Store.open(tmp_path / "other")
    export_image(other, named(other, A, image(other, (b"layer",))), [A], Output("oci", str(layout), tar=False))
    for path in (layout / "blobs/sha256").iterdir():
        if path.read_bytes() == b"layer":
            path.write_bytes(b"LAYER")
    done = xx(store, "merge", "-t", "m", str(layout))
    assert done.exit_code == 7 and store.resolve(M) is None, done.output


def test_outputs(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named(store, A, image(store, (b"one",)))
    named(store, B, image(store, (b"two",), "linux/arm64"))
    named(store, "docker.io/library/arm:latest", image(store, (b"three",), "linux/arm/v7"))
    # No engine is to be found.
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "out.tar"
    done = xx(store, "merge", "a", "b", "-o", f"type=oci,dest={out}")
    assert done.exit_code == 0 and done.output.startswith("sha256:"), done.output
    assert done.output.strip() == json.loads(xx(store, "inspect", str(out), "--format", "json").output)["digest"]
    for args, code in (
        (["a", "b"], 2),
        (["a", "b", "-o", f"type=docker,dest={out}"], 2),
        (["a", "b", "-o", f"type=oci,dest={out},compression=zstd"], 2),
        (["a", "b", "-t", "m", "-o", "type=image,name=n,oci-mediatypes=false"], 2),
        (["a", "b", "-o", "type=registry"], 2),
        (["a", "b", "--load", "-t", "m"], 4),
        (["b", "arm", "--load", "-t", "m"], 2),
        (["a", "-o", str(tmp_path / "folder")], 2),
        (["a", "-t", "UPPER"], 2),
        (["a", "--append", "-o", f"type=oci,dest={out}"], 2),
        (["a", "-t", "m", "--annotation", "manifest:a=b"], 2),
        (["nope", "-t", "m"], 5),
    ):
        done = xx(store, "merge", *args)
        assert done.exit_code == code and "ERROR: " in done.output, (args, done.output)
    assert store.resolve(M) is None


def test_a_damaged_layer_is_not_written_out(store: Store, tmp_path: Path) -> None:
    entry = named(store, A, image(store, (b"one",)))
    layer = image_at(store, image_manifests(store, entry)[0]).layers[0].descriptor
    with store.blob(layer.digest).open("ab") as file:
        file.write(b"more")
    for output in (
        f"type=oci,dest={tmp_path}/o.tar",
        f"type=oci,dest={tmp_path}/o,tar=false",
        f"type=docker,dest={tmp_path}/d",
    ):
        done = xx(store, "merge", "a", "-o", output)
        assert done.exit_code == 7 and "is damaged: it has" in done.output, done.output
    store.blob(layer.digest).unlink()
    done = xx(store, "merge", "a", "-o", f"type=oci,dest={tmp_path}/o.tar")
    assert done.exit_code == 7 and "lacks the blob" in done.output, done.output
    assert os.listdir(tmp_path) == ["store"]


def test_a_cache_is_no_image(store: Store, tmp_path: Path) -> None:
    LocalPlace(Cache("local", str(tmp_path / "cache"))).add(Addition(Entries(), frozenset(), 0), store)
    done = xx(store, "merge", "-t", "m", str(tmp_path / "cache"))
    assert done.exit_code == 5 and "is a cache of --cache-to, no image" in done.output, done.output
    assert store.resolve(M) is None


def test_outputs_that_have_names(store: Store, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    named(store, A, image(store, (b"one",)))
    named(store, B, image(store, (b"two",), "linux/arm64"))
    done = xx(store, "merge", "a", "b", "-t", f"{memory.host}/team/app:1", "--push", "-o", "type=image,name=m")
    assert done.exit_code == 0, done.output
    digest = done.output.split()[-1]
    assert digest in memory.manifests["team/app"] and "1" in memory.manifests["team/app"]
    entry = store.resolve(f"{memory.host}/team/app:1")
    assert entry is not None and entry.digest == digest


class _Slow:
    """A source that has something happen while it is read."""

    def __init__(self, source: Any, happens: Any) -> None:
        self._source, self._happens, self.name = source, happens, source.name

    def entry(self) -> Descriptor:
        self._happens()
        found = self._source.entry()
        assert isinstance(found, Descriptor)
        return found

    def read(self, blob: Descriptor) -> bytes:
        return bytes(self._source.read(blob))

    def copy(self, blob: Descriptor, store: Store) -> None:
        self._source.copy(blob, store)


def test_a_name_that_changed_meanwhile_is_not_overwritten(store: Store) -> None:
    mine, other = named(store, A, image(store, (b"one",))), named(store, B, image(store, (b"two",), "linux/arm64"))
    for first in (None, mine):
        store.untag([M])
        if first is not None:
            store.tag(M, first)
        before = store.resolve(M)
        with opened(store, "a") as source:
            made = merge(store, [_Slow(source, lambda: store.tag(M, other))], ())
        with pytest.raises(StoreError) as caught:
            store.retag(M, made, before)
        assert caught.value.reason == "tag-changed" and index(store) == store.read_json(other.digest)
    store.untag([M])
    with pytest.raises(StoreError):
        store.retag(M, mine, other)
    store.retag(M, mine, None)
    assert store.resolve(M) == mine


def test_many_processes_append_to_one_name_and_nothing_is_lost(store: Store, tmp_path: Path) -> None:
    names = ["linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le", "linux/riscv64", "linux/386"]
    archives = [elsewhere(tmp_path, str(number), b"%d" % number, platform=name) for number, name in enumerate(names)]
    children = []
    for archive in archives:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                # Whoever comes too late is told, and tries again.
                while (code := xx(store, "merge", "--append", "-t", "m", str(archive)).exit_code) == 7:
                    pass
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(names)
    assert sorted(platforms(store)) == sorted(names)


def test_images(store: Store) -> None:
    named(store, A, image(store, (b"one",)), image(store, (b"one",), "linux/arm64"))
    named(store, B, image(store, (b"two",)))
    (first, second) = named_images(store)
    assert first.platforms == ("linux/amd64", "linux/arm64") and first.created == "2026-01-02T03:04:05Z"
    assert second.size > 3
    done = xx(store, "images")
    assert done.output.splitlines()[0].split() == ["NAME", "PLATFORMS", "ID", "CREATED", "SIZE"]
    assert done.output.splitlines()[1].startswith("a      linux/amd64,linux/arm64   ")
    assert [json.loads(line)["Name"] for line in xx(store, "images", "--format", "json").output.splitlines()] == [A, B]
    assert xx(store, "images", "-q").output.split() == [first.digest, second.digest]


def test_a_damaged_image_is_listed_as_such(store: Store) -> None:
    found = named(store, A, image(store, (b"one",)))
    named(store, B, image(store, (b"two",)))
    store.blob(found.digest).write_bytes(b"{}")
    done = xx(store, "images")
    assert done.exit_code == 0 and "damaged" in done.output.splitlines()[1] and "linux/amd64" in done.output
    assert xx(store, "inspect", "a").exit_code == 7


def test_removing_names(store: Store) -> None:
    named(store, A, image(store, (b"one",)))
    named(store, B, image(store, (b"two",)))
    done = xx(store, "images", "rm", "a", "nope")
    assert done.exit_code == 5 and store.resolve(A) is not None
    done = xx(store, "images", "rm", "a", "b")
    assert done.exit_code == 0 and "removed a\nremoved b\n" in done.output and "prune" in done.output
    assert store.images() == []


def test_an_id_names_its_image(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (named(store, name, image(store, (name.encode(),))) for name in (A, B))
    id_ = hex_of(one.digest)[:12]
    shown = [line.split()[2] for line in xx(store, "images").output.splitlines()[1:]]
    assert shown == [id_, hex_of(two.digest)[:12]]
    for text in (id_, f"sha256:{id_}", one.digest):
        assert one.digest in xx(store, "inspect", text).output, text
    assert xx(store, "merge", "-t", "m", id_).exit_code == 0 and store.resolve(M) is not None
    # Too short, and nobody's.
    assert [xx(store, "inspect", text).exit_code for text in (id_[:5], "0123456789ab")] == [5, 5]
    # A file of that name, and then a name that reads as an ID, go first.
    monkeypatch.chdir(tmp_path)
    Path(id_).write_text("no archive")
    assert xx(store, "inspect", id_).exit_code == 5
    store.tag(f"docker.io/library/{id_}:latest", two)
    assert two.digest in xx(store, "inspect", id_).output
    # As does a name that begins as a digest does.
    store.tag("docker.io/library/sha256:1", two)
    assert two.digest in xx(store, "inspect", "sha256:1").output
    assert xx(store, "images", "rm", "sha256:1").exit_code == 0


def test_an_id_of_several_names(store: Store) -> None:
    one = named(store, A, image(store, (b"one",)))
    store.tag(B, one)
    for args in (("images", "rm", one.digest), ("push", one.digest)):
        done = xx(store, *args)
        assert done.exit_code == 2 and "an image with several names: a, b" in done.output, done.output
    assert [name for name, _ in store.images()] == [A, B]
    assert xx(store, "images", "rm", "b").exit_code == 0
    assert "removed a\n" in xx(store, "images", "rm", one.digest).output and store.images() == []


def test_inspect_says_what_an_artifact_is(store: Store) -> None:
    config = store.put_bytes(b"{}", "application/vnd.oci.empty.v1+json").to_json()
    body = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}
    for kind, shown in (("", "application/vnd.oci.empty.v1+json"), ("application/x.thing", "application/x.thing")):
        made = store.put_json(body | ({"artifactType": kind} if kind else {}), MANIFEST_TYPE)
        store.tag(A, made)
        assert f"Kind:        {shown}, no image\n" in xx(store, "inspect", "a").output
        (found,) = json.loads(xx(store, "inspect", "a", "--format", "json").output)["images"]
        assert found["artifactType"] == shown and found["platform"] is None


def test_inspect_prints_names_of_variables_alone(store: Store) -> None:
    named(store, A, image(store, (b"one", b"two"), history=("FROM x", "RUN make\x1b[2J\r\n all")))
    done = xx(store, "inspect", "a", "--layers")
    assert "Env:         PATH, TOKEN" in done.output and "hidden" not in done.output
    assert "RUN make all" in done.output and "\x1b" not in done.output
    assert json.loads(xx(store, "inspect", "a", "--format", "json").output)["images"][0]["config"]["User"] == "me"


def test_errors_are_xx_s(store: Store) -> None:
    with pytest.raises(XxError) as caught, opened(store, "UPPER CASE"):
        pass
    assert caught.value.reason == "image-missing"
