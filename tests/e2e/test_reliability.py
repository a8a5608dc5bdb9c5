"""Builds killed at any moment and disks that fill up at any point: nothing half-made is ever found afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from conftest import lacking
from support import Xx, wrong_blobs

KILLS = 50
DISKS = 20
STEPS = """\
FROM busybox AS one
ARG ROUND
RUN echo $ROUND >/a && dd if=/dev/urandom of=/large bs=64k count=16 2>/dev/null
RUN --mount=type=cache,target=/cache echo $ROUND >>/cache/rounds && cp /cache/rounds /b
FROM busybox
ARG ROUND
COPY --from=one /a /b /large /made/
COPY large /context/
ADD packed.tar /packed/
RUN rm /made/b && ln -s a /made/l && echo $ROUND >/made/c
WORKDIR /made/w
RUN cat /made/a /made/c
"""


def fill(folder: Path) -> None:
    (folder / "large").write_bytes(os.urandom(1 << 20))
    subprocess.run(["tar", "-cf", folder / "packed.tar", "-C", folder, "large"], check=True)
    (folder / "Dockerfile").write_text(STEPS)


def processes_of(store: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                env = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"XX_STORE={store}\0".encode() in env + b"\0":
                found.append(entry.name)
    return found


def test_killed_at_fifty_moments(fresh: Xx) -> None:
    fill(fresh.folder)
    mounts = Path("/proc/self/mounts").read_text()
    began = time.monotonic()
    whole = fresh.run("build", "--build-arg", "ROUND=whole", "-t", "made", ".")
    assert whole.code == 0, whole
    length = time.monotonic() - began
    chance = random.Random("kill")
    for number in range(KILLS):
        build = fresh.start("build", "--progress", "plain", "--build-arg", f"ROUND={number}", "-t", "made", ".")
        time.sleep(chance.random() * length)
        os.killpg(build.pid, signal.SIGKILL)
        build.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while processes_of(fresh.store) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(fresh.store) == []
    assert Path("/proc/self/mounts").read_text() == mounts
    # Whatever the kills left, the next build is right, and clears it away.
    last = fresh.build(STEPS, "--build-arg", f"ROUND={KILLS - 1}", "-t", "made", "-o", "type=local,dest=out")
    assert last.code == 0, last
    made = fresh.folder / "out/made"
    assert (made / "a").read_text() == (made / "c").read_text() == f"{KILLS - 1}\n"
    assert os.readlink(made / "l") == "a" and not (made / "b").exists()
    assert (fresh.folder / "out/context/large").read_bytes() == (fresh.folder / "out/packed/large").read_bytes()
    assert wrong_blobs(fresh.store) == []
    assert list((fresh.store / "tmp").iterdir()) == []


def test_a_disk_that_fills_up_at_twenty_points(fresh: Xx, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        lacking("root, to mount small disks")
    fill(fresh.folder)
    small = tmp_path / "small"
    small.mkdir()
    taken = sum(path.stat().st_blocks // 2 for path in fresh.store.rglob("*") if path.is_file())
    # From no room at all to enough: the whole build takes some 10 MiB more.
    rooms = [taken + 256 + number * 10_000 // (DISKS - 1) for number in range(DISKS)]
    script = f"""\
export XX_STORE={small}; cd {fresh.folder}
for room in {" ".join(map(str, rooms))}; do
    mount -t tmpfs -o size=${{room}}k none {small} && cp -r {fresh.store}/. {small}/
    "$@" --build-arg ROUND=1 . >/dev/null 2>{tmp_path}/words; echo "small $?"
    grep -q Traceback {tmp_path}/words && cat {tmp_path}/words
    grep -c "no space left\\|disk of the store is full\\|df -h" {tmp_path}/words
    mount -o remount,size=$((room + 102400))k {small}
    "$@" --build-arg ROUND=1 . >/dev/null 2>{tmp_path}/words; echo "large $?"
    (cd {small}/blobs/sha256 && for blob in *; do echo "$blob  $blob"; done | sha256sum --quiet -c) && echo whole
    umount {small}
done
"""
    done = fresh.run("build", before=["unshare", "--mount", "sh", "-c", script, "sh"], timeout=1800)
    lines = done.out.split("\n")
    assert "Traceback" not in done.out, done.out[-3000:]
    assert lines.count("large 0") == DISKS and lines.count("whole") == DISKS, done
    codes = [line.split()[1] for line in lines if line.startswith("small")]
    assert len(codes) == DISKS and set(codes) <= {"0", "6", "7"}, codes
    # Where there was no room the first disks ran out, and said so.
    failed = [index for index, code in enumerate(codes) if code != "0"]
    assert len(failed) >= DISKS // 3, codes
