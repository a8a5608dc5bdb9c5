"""Measures `xx build` against BuildKit, side by side in one run, and prints a table.

    make bench                   what is below, each once
    benchmarks/run.py --plain    also the example written without cross-compilation (minutes: all of it is emulated)

BuildKit is that of `docker buildx` where an engine answers (DOCKER_HOST is heeded); else, run by root, one out of
Debian's packages is started for as long as this runs. Both get the same base images, made first. Nothing is downloaded
from a registry. Times are wall seconds of the whole command; ratios count, not seconds. BuildKit runs arm64 programs
only where the host's kernel is told of QEMU: where it is not, it is told meanwhile, by root.
"""

from __future__ import annotations

import argparse
import os
import shutil
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

from buildkit import BuildKit, engine_root, host_emulation

BOTH = "linux/amd64,linux/arm64"
STEPS = 30


@dataclass(frozen=True)
class Row:
    """One measured job; None for what is not there."""

    job: str
    xx: float | None
    buildkit: float | None
    unit: str = "s"

    def text(self) -> str:
        def shown(value: float | None) -> str:
            if value is None:
                return "-"
            return f"{value * 1000:.0f} ms" if self.unit == "ms" else f"{value:.2f} s"

        ratio = f"{self.buildkit / self.xx:.1f}" if self.xx and self.buildkit else "-"
        return f"{self.job:<58} {shown(self.xx):>10} {shown(self.buildkit):>10} {ratio:>7}"


def run(argv: list[str], **kwargs: object) -> None:
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def seconds(work: Callable[[], None], times: int = 1) -> float:
    """The median of ``times`` runs."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        work()
        found.append(time.monotonic() - began)
    return statistics.median(found)


class Peers:
    """How each builder is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.xx = str(Path(sys.executable).with_name("xx"))
        self.contexts: list[str] = []
        self.buildx: list[str] = []

    def find_buildkit(self, stack: ExitStack) -> None:
        """The user's engine if one answers, else one of our own until ``stack`` is left; or none."""
        if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
            self.buildx = ["docker", "buildx", "build"]
        elif os.geteuid() == 0:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xx-bench-engine-")))
            engine = BuildKit(engine_root(), folder)
            engine.start()
            stack.callback(engine.stop)
            os.environ["DOCKER_HOST"] = f"unix://{engine.socket}"
            self.buildx = [str(engine.buildx), "build", "--network", "host", "--allow", "network.host"]

    @property
    def buildkit(self) -> bool:
        """Whether there is one to measure."""
        return bool(self.buildx)

    def prepare(self) -> None:
        """The base images for both, from the distribution's archive."""
        run([self.xx, "base", "debian:trixie", "--platform", BOTH])
        run([self.xx, "base", "busybox", "--platform", BOTH])
        run([self.xx, "image", "xx"])
        if not self.buildkit:
            return
        for name, platforms in (("debian:trixie", BOTH), ("busybox", BOTH), ("xx", "")):
            layout = self.folder / name.replace(":", "-")
            dockerfile = self.folder / "Dockerfile.base"
            dockerfile.write_text(f"FROM {name}\n")
            flags = ["--platform", platforms] if platforms else []
            output = f"type=oci,dest={layout},tar=false"
            run([self.xx, "build", *flags, "-t", name, "-f", str(dockerfile), "-o", output, str(self.folder)])
            tag = name.partition(":")[2] or "latest"
            self.contexts += ["--build-context", f"{name}=oci-layout://{layout}:{tag}"]

    def xx_build(self, *args: str) -> Callable[[], None]:
        return lambda: run([self.xx, "build", "--progress", "plain", *args])

    def docker_build(self, *args: str) -> Callable[[], None]:
        return lambda: run([*self.buildx, "--progress", "plain", *self.contexts, *args])

    def both(self, job: str, *args: str, times: int = 1, per: int = 1, unit: str = "s") -> Row:
        """Measure one job, first ours, then BuildKit's."""
        out = f"type=oci,dest={self.folder}/out.tar"
        ours = seconds(self.xx_build("-o", out, *args), times) / per
        theirs = seconds(self.docker_build("-o", out, *args), times) / per if self.buildkit else None
        row = Row(job, ours, theirs, unit)
        print(row.text(), flush=True)
        return row


def warm(peers: Peers) -> None:
    """Have both unpack the base images before anything is timed."""
    dockerfile = peers.folder / "Dockerfile.warm"
    dockerfile.write_text(
        "FROM debian:trixie\nRUN true\nFROM --platform=$BUILDPLATFORM xx AS xx\nFROM busybox\nRUN true\n"
        "COPY --from=0 /etc/debian_version /\nCOPY --from=xx /usr/bin/xx-info /\n"
    )
    args = ("--platform", BOTH, "-f", str(dockerfile), str(peers.folder))
    peers.xx_build(*args)()
    if peers.buildkit:
        peers.docker_build(*args)()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", action="store_true", help="also measure the example without cross-compilation")
    options = parser.parse_args()
    os.environ.setdefault("DOCKER_CLI_HINTS", "false")
    with tempfile.TemporaryDirectory(prefix="xx-bench-") as folder, ExitStack() as stack:
        peers = Peers(Path(folder))
        peers.find_buildkit(stack)
        peers.prepare()
        if peers.buildkit:
            stack.enter_context(host_emulation())
        warm(peers)
        steps = peers.folder / "Dockerfile.steps"
        steps.write_text("FROM busybox\n" + "".join(f"RUN true {number}\n" for number in range(STEPS)))
        stages = peers.folder / "Dockerfile.stages"
        stages.write_text(
            "".join(f"FROM busybox AS s{number}\nRUN echo {number} >/x\n" for number in range(STEPS))
            + "FROM busybox\n"
            + "".join(f"COPY --from=s{number} /x /{number}\n" for number in range(STEPS))
        )
        many = peers.folder / "many"
        (many / "files").mkdir(parents=True)
        for number in range(50_000):
            (many / "files" / str(number)).write_text(str(number))
        (many / "Dockerfile").write_text("FROM busybox\nCOPY files /files\n")
        print(f"{'':<58} {'xx build':>10} {'BuildKit':>10} {'ratio':>7}")
        example = ("--platform", BOTH, "examples/zstd")
        cold = peers.both("zstd for amd64 and arm64, nothing cached", "--no-cache", *example)
        peers.both("the same, nothing changed", *example, times=5)
        peers.both(
            "RUN true: seconds for one step", "--no-cache", "-f", str(steps), folder, times=3, per=STEPS, unit="ms"
        )
        peers.both("30 stages that need nothing of each other", "--no-cache", "-f", str(stages), folder, times=3)
        peers.both("50,000 files, nothing cached", "--no-cache", str(many))
        peers.both("50,000 files, nothing changed", str(many), times=3)
        if options.plain and peers.buildkit:
            plain = seconds(peers.docker_build("--no-cache", "-f", "examples/zstd/Dockerfile.plain", *example))
            print(Row("zstd without cross-compilation (BuildKit), against the first", cold.xx, plain).text())


if __name__ == "__main__":
    main()
