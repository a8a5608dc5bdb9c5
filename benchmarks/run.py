"""Measures `xx build` beside BuildKit and buildah in one run, and prints a table.

    make bench                   what is below: ten minutes
    benchmarks/run.py --plain    also the example written without cross-compilation (minutes more: all is emulated)
    benchmarks/run.py --only X   only the jobs whose name has X in it

BuildKit is that of `docker buildx` where an engine answers (DOCKER_HOST is heeded); else, run by root, one out of
Debian's packages is started for as long as this runs. buildah is measured where it is installed, run by root, and able
to do the job. All get the same base images, made first, and write an OCI archive. Times are wall seconds of the whole
command; ratios count, not seconds. The last column is the most memory that our own processes took together.
Emulated programs run in the others only where the host's kernel is told of QEMU: where it is not, it is told meanwhile,
by root.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from builders import XX, Buildah, Builder, Buildx, Failed, Job, Took, Xx, ran
from buildkit import host_emulation
from support import keep, kept_bases, store_from

from xxpy.platforms import QEMU, Platform, runs_natively

BOTH = ("linux/amd64", "linux/arm64")
# The first eight that the archive has busybox for.
MANY = tuple(f"linux/{name}" for name in (
    "amd64", "arm64", "arm/v7", "386", "ppc64le", "s390x", "riscv64", "arm/v5", "mips64le", "mipsle",
))  # fmt: skip
STEPS, FILES, PIECES, MOST = 30, 50_000, 16, 8
LONG = 5.0
"""Seconds after which a job is measured once, however often it was to be."""

PROGRAM = """FROM --platform=$BUILDPLATFORM xx AS xx
FROM --platform=$BUILDPLATFORM debian:trixie AS build
RUN apt-get update -q && apt-get install -q -y --no-install-recommends clang lld
COPY --from=xx / /
COPY program.c /
ARG TARGETPLATFORM
RUN xx-clang -O2 -ffreestanding -nostdlib -static -o /program /program.c && xx-verify /program
FROM busybox
COPY --from=build /program /program
"""


@dataclass(frozen=True)
class Row:
    """One measured job: seconds by each builder, None for what is not there, and our memory in bytes."""

    job: str
    took: tuple[float | None, ...]
    memory: int = 0
    unit: str = "s"

    def text(self) -> str:
        def shown(value: float | None) -> str:
            if value is None:
                return "-"
            return f"{value * 1000:.0f} ms" if self.unit == "ms" else f"{value:.2f} s"

        ours, *others = self.took
        cells = [f"{shown(ours):>9}"]
        for each in others:
            ratio = f"{each / ours:.1f}" if ours and each else "-"
            cells.append(f"{shown(each):>9} {ratio:>6}")
        memory = f"{self.memory / 1e6:.0f} MB" if self.memory else "-"
        return f"{self.job:<56} {' '.join(cells)} {memory:>9}"


class Bench:
    """The builders that are there, and the rows as they come."""

    def __init__(self, folder: Path, stack: ExitStack, only: str) -> None:
        self.folder = folder
        self._only = only
        self.notes: list[str] = []
        self.xx = Xx("xx build", self._home("xx"))
        buildx = Buildx("BuildKit", self._home("buildx"))
        buildah = Buildah("buildah", self._home("buildah"))
        self.builders: list[Builder] = [self.xx]
        if buildx.found(stack):
            self.builders.append(buildx)
        if buildah.found():
            stack.callback(buildah.stop)
            self.builders.append(buildah)
        self.platforms = self._prepare()

    def _home(self, name: str) -> Path:
        home = self.folder / name
        home.mkdir()
        return home

    def _prepare(self) -> tuple[str, ...]:
        """Give each the same base images; the platforms of busybox."""
        for args in (("busybox", "--platform", ",".join(BOTH)), ("debian:trixie", "--platform", ",".join(BOTH))):
            keep("base", *args)
        keep("image", "xx")
        store_from(kept_bases(), self.xx.folder / "store")
        # A mirror that is being brought up to date lacks some platforms of a release for a while.
        found = {name: self._platforms_of(name) for name in ("busybox", "busybox:testing")}
        self.busybox = max(found, key=lambda name: len(found[name]))
        platforms = found[self.busybox]
        if len(platforms) < MOST:
            self.notes.append(f"the archive has busybox for {len(platforms)} platforms just now")
        layouts = {}
        images = {"debian:trixie": BOTH, "busybox": found["busybox"], self.busybox: platforms, "xx": ()}
        for name, wanted in images.items():
            layouts[name] = self.folder / "layouts" / name.replace(":", "-")
            dockerfile = self.write("Dockerfile.base", f"FROM {name}\n")
            output = f"type=oci,dest={layouts[name]},tar=false"
            flags = ["--platform", ",".join(wanted)] if wanted else []
            self._ours("build", *flags, "-t", name, "-f", dockerfile, "-o", output, self.folder)
        for builder in self.builders:
            builder.bases = {} if builder is self.xx else layouts
        return platforms

    def _platforms_of(self, busybox: str) -> tuple[str, ...]:
        """The first of `MANY`, at most `MOST`, that a busybox can be had for."""
        found: list[str] = []
        for platform in MANY:
            with suppress(Failed):
                self._ours("base", busybox, "--platform", platform)
                found.append(platform)
            if len(found) == MOST:
                break
        return tuple(found)

    def _ours(self, *args: str | Path) -> None:
        ran([XX, *args], self.xx.env)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def warm(self, *jobs: Job) -> None:
        """Have all unpack the base images, and do what is cached in a job, before anything is timed."""
        for builder in self.builders:
            for job in jobs:
                try:
                    builder.build(job)
                except Failed as error:
                    self._note(f"{builder.name}, before it was timed", error)

    def _note(self, what: str, error: Failed) -> None:
        words = [line for line in str(error).splitlines() if re.search("error|panic", line, re.IGNORECASE)]
        self.notes.append(f"{what}: {(words or ['it failed'])[-1].strip()[:150]}")

    def wants(self, *names: str) -> bool:
        """Whether one of the jobs of these names is to be measured."""
        return any(self._only in name for name in names)

    def row(
        self,
        name: str,
        job: Job,
        times: int = 1,
        per: int = 1,
        unit: str = "s",
        before: Callable[[], None] | None = None,
    ) -> Row | None:
        """Measure one job with each builder and print it. ``before`` is done before each build, unmeasured."""
        if not self.wants(name):
            return None
        took: list[float | None] = []
        memory = 0
        for builder in self.builders:
            found = list(self._measured(name, builder, job, times, before))
            memory = max([memory, *(each.memory for each in found)])
            took.append(statistics.median(each.seconds for each in found) / per if found else None)
        row = Row(name, tuple(took), memory, unit)
        print(row.text(), flush=True)
        return row

    def _measured(
        self, name: str, builder: Builder, job: Job, times: int, before: Callable[[], None] | None
    ) -> Iterator[Took]:
        for _ in range(times):
            if before is not None:
                before()
            try:
                took = builder.build(job)
            except Failed as error:
                if builder is self.xx:
                    raise
                self._note(f"{builder.name}, {name}", error)
                return
            yield took
            if took.seconds > LONG:
                return

    def header(self) -> str:
        first, *others = self.builders
        cells = [f"{first.name:>9}", *(f"{each.name:>9} {'ratio':>6}" for each in others)]
        return f"{'':<56} {' '.join(cells)} {'our peak':>9}"


def example(bench: Bench) -> Row | None:
    """The program of the examples, cold and unchanged."""
    folder = ROOT / "examples/zstd"
    job = Job(folder / "Dockerfile", folder, BOTH)
    cold = bench.row("zstd for amd64 and arm64, nothing cached", job)
    bench.row("the same, nothing changed", replace(job, cached=True), times=3)
    return cold


def platforms(bench: Bench) -> None:
    """One C program for more and more platforms, its source changed each time; then with a RUN in the final stage."""
    folder = bench.folder / "program"
    functions = "".join(
        f"__attribute__((noinline)) unsigned f{n}(unsigned x) {{ for (int i = 0; i < 100; i++) "
        f"x = x * {2 * n + 3}u + (x >> {n % 13 + 1}) + seed; return x; }}\n"
        for n in range(1000)
    )
    calls = " ".join(f"x += f{n}(x);" for n in range(1000))
    count = 0

    def change() -> None:
        nonlocal count
        count += 1
        start = f"void _start(void) {{ unsigned x = 0; {calls} seed = x; for (;;); }}"
        bench.write("program/program.c", f"unsigned seed = {count};\n{functions}{start}\n")

    change()
    kinds = (("a C program for", "", (1, 2, 4)), ("the same and a RUN in each image, for", "RUN true\n", (1,)))
    for name, last, few in kinds:
        text = PROGRAM.replace("FROM busybox\n", f"FROM {bench.busybox}\n")
        dockerfile = bench.write("Dockerfile.program", text + last)
        counts = [*(each for each in few if each < len(bench.platforms)), len(bench.platforms)]
        rows = []
        names = {each: f"{name} {each} platform{'s' * (each > 1)}" for each in counts}
        if not bench.wants(*names.values()):
            continue
        bench.warm(Job(dockerfile, folder, bench.platforms, cached=True))
        for each, job_name in names.items():
            job = Job(dockerfile, folder, bench.platforms[:each], cached=True)
            rows.append((each, bench.row(job_name, job, before=change)))
        added = [row for row in rows if row[1] is not None]
        if len(added) > 1:
            print(each_more(added[0], added[-1]).text(), flush=True)


def each_more(first: tuple[int, Row], last: tuple[int, Row]) -> Row:
    """What one more platform cost."""
    more = last[0] - first[0]
    pairs = zip(first[1].took, last[1].took, strict=True)
    return Row("  each platform more", tuple((b - a) / more if a and b else None for a, b in pairs))


def steps(bench: Bench) -> None:
    """Many steps in a row, and many that need nothing of each other."""
    text = "FROM busybox\n" + "".join(f"RUN true {number}\n" for number in range(STEPS))
    job = Job(bench.write("Dockerfile.steps", text), bench.folder / "empty")
    bench.row(f"one RUN true, of {STEPS} in a row", job, times=3, per=STEPS, unit="ms")
    stages = "".join(f"FROM busybox AS s{number}\nRUN echo {number} >/x\n" for number in range(STEPS))
    copies = "".join(f"COPY --from=s{number} /x /{number}\n" for number in range(STEPS))
    job = replace(job, dockerfile=bench.write("Dockerfile.stages", f"{stages}FROM busybox\n{copies}"))
    bench.row(f"{STEPS} stages that need nothing of each other", job, times=3)


def files(bench: Bench) -> None:
    """A context of many files."""
    name = f"{FILES:,} files"
    if not bench.wants(f"{name}, nothing cached", f"{name}, nothing changed"):
        return
    (bench.folder / "many/files").mkdir(parents=True)
    for number in range(FILES):
        (bench.folder / "many/files" / str(number)).write_text(str(number))
    dockerfile = bench.write("many/Dockerfile", "FROM busybox\nCOPY files /files\n")
    job = Job(dockerfile, dockerfile.parent)
    bench.row(f"{name}, nothing cached", job)
    bench.row(f"{name}, nothing changed", replace(job, cached=True), times=3)


def large(bench: Bench) -> None:
    """A layer of 2 GB that does not shrink."""
    text = f"FROM busybox\nRUN for i in $(seq {PIECES}); do head -c 134217728 /dev/urandom >/f$i; done\n"
    job = Job(bench.write("Dockerfile.large", text), bench.folder / "empty")
    bench.row("a layer of 2 GB", job)
    bench.row("the same, uncompressed", replace(job, compression="uncompressed"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", action="store_true", help="also measure the example without cross-compilation")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the jobs whose name has TEXT in it")
    options = parser.parse_args()
    # An installed package is compiled; here that happens in the first build.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="xx-bench-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder), stack, options.only)
        foreign = [each for each in map(Platform.parse, bench.platforms) if not runs_natively(each, Platform.host())]
        stack.enter_context(host_emulation([QEMU[each.arch] for each in foreign]))
        (bench.folder / "empty").mkdir()
        text = (
            "FROM debian:trixie\nRUN true\nFROM --platform=$BUILDPLATFORM xx AS tools\nFROM busybox\nRUN true\n"
            "COPY --from=0 /etc/debian_version /\nCOPY --from=tools /usr/bin/xx-info /\n"
        )
        bench.warm(Job(bench.write("Dockerfile.warm", text), bench.folder / "empty", BOTH))
        print(bench.header(), flush=True)
        cold = example(bench)
        platforms(bench)
        steps(bench)
        files(bench)
        large(bench)
        if options.plain and cold is not None:
            plain(bench, cold)
        for note in dict.fromkeys(bench.notes):
            print(note)


def plain(bench: Bench, cold: Row) -> None:
    """The example without cross-compilation in BuildKit, against ours with."""
    folder = ROOT / "examples/zstd"
    for builder in bench.builders:
        if isinstance(builder, Buildx):
            took = builder.build(Job(folder / "Dockerfile.plain", folder, BOTH)).seconds
            print(Row("zstd without cross-compilation, against the first", (cold.took[0], took)).text())


if __name__ == "__main__":
    main()
