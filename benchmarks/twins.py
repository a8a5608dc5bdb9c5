"""Measures emulated steps with twins against QEMU alone, a native run and BuildKit, and prints a table.

    benchmarks/twins.py            an hour and a half: what QEMU alone takes is most of it, and BuildKit's is the same
    benchmarks/twins.py --only X   only the jobs whose name has X in it
    benchmarks/twins.py --times N  the median of N; jobs that take longer than a minute once are measured once

Each is one whole build without a cache, for linux/arm64 on an amd64 machine (and the other way round). For ours no
image is packed, BuildKit exports none (type=cacheonly). Times are wall seconds; those with twins include the native run
that they are found in. Ratios count.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import builders
from builders import Buildx, Failed
from buildkit import host_emulation
from support import BOTH, Xx, keep, kept_bases, store_from

from xxpy.platforms import Platform, qemu_arch

PUBLISHED = ROOT / "tests/e2e/twins"
INSTALL = "apt-get update -q && apt-get install -q -y --no-install-recommends"
SOURCE = """RUN sed -n '/security/!s/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list && \\
    apt-get update -q && apt-get source -q --download-only zstd && \\
    mkdir zstd && tar -xf ./*.orig.tar.* --strip-components=1 -C zstd
"""
BASE = "debian:trixie"
TEXTS = {
    "apt-get install python3 ca-certificates curl": f"RUN {INSTALL} python3 ca-certificates curl\n",
    "a compiler, and zstd compiled": (
        f"RUN {INSTALL} gcc libc6-dev make xz-utils\n{SOURCE}RUN make -C zstd/programs zstd\n"
    ),
    "light: files and texts, no package": (
        "RUN mkdir -p /srv/app && cp -a /etc /usr/share /srv/app && du -s /srv\n"
        "RUN find /srv/app -type f | sort | xargs sha256sum >/srv/sums\n"
    ),
    "lightest: RUN true": "RUN true\n",
}
FOLDERS = ("make", "nginx-site", "go-server", "rust-workspace")
LONG = 60.0


@dataclass(frozen=True)
class Job:
    name: str
    folder: Path


class Bench:
    """Who builds, and for what."""

    def __init__(self, scratch: Path, stack: ExitStack, times: int) -> None:
        self.times = times
        self.foreign = "linux/amd64" if Platform.host().arch == "arm64" else "linux/arm64"
        keep("base", BASE, "--platform", BOTH)
        self._store = store_from(kept_bases(), scratch / "store")
        home = scratch / "buildx"
        home.mkdir()
        self._buildkit = Buildx("BuildKit", home)
        self.has_buildkit = self._buildkit.found(stack)
        if self.has_buildkit:
            layout = home / "debian"
            output = ("-t", BASE, "-o", f"type=oci,dest={layout},tar=false")
            xx = Xx(self._store, home)
            xx.dockerfile(f"FROM {BASE}\n")
            if (done := xx.run("build", "--platform", BOTH, *output, ".")).code:
                sys.exit(str(done))
            self._buildkit.bases = {BASE: layout}
            stack.enter_context(host_emulation([qemu_arch(Platform.parse(self.foreign))]))

    def ours(self, job: Job, *args: str) -> float:
        def once() -> float:
            began = time.monotonic()
            words = ("--no-cache", "--verify=off", "--host-ca", "auto", *args, ".")
            done = Xx(self._store, job.folder).run("build", "--progress", "plain", *words, timeout=7200)
            if done.code:
                sys.exit(str(done))
            return time.monotonic() - began

        return self._median(once)

    def buildkit(self, job: Job) -> float | None:
        """None where there is no BuildKit, or it cannot build this (it has no certificates of the host's)."""
        asked = builders.Job(job.folder / "Dockerfile", job.folder, [self.foreign], exported=False)
        try:
            return self._median(lambda: self._buildkit.build(asked).seconds) if self.has_buildkit else None
        except Failed:
            return None

    def _median(self, once: Callable[[], float]) -> float:
        taken = [once()]
        while len(taken) < self.times and taken[0] < LONG:
            taken.append(once())
        return statistics.median(taken)


def jobs(scratch: Path) -> list[Job]:
    found = []
    for number, (name, text) in enumerate(TEXTS.items()):
        folder = scratch / f"job-{number}"
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {BASE}\n{text}")
        found.append(Job(name, folder))
    return found + [Job(f"tests/e2e/twins/{name}", PUBLISHED / name) for name in FOLDERS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--times", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xx-bench-twins-") as made, ExitStack() as stack:
        scratch = Path(made)
        bench = Bench(scratch, stack, options.times)
        chosen = [job for job in jobs(scratch) if options.only in job.name]
        # Base images are unpacked, and the dispatcher made, before anything is timed.
        warm = scratch / "warm"
        warm.mkdir()
        (warm / "Dockerfile").write_text(f"FROM {BASE}\nRUN echo warm\n")
        bench.ours(Job("warm", warm), "--platform", BOTH)
        columns = ("native", "twins", "QEMU", "BuildKit", "of QEMU", "of BuildKit")
        print(f"{'':<46} {' '.join(f'{column:>11}' for column in columns)}")
        for job in chosen:
            native = bench.ours(job)
            twins = bench.ours(job, "--platform", bench.foreign)
            qemu = bench.ours(job, "--platform", bench.foreign, "--accelerate", "off")
            other = bench.buildkit(job)
            cells = [f"{native:.2f}", f"{twins:.2f}", f"{qemu:.2f}", f"{other:.2f}" if other else "-"]
            cells += [f"{twins / qemu:.2f}", f"{twins / other:.2f}" if other else "-"]
            print(f"{job.name:<46} {' '.join(f'{cell:>11}' for cell in cells)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (subprocess.SubprocessError, Failed) as error:
        sys.exit(str(error))
