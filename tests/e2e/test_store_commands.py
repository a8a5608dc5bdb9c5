"""Pruning, limits, merging and inspecting real stores: beside builds that run, killed, on a full disk."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import lacking, skopeo
from support import BOTH, Xx, store_from, wrong_blobs

GATE = """\
FROM busybox AS made
RUN echo shared >/shared && dd if=/dev/urandom of=/large bs=64k count=32 2>/dev/null
FROM busybox
COPY --from=made /shared /large /
RUN --mount=type=cache,id=gate,target=/gate cat /shared >/copy; until [ -e /gate/open ]; do sleep 0.1; done
RUN cat /shared /copy >/both
"""
BIG = "FROM busybox\nRUN dd if=/dev/urandom of=/large bs=64k count=64 2>/dev/null && echo {}\n"
"""A step that takes 4 MiB."""


def du(xx: Xx, *args: str) -> list[dict[str, Any]]:
    done = xx.run("cache", "du", "--format", "json", *args)
    assert done.code == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


def age(store: Path, days: int = 3) -> None:
    """Have all that is in a store used ``days`` ago."""
    for path in [*store.glob("records/*/*.json"), *store.glob("blobs/sha256/*"), *store.glob("caches/*/about.json")]:
        if path.stat().st_nlink > 1:
            # One of a base image, which stores of other tests have too.
            continue
        used = path.stat().st_mtime - days * 86400
        os.utime(path, (used, used))


def names(store: Path) -> set[str]:
    return set(os.listdir(store / "snapshots"))


@pytest.fixture
def clean(fresh: Xx) -> Xx:
    """`xx` on a store of its own that has busybox and nothing else, and no blob in common with other tests' stores.

    Whoever reads a blob has used it: what others use meanwhile would not go.
    """
    for blob in list((fresh.store / "blobs/sha256").iterdir()):
        shutil.copy2(blob, fresh.folder / "copy")
        (fresh.folder / "copy").rename(blob)
    listed = [json.loads(line)["Name"] for line in fresh.run("images", "--format", "json").out.splitlines()]
    others = [name for name in listed if name != "docker.io/library/busybox:latest"]
    assert fresh.run("images", "rm", *others).code == 0
    assert fresh.run("cache", "prune", "-af").code == 0
    return fresh


def until(what: Any, of: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert of.poll() is None and time.monotonic() < deadline, of.communicate(timeout=10)
        time.sleep(0.05)


def test_what_is_there_and_what_goes(clean: Xx) -> None:
    text = "FROM busybox\nRUN --mount=type=cache,target=/c echo x >/c/x; echo one >/one\n"
    assert clean.build(text, "-t", "made").code == 0
    assert clean.build("FROM busybox\nRUN echo loose\n").code == 0
    kinds = {one["Type"] for one in du(clean)}
    assert {"snapshot", "exec.cachemount"} <= kinds and "image" not in kinds
    assert any(one["Description"].endswith("RUN echo loose") for one in du(clean, "--filter", "type=snapshot"))
    assert not any(one["InUse"] for one in du(clean))
    table = clean.run("cache", "du").out
    assert table.split()[:5] == ["ID", "RECLAIMABLE", "SIZE", "LAST", "ACCESSED"] and "Total:" in table
    before = names(clean.store)
    dry = clean.run("cache", "prune", "--dry-run")
    assert dry.code == 0 and "Would go:" in dry.out and names(clean.store) == before
    asked = clean.run("cache", "prune")
    assert asked.code == 2 and "--force" in asked.err and names(clean.store) == before
    assert clean.run("cache", "prune", "-f", "--filter", "until=1h").out == "Total:  0B\n"
    assert clean.run("cache", "prune", "-f").code == 0
    assert 0 < len(names(clean.store)) < len(before) and os.listdir(clean.store / "caches") == []
    again = clean.build(text, "-t", "made")
    assert " CACHED" in again.err and again.code == 0, again
    assert clean.run("cache", "prune", "-af").code == 0 and names(clean.store) == set()
    assert clean.build(text, "-t", "made", "-o", "out").code == 0
    assert (clean.folder / "out/one").read_text() == "one\n" and wrong_blobs(clean.store) == []


def test_names_go_and_then_their_blobs(clean: Xx) -> None:
    assert clean.build(BIG.format(1), "-t", "made").code == 0
    assert clean.run("cache", "prune", "-af").code == 0
    before = len(os.listdir(clean.store / "blobs/sha256"))
    assert "made " in clean.run("images").out
    assert clean.run("images", "rm", "made").code == 0 and "made " not in clean.run("images").out
    assert len(os.listdir(clean.store / "blobs/sha256")) == before
    assert clean.run("cache", "prune", "-f").code == 0
    # The index, the manifest, the config and the one layer that is not the base's.
    assert len(os.listdir(clean.store / "blobs/sha256")) == before - 4
    assert clean.build("FROM busybox\nRUN true\n").code == 0


def test_a_prune_beside_a_build_takes_nothing_of_it_and_waits_for_nothing(fresh: Xx) -> None:
    # What the build finds in the cache, and something that it has nothing to do with.
    assert fresh.build(GATE, "--target", "made").code == 0
    shared = names(fresh.store)
    assert fresh.build(BIG.format("other")).code == 0
    other = names(fresh.store) - shared
    age(fresh.store)
    fresh.dockerfile(GATE)
    build = fresh.start("build", "--progress", "plain", "-o", "out", ".")
    try:
        until(lambda: list(fresh.store.glob("caches/*/tree")) and len(names(fresh.store) - shared - other) > 0, build)
        limited = fresh.build(BIG.format("limited"), env={"XX_STORE_LIMIT": "1m"})
        assert limited.code == 0 and "over its limit" in limited.err and build.poll() is None, limited
        left = names(fresh.store)
        assert other and not other & left and shared < left, (shared, other, left)
        pruned = fresh.run("cache", "prune", "-af")
        assert pruned.code == 0 and build.poll() is None, pruned
        assert shared < names(fresh.store)
        assert [one["InUse"] for one in du(fresh, "--filter", "type=exec.cachemount")] == [True]
        (gate,) = fresh.store.glob("caches/*/tree")
        (gate / "open").touch()
        out = build.communicate(timeout=120)[0]
    finally:
        build.kill()
    assert build.returncode == 0, out
    assert (fresh.folder / "out/both").read_text() == "shared\nshared\n"
    assert (fresh.folder / "out/large").stat().st_size == 32 << 16
    again = fresh.build(GATE, "-o", "again")
    assert again.code == 0 and " DONE " not in again.err.replace("writing", ""), again


def test_builds_and_prunes_at_once(fresh: Xx) -> None:
    """Builds of images and files, some of them the same, while a prune follows the other."""
    texts = [
        f"FROM busybox\nRUN echo {number} >/first\nFROM busybox\nCOPY --from=0 /first /second\n"
        "RUN cat /second >/third\n"
        for number in range(3)
    ]
    for number, text in enumerate(texts):
        fresh.dockerfile(text, f"Dockerfile.{number}")
    pruned = 0
    for turn in range(4):
        # So that there is something for a prune beside them.
        assert fresh.build(f"FROM busybox\nRUN echo loose {turn}\n").code == 0
        age(fresh.store)
        builds = [
            fresh.start("build", "-f", f"Dockerfile.{number}", "-o", f"out-{number}", "-t", f"made-{number}", ".")
            for number in range(3)
        ]
        while any(build.poll() is None for build in builds):
            done = fresh.run("cache", "prune", "-af")
            assert done.code == 0, done
            pruned += done.out.count("\n") > 1
        for number, build in enumerate(builds):
            assert build.returncode == 0, (turn, build.communicate()[0].decode())
            assert (fresh.folder / f"out-{number}/third").read_text() == f"{number}\n"
            done = fresh.run("merge", f"made-{number}", "-o", f"type=oci,dest=out-{number}.tar")
            assert done.code == 0, done
        fresh.run("images", "rm", "made-0")
        fresh.run("cache", "prune", "-af")
    assert pruned and wrong_blobs(fresh.store) == []


def test_a_killed_prune(clean: Xx) -> None:
    chance = random.Random("prune")
    began = time.monotonic()
    assert clean.run("cache", "prune", "-af").code == 0
    length = time.monotonic() - began
    for number in range(5):
        for each in range(2):
            done = clean.build(BIG.format(each), "-t", f"made-{each}", "-o", "out")
            assert done.code == 0, (number, done)
        prune = clean.start("cache", "prune", "-af")
        time.sleep(length * (0.4 + 0.8 * chance.random()))
        os.killpg(prune.pid, signal.SIGKILL)
        prune.communicate(timeout=60)
        assert wrong_blobs(clean.store) == []
    assert clean.run("cache", "prune", "-af").code == 0
    assert names(clean.store) == set() and os.listdir(clean.store / "tmp") == []
    assert skopeo_reads(clean, "made-1") and clean.build(BIG.format(1), "-o", "out").code == 0


def skopeo_reads(xx: Xx, name: str) -> bool:
    """The store is an OCI layout, whose layers skopeo checks as it copies."""
    skopeo("copy", f"oci:{xx.store}:docker.io/library/{name}:latest", f"dir:{xx.folder}/read", cwd=xx.folder)
    return True


def test_the_limit(clean: Xx) -> None:
    limit = {"XX_STORE_LIMIT": "16m"}
    for number in range(6):
        done = clean.build(BIG.format(number), env=limit)
        assert done.code == 0, done
        told = "over its limit" in done.err
        assert told == (number >= 3), (number, done)
        # The result of the build itself stays, and the newest of the others.
        assert " DONE " not in clean.build(BIG.format(number), env=limit).err
        size = sum(one["Size"] for one in du(clean))
        assert size < 16 << 20, (number, size)
        age(clean.store)
    assert " DONE " in clean.build(BIG.format(0), env=limit).err
    assert clean.build("FROM busybox\nRUN true\n").code == 0
    done = clean.build("FROM busybox\n", env={"XX_STORE_LIMIT": "much"})
    assert done.code == 2 and "XX_STORE_LIMIT" in done.err
    for number in range(10, 14):
        assert "limit" not in clean.build(BIG.format(number), env={"XX_STORE_LIMIT": "off"}).err


def test_a_limit_that_images_alone_pass_is_no_trouble(fresh: Xx) -> None:
    for number in range(2):
        done = fresh.build(BIG.format(number), "-t", f"made-{number}", env={"XX_STORE_LIMIT": "1m"})
        assert done.code == 0, done
    assert {"made-0", "made-1"} <= {line.split()[0] for line in fresh.run("images").out.splitlines()}
    assert skopeo_reads(fresh, "made-0") and skopeo_reads(fresh, "made-1")


def test_a_full_disk_does_not_stop_a_prune(clean: Xx, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        lacking("root, to mount a small disk")
    clean.dockerfile(BIG.format("full"))
    taken = sum(path.stat().st_blocks // 2 for path in clean.store.rglob("*") if path.is_file())
    small = tmp_path / "small"
    small.mkdir()
    script = f"""\
set -e
image={tmp_path}/disk; truncate -s {taken + 60_000}k $image; mkfs.ext4 -q -m 0 $image; mount -o loop $image {small}
cp -r {clean.store}/. {small}/; export XX_STORE={small}; cd {clean.folder}
"$@" build . >/dev/null 2>&1
dd if=/dev/zero of={small}/files/fill bs=4k >/dev/null 2>&1 || true
"$@" build --no-cache . >/dev/null 2>{tmp_path}/words && exit 99
grep -q "no space" {tmp_path}/words
"$@" cache prune -af
ls {small}/snapshots {small}/tmp
umount {small}
"""
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", *clean.argv()]
    done = subprocess.run(argv, env=clean.environment(), capture_output=True, text=True, check=False, timeout=300)
    if "loop" in done.stderr or "mkfs" in done.stderr:
        lacking(f"loop devices with ext4: {done.stderr.strip()}")
    assert done.returncode == 0 and "Total:" in done.stdout, (done.stdout, done.stderr)
    assert done.stdout.endswith(f"{small}/snapshots:\n\n{small}/tmp:\n"), done.stdout


@pytest.fixture
def two(fresh: Xx, bases: Path, tmp_path: Path) -> Xx:
    """A second machine: another store and folder."""
    folder = tmp_path / "second-context"
    folder.mkdir()
    return Xx(store_from(bases, tmp_path / "second"), folder)


def test_what_two_machines_have_built_is_one_image(fresh: Xx, two: Xx) -> None:
    text = "FROM busybox\nARG TARGETARCH\nRUN echo $TARGETARCH >/arch\n"
    assert fresh.build(text, "--platform", "linux/amd64", "-t", "app", "--annotation", "index:a=b").code == 0
    done = two.build(text, "--platform", "linux/arm64", "-o", "type=oci,dest=arm.tar", "--annotation", "index:a=b")
    assert done.code == 0, done
    done = fresh.run("merge", "-t", "app", "--append", f"{two.folder}/arm.tar", "-o", "type=oci,dest=app.tar")
    assert done.code == 0, done
    digest = done.out.strip()
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "oci-archive:app.tar"], cwd=fresh.folder, capture_output=True, check=False
    )
    if raw.returncode:
        lacking(f"skopeo: {raw.stderr.decode()}")
    index = json.loads(raw.stdout)
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    assert index["annotations"] == {"a": "b"}
    skopeo("copy", "--all", "oci-archive:app.tar", "oci:read", cwd=fresh.folder)
    read = json.loads((fresh.folder / "read/index.json").read_text())["manifests"][0]
    assert read["digest"] == digest
    # Each platform's files are those of its machine.
    for arch in ("amd64", "arm64"):
        done = fresh.build("FROM app\n", "--platform", f"linux/{arch}", "-o", f"out-{arch}")
        assert done.code == 0 and (fresh.folder / f"out-{arch}/arch").read_text() == f"{arch}\n", done
    facts = json.loads(fresh.run("inspect", "app", "--format", "json").out)
    assert facts["digest"] == digest
    assert [one["layers"][-1]["step"] for one in facts["images"]] == ["RUN echo $TARGETARCH >/arch"] * 2
    # Both know where their layer comes from; the store only of what it has packed itself.
    snapshots = [one["layers"][-1]["snapshot"] for one in facts["images"]]
    assert snapshots[0] in names(fresh.store) and snapshots[1] == ""
    done = fresh.run("merge", "-t", "app", "app", f"{two.folder}/arm.tar")
    assert done.code == 0 and done.out.strip() == digest
    assert two.build(text + "RUN echo more\n", "--platform", "linux/arm64", "-o", "type=oci,dest=arm.tar").code == 0
    done = fresh.run("merge", "-t", "app", "app", f"{two.folder}/arm.tar")
    assert done.code == 5 and "linux/arm64" in done.err and "app" in done.err and "arm.tar" in done.err


def test_skopeo_and_xx_agree_on_archives_of_docker(xx: Xx) -> None:
    done = xx.build("FROM busybox\nRUN echo x >/x\n", "-t", "app:1", "-o", "type=docker,dest=new.tar")
    assert done.code == 0, done
    skopeo("copy", "docker-archive:new.tar", "docker-archive:old.tar:app:1", cwd=xx.folder)
    for name in ("new.tar", "old.tar"):
        (one,) = json.loads(xx.run("inspect", f"./{name}", "--format", "json").out)["images"]
        assert len(one["layers"]) == 2 and one["layers"][-1]["step"] == "RUN echo x >/x", name
    seen = skopeo("inspect", "docker-archive:old.tar:app:1", cwd=xx.folder)
    assert [layer["digest"] for layer in one["layers"]] == seen["Layers"]
    done = xx.run("merge", "./old.tar", "-t", "merged")
    assert done.code == 0, done
    done = xx.build("FROM merged\n", "-o", "out")
    assert done.code == 0 and (xx.folder / "out/x").read_text() == "x\n", done


def test_damaged_archives(xx: Xx) -> None:
    # A store that has a blob does not read it again: so one that has none.
    assert xx.build("FROM busybox\n", "--platform", BOTH, "-o", "type=oci,dest=a.tar").code == 0
    whole = (xx.folder / "a.tar").read_bytes()
    chance = random.Random("archive")
    for number in range(12):
        data = bytearray(whole)
        for _ in range(40):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (xx.folder / "b.tar").write_bytes(data[: chance.randrange(len(data))] if number % 2 else data)
        done = xx.run("merge", "./b.tar", "-t", f"damaged-{number}", "--store", "empty")
        assert done.code in (5, 7) and done.err.startswith("ERROR: "), done
    assert "damaged-" not in xx.run("images", "--store", "empty").out


def test_a_record_that_is_lost_is_told_by_what_was_made_on_it(fresh: Xx) -> None:
    text = "FROM busybox\nRUN echo one\nRUN echo two\nRUN echo three\n"
    done = fresh.build(text, "-t", "app")
    assert done.code == 0, done
    # Those of steps are not meant: they go with what they are about.
    assert fresh.run("cache", "prune", "--force", "--filter", "type=internal").code == 0
    again = fresh.build(text, "-t", "app", "--label", "a=b")
    assert again.code == 0 and again.err.count("CACHED") == 3, again
    for record in (fresh.store / "records").rglob("*.json"):
        if "RUN echo two" in record.read_text():
            record.unlink()
    lost = fresh.build(text, "-t", "app", "--label", "a=c")
    assert lost.code == 0 and lost.err.count("CACHED") == 3, lost
