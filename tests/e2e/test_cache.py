"""Caches that machines share: two stores with no disk in common, and a third that makes one image of what both made."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import lacking
from registries import docker_registry
from support import BOTH, Done, Xx, ran, store_from

from xxpy.build.remotecache.aging import Addition
from xxpy.build.remotecache.local import LocalPlace
from xxpy.build.remotecache.spec import parse_cache_to
from xxpy.build.store import Store

STAMPED = """FROM busybox AS build
RUN cat /proc/sys/kernel/random/uuid >/stamp
COPY f /f
RUN cat /f /stamp >/both && mkdir /d && echo x >/d/x && rm -r /var && ln /f /hard && chmod 4755 /f
RUN rm -r /d && mkdir /d && echo y >/d/y
FROM busybox
COPY --from=build /both /both
COPY --link f /linked
RUN cp /both /copy
"""
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


class Machines:
    """Stores of their own for one context, whose folder holds the cache."""

    def __init__(self, bases: Path, tmp_path: Path) -> None:
        self._bases = bases
        self._tmp = tmp_path
        self.folder = tmp_path / "context"
        self.folder.mkdir()
        (self.folder / "Dockerfile").write_text(STAMPED)
        (self.folder / "f").write_text("one\n")
        (self.folder / ".dockerignore").write_text("*\n!f\n")

    def machine(self, name: str) -> Xx:
        store = self._tmp / f"store-{name}"
        return Xx(store if store.exists() else store_from(self._bases, store), self.folder)

    def build(self, name: str, *args: str) -> Done:
        done = self.machine(name).run("build", "--progress", "plain", "-t", "app", *args, ".", env=EPOCH)
        assert done.code == 0, done
        return done

    def files(self, name: str, *args: str) -> dict[str, Any]:
        """The files of the last stage's root, and of the first's with ``--target build``."""
        out = self._tmp / f"out-{name}-{len(list(self._tmp.iterdir()))}"
        self.build(name, "-o", str(out), *args)
        return {os.fspath(path.relative_to(out)): _seen(path) for path in sorted(out.rglob("*"))}


def _seen(path: Path) -> Any:
    info = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
    link = os.readlink(path) if path.is_symlink() else ""
    return (stat.S_IMODE(info.st_mode), info.st_nlink, info.st_uid, info.st_gid, content, link, int(info.st_mtime))


@pytest.fixture
def machines(bases: Path, tmp_path: Path) -> Machines:
    return Machines(bases, tmp_path)


def index(done: Done) -> str:
    return re.findall(r"^app +(sha256:[0-9a-f]{64})$", done.err, re.MULTILINE)[0]


def test_another_machine_runs_nothing_again(machines: Machines) -> None:
    first = machines.build("a", "--platform", BOTH, "--cache-to", "type=local,dest=cache,mode=max")
    assert len(ran(first)) > 5
    second = machines.build("b", "--platform", BOTH, "--cache-from", "type=local,src=cache")
    assert ran(second) == [] and "CACHED" in second.err
    # As the Dockerfile has them, each with its end.
    lines = re.findall(r"^#(\d+) (\[|CACHED)", second.err, re.MULTILINE)
    assert lines == [(number, end) for number, _ in lines[::2] for end in ("[", "CACHED")]
    assert sorted(lines[::2], key=lambda each: int(each[0])) == lines[::2] and len(lines) > 10
    # Times and all: the same image.
    assert index(second) == index(first)
    for more in ((), ("--target", "build", "--cache-from", "type=local,src=cache")):
        assert machines.files("b", *more) == machines.files("a", *more)


def test_what_changed_runs_and_nothing_else(machines: Machines) -> None:
    machines.build("a", "--cache-to", "type=local,dest=cache,mode=max")
    stamp = machines.files("a", "--target", "build")["stamp"]
    (machines.folder / "f").write_text("two\n")
    done = machines.build("b", "--cache-from", "type=local,src=cache", "--cache-to", "type=local,dest=cache,mode=max")
    assert ran(done) and not [text for text in ran(done) if "uuid" in text]
    files = machines.files("b", "--target", "build")
    assert files["stamp"] == stamp and files["both"][4] == b"two\n" + stamp[4]
    # Both are in the cache now.
    for text in ("one\n", "two\n"):
        (machines.folder / "f").write_text(text)
        assert ran(machines.build(f"c{text[0]}", "--cache-from", "type=local,src=cache")) == []


def test_only_what_images_are_made_of_is_in_a_small_cache(machines: Machines) -> None:
    machines.build("a", "--cache-to", "type=local,dest=cache")
    again = machines.build("b", "--cache-from", "type=local,src=cache")
    assert ran(again) == []
    stage = machines.build("c", "--target", "build", "--cache-from", "type=local,src=cache")
    assert [text for text in ran(stage) if "uuid" in text]


def age(machines: Machines, name: str, days: int) -> None:
    """Have the cache of ``name`` look as if nothing had been added to it for ``days``."""
    place = LocalPlace(parse_cache_to(f"type=local,dest={machines.folder / 'cache'}"))
    then = int(time.time()) - days * 86_400
    place.add(Addition(place.read(), frozenset(), then), Store.open(machines.machine(name).store))


def test_a_cache_is_kept_below_a_size(machines: Machines) -> None:
    small = ("--cache-from", "type=local,src=cache", "--cache-to", "type=local,dest=cache,mode=max,keep-storage=1")
    machines.build("a", "--cache-to", "type=local,dest=cache,mode=max")
    age(machines, "a", 2)
    # All of it is in use: that nothing was needed of the first stage does not make it old.
    assert ran(machines.build("b", *small)) == []
    assert ran(machines.build("c", "--target", "build", "--cache-from", "type=local,src=cache")) == []
    age(machines, "a", 2)
    blobs = machines.folder / "cache/blobs/sha256"
    before = {path.name for path in blobs.iterdir()}
    (machines.folder / "f").write_text("two\n")
    assert len(ran(machines.build("d", *small))) > 3
    # Layers that only the old file was in are gone, and with them what was found again by it.
    assert len(before - {path.name for path in blobs.iterdir()}) > 4
    assert ran(machines.build("e", "--cache-from", "type=local,src=cache")) == []
    (machines.folder / "f").write_text("one\n")
    done = machines.build("f", "--cache-from", "type=local,src=cache")
    assert ran(done) and not [text for text in ran(done) if "uuid" in text]


def test_platforms_of_two_machines_are_one_image_on_a_third(machines: Machines) -> None:
    both = BOTH.split(",")
    for name, platform in zip("ab", both, strict=True):
        machines.build(name, "--platform", platform, "--cache-to", "type=local,dest=cache,mode=max")
    done = machines.build("c", "--platform", BOTH, "--cache-from", "type=local,src=cache")
    assert ran(done) == []
    for name, platform in zip("ab", both, strict=True):
        assert machines.files("c", "--platform", platform) == machines.files(name, "--platform", platform)


def test_two_machines_and_a_third_with_a_registry_between_them(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("docker-registry") is None:
        lacking("docker-registry is not installed")
    monkeypatch.setenv("no_proxy", "*")
    both = BOTH.split(",")
    with docker_registry(tmp_path / "registry") as host:
        cache = ("--cache-to", f"type=registry,ref={host}/team/cache:main,mode=max")
        # At once: what one adds the other does not overwrite.
        with ThreadPoolExecutor(2) as pool:
            running = [
                pool.submit(machines.build, name, "--platform", platform, *cache)
                for name, platform in zip("ab", both, strict=True)
            ]
            assert all(ran(each.result()) for each in running)
        done = machines.build("c", "--platform", BOTH, "--cache-from", f"{host}/team/cache:main")
        assert ran(done) == []
        for name, platform in zip("ab", both, strict=True):
            assert machines.files("c", "--platform", platform) == machines.files(name, "--platform", platform)
        # An image that was pushed says what it is the result of.
        name = f"{host}/team/app:1"
        pushed = machines.machine("a").run(
            "build", "-t", name, "--push", "--platform", BOTH, "--cache-to", "type=inline", "."
        )
        assert pushed.code == 0, pushed
        assert ran(machines.build("d", "--platform", BOTH, "--cache-from", name)) == []
        lost = f"{host}/team/cache:none"
        assert "has nothing yet" in machines.build("e", "--cache-from", lost).err
    assert "cannot be read" in machines.build("f", "--cache-from", lost).err


def test_an_image_is_a_cache_of_its_own_steps(machines: Machines) -> None:
    machines.build("a", "-o", "type=oci,dest=image,tar=false", "--cache-to", "type=inline")
    config = _config(machines.folder / "image")
    assert config["vnd.xx.cache.v1"]["results"] and "seconds" not in json.dumps(config["vnd.xx.cache.v1"])
    again = machines.build("b", "--cache-from", "type=local,src=image")
    assert ran(again) == []
    assert machines.files("b") == machines.files("a")


def _config(layout: Path) -> Any:
    def blob(digest: str) -> Any:
        return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())

    entry = json.loads((layout / "index.json").read_bytes())["manifests"][0]
    manifest = blob(blob(entry["digest"])["manifests"][0]["digest"])
    return blob(manifest["config"]["digest"])


def test_a_cache_that_is_damaged_or_not_there_costs_time_alone(machines: Machines) -> None:
    machines.build("a", "--cache-to", "type=local,dest=cache,mode=max")
    for blob in (machines.folder / "cache/blobs/sha256").iterdir():
        if not blob.read_bytes().startswith(b"{"):
            blob.write_bytes(b"")
    done = machines.build("b", "--cache-from", "type=local,src=cache", "--cache-from", "type=local,src=nowhere")
    assert ran(done) and "is not to be had" in done.err and "nowhere has nothing yet" in done.err
    (machines.folder / "cache/index.json").write_text("{")
    assert "cannot be read" in machines.build("c", "--cache-from", "type=local,src=cache").err


def test_a_blob_that_only_says_what_it_is_comes_into_no_image(machines: Machines) -> None:
    machines.build("a", "--cache-to", "type=local,dest=cache,mode=max")
    evil = gzip.compress(b"\0" * 10240, mtime=0)
    digest = hashlib.sha256(evil).hexdigest()
    blobs = machines.folder / "cache/blobs/sha256"
    (blobs / digest).write_bytes(evil)
    entry = json.loads((machines.folder / "cache/index.json").read_bytes())["manifests"][0]
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    for layer in manifest["layers"]:
        layer |= {"digest": f"sha256:{digest}", "size": len(evil)}
    text = json.dumps(manifest).encode()
    entry |= {"digest": f"sha256:{hashlib.sha256(text).hexdigest()}", "size": len(text)}
    (blobs / hashlib.sha256(text).hexdigest()).write_bytes(text)
    (machines.folder / "cache/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    # Where the layer is not here it is found out when it is unpacked.
    fooled = machines.machine("b").run("build", "-t", "app", "--cache-from", "type=local,src=cache", ".", env=EPOCH)
    assert fooled.code == 7 and "a cache of --cache-from holds something else than it says" in fooled.err
    # Where it is, it is what was unpacked that counts.
    out = ("-o", "type=oci,dest=i,tar=false")
    machines.build("a", "--no-cache-filter", "build", "--cache-from", "type=local,src=cache", *out)
    assert not (machines.folder / "i/blobs/sha256" / digest).exists()


def test_a_cache_that_cannot_be_written(machines: Machines) -> None:
    (machines.folder / "file").write_text("")
    to = "type=local,dest=file/cache"
    done = machines.machine("a").run("build", "-t", "app", "--cache-to", to, ".")
    assert done.code == 2 and "file/cache" in done.err
    assert "nothing was added" in machines.build("a", "--cache-to", f"{to},ignore-error=true").err
    # One that fails is no reason not to add to the others.
    gone = "type=registry,ref=127.0.0.1:1/cache"
    done = machines.machine("a").run("build", "--cache-to", gone, "--cache-to", "type=local,dest=good", ".", env=EPOCH)
    assert done.code == 7 and "127.0.0.1:1" in done.err and (machines.folder / "good/index.json").exists(), done
    # What is something else is told of before anything is built.
    full = machines.machine("a").run("build", "--cache-to", "type=local,dest=.", ".")
    assert full.code == 7 and "holds Dockerfile, and so is more than a cache" in full.err, full
    assert not (machines.folder / "blobs").exists()
    own = machines.machine("a")
    done = own.run("build", "-t", "app", "--cache-to", f"type=local,dest={own.store}", ".")
    assert done.code == 7 and "is a store of xx" in done.err and "DONE" not in done.err and "CACHED" not in done.err
