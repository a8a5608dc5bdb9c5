"""Measures emulated steps with twins against QEMU alone and a native run, and prints a table.

    benchmarks/twins.py            some minutes: what QEMU alone takes is most of it
    benchmarks/twins.py --only X   only the jobs whose name has X in it

Each is one whole `xx build` without a cache, for linux/arm64 on an amd64 machine (and the other way round); no image
is packed. Times are wall seconds; those with twins include the native run that they are found in. Ratios count.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import BOTH, Xx, keep, kept_bases, store_from

from xxpy.platforms import Platform

INSTALL = "apt-get update -q && apt-get install -q -y --no-install-recommends"
SOURCE = """RUN sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list && \\
    apt-get update -q && apt-get source -q --download-only zstd && \\
    mkdir zstd && tar -xf ./*.orig.tar.* --strip-components=1 -C zstd
"""
JOBS = {
    "apt-get install python3 ca-certificates curl": f"RUN {INSTALL} python3 ca-certificates curl\n",
    "a compiler, and zstd compiled": (
        f"RUN {INSTALL} gcc libc6-dev make xz-utils\n{SOURCE}RUN make -C zstd/programs zstd\n"
    ),
    "a user, some files, no package": "RUN useradd -m me && mkdir -p /srv/app && cp -a /etc /srv/app && du -s /srv\n",
}


def seconds(xx: Xx, text: str, *args: str) -> float:
    began = time.monotonic()
    done = xx.build(f"FROM debian:trixie\n{text}", "--no-cache", *args)
    if done.code:
        sys.exit(str(done))
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    foreign = "linux/amd64" if Platform.host().arch == "arm64" else "linux/arm64"
    keep("base", "debian:trixie", "--platform", BOTH)
    with tempfile.TemporaryDirectory(prefix="xx-bench-twins-") as scratch:
        (Path(scratch) / "context").mkdir()
        xx = Xx(store_from(kept_bases(), Path(scratch) / "store"), Path(scratch) / "context")
        # Base images are unpacked, and the dispatcher and the cross compilers made, before anything is timed.
        seconds(xx, "RUN true\n", "--platform", BOTH)
        print(f"{'':<48} {'native':>8} {'twins':>8} {'QEMU':>8} {'twins/QEMU':>11}")
        for job, text in JOBS.items():
            if only in job:
                native = seconds(xx, text)
                twins = seconds(xx, text, "--platform", foreign)
                qemu = seconds(xx, text, "--platform", foreign, "--accelerate", "off")
                print(f"{job:<48} {native:>8.1f} {twins:>8.1f} {qemu:>8.1f} {twins / qemu:>11.2f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
