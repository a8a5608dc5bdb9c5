"""Measures images on their way: pushed, pulled, and as caches of others, beside skopeo and BuildKit; prints a table.

    benchmarks/transfer.py              2 GB in 4 layers and in 100 (twenty minutes)
    benchmarks/transfer.py --bytes N    as many bytes in each
    benchmarks/transfer.py --images     pushes and pulls alone (four minutes)

Everything is on loopback: the registry is Debian's docker-registry with an empty folder for each push. What is moved is
random, so nothing gets smaller by packing. Whoever pulls begins with nothing, whoever takes from a cache with the base
image, and has the whole image as an archive at the end. Times are wall seconds of the whole command; ratios count.
What is pulled is pulled twice: first the command alone is timed, then with the sync(2) after it: all is on the disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from builders import XX, Buildx, ran
from registries import docker_registry
from support import keep, kept_bases, store_from

SHAPES = {"4 layers": 4, "100 layers": 100}
PLAIN = ("--dest-tls-verify=false", "--src-tls-verify=false")


class Bench:
    """One image of one shape, and who moves it."""

    def __init__(self, scratch: Path, layers: int, size: int, buildkit: Buildx | None) -> None:
        self._scratch = scratch
        self._buildkit = buildkit
        self._stores = 0
        self._settled: tuple[float | None, ...] = ()
        scratch.mkdir()
        self._context = scratch / "context"
        self._context.mkdir()
        step = f"RUN head -c {size // layers} /dev/urandom >/f"
        lines = [f"{step}{number}\n" for number in range(layers)]
        (self._context / "Dockerfile").write_text(f"FROM busybox\n{''.join(lines)}")
        self._env = {"XX_STORE": str(self._store()), "no_proxy": "*"}
        self._layout = scratch / "layout"
        self._xx("build", "-t", "bench", "-o", f"type=oci,dest={self._layout},tar=false", self._context)

    def _store(self) -> Path:
        self._stores += 1
        return store_from(kept_bases(), self._scratch / f"store-{self._stores}")

    def _xx(self, *args: str | Path, store: Path | None = None) -> float:
        env = self._env if store is None else {**self._env, "XX_STORE": str(store)}
        os.sync()
        return ran([XX, *args], env).seconds

    def _skopeo(self, source: str, target: str) -> float | None:
        if shutil.which("skopeo") is None:
            return None
        os.sync()
        return ran(["skopeo", "--insecure-policy", "copy", "-q", "--all", *PLAIN, source, target], self._env).seconds

    def push(self) -> tuple[float | None, ...]:
        with docker_registry(self._scratch / "registry-1") as host:
            ours = self._xx("push", "bench", f"{host}/bench:1")
        with docker_registry(self._scratch / "registry-2") as host:
            other = self._skopeo(f"oci:{self._layout}", f"docker://{host}/bench:1")
        shutil.rmtree(self._scratch / "registry-2")
        return ours, other, None

    def pull(self) -> tuple[float | None, ...]:
        """After `push`."""
        (self._scratch / "registry-1").rename(self._scratch / "pushed")
        with docker_registry(self._scratch / "registry-1") as host:
            shutil.rmtree(self._scratch / "registry-1/data", ignore_errors=True)
            (self._scratch / "pushed/data").rename(self._scratch / "registry-1/data")
            alone = self._pull(host, settled=False)
            self._settled = self._pull(host, settled=True)
        shutil.rmtree(self._scratch / "registry-1")
        return alone

    def _pull(self, host: str, *, settled: bool) -> tuple[float | None, ...]:
        store = self._scratch / "pulled"
        ours = self._xx("pull", f"{host}/bench:1", store=store) + (synced() if settled else 0)
        shutil.rmtree(store)
        other = self._skopeo(f"docker://{host}/bench:1", f"oci:{self._scratch}/copied:1")
        if other is not None:
            other += synced() if settled else 0
        shutil.rmtree(self._scratch / "copied", ignore_errors=True)
        return ours, other, None

    def settled(self) -> tuple[float | None, ...]:
        """After `pull`: the same with the time until it is on the disk."""
        return self._settled

    def add(self) -> tuple[float | None, ...]:
        """What was built is added to an empty cache in a folder."""
        ours = self._xx("build", *self._to(self._scratch / "cache"), self._context)
        other = None
        if self._buildkit is not None:
            self._buildx()
            other = self._buildx(*self._to(self._scratch / "buildkit-cache"))
        return ours, None, other

    def take(self) -> tuple[float | None, ...]:
        """After `add`: the image out of the cache, where nothing was built."""
        store, out = self._store(), self._scratch / "out.tar"
        cache = self._scratch / "cache"
        ours = self._xx(
            "build", "--cache-from", f"type=local,src={cache}", "-o", f"type=oci,dest={out}", self._context, store=store
        )
        other = None
        if self._buildkit is not None:
            self._buildx("prune", command=True)
            source = f"type=local,src={self._scratch / 'buildkit-cache'}"
            other = self._buildx("--cache-from", source, "-o", f"type=oci,dest={out}")
        return ours, None, other

    @staticmethod
    def _to(folder: Path) -> Sequence[str]:
        return "--cache-to", f"type=local,dest={folder},mode=max"

    def _buildx(self, *args: str, command: bool = False) -> float:
        assert self._buildkit is not None
        env = {"DOCKER_HOST": self._buildkit.socket} if self._buildkit.socket else {}
        program = list(self._buildkit.argv[: self._buildkit.argv.index("build")])
        os.sync()
        if command:
            return ran([*program, *args, "--all", "--force"], env).seconds
        bases = [f"--build-context={name}=oci-layout://{path}:latest" for name, path in self._buildkit.bases.items()]
        return ran([*self._buildkit.argv, "--progress", "plain", *bases, *args, str(self._context)], env).seconds


def synced() -> float:
    """Seconds until the disk has what was written."""
    began = time.monotonic()
    os.sync()
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=2 << 30)
    parser.add_argument("--images", action="store_true")
    options = parser.parse_args()
    keep("base", "busybox")
    with tempfile.TemporaryDirectory(prefix="xx-bench-transfer-") as made, ExitStack() as stack:
        scratch = Path(made)
        home = scratch / "buildx"
        home.mkdir()
        buildkit = Buildx("BuildKit", home)
        there = buildkit.found(stack)
        if there:
            layout = home / "busybox"
            (home / "Dockerfile").write_text("FROM busybox\n")
            store = {"XX_STORE": str(store_from(kept_bases(), home / "store"))}
            ran([XX, "build", "-t", "busybox:latest", "-o", f"type=oci,dest={layout},tar=false", home], store)
            buildkit.bases = {"busybox": layout}
        print(f"{'':<42} {'xx':>8} {'skopeo':>8} {'BuildKit':>9} {'others / xx':>12}")
        for name, layers in SHAPES.items():
            bench = Bench(scratch / f"shape-{layers}", layers, options.bytes, buildkit if there else None)
            rows: dict[str, Callable[[], tuple[float | None, ...]]] = {
                "pushed": bench.push,
                "pulled": bench.pull,
                "pulled, on the disk": bench.settled,
            }
            if not options.images:
                rows |= {"added to a cache": bench.add, "taken from a cache": bench.take}
            for what, measure in rows.items():
                show(f"{options.bytes >> 20} MB in {name}, {what}", measure())
            shutil.rmtree(scratch / f"shape-{layers}")


def show(name: str, taken: tuple[float | None, ...]) -> None:
    ours, *others = taken
    best = min((each for each in others if each is not None), default=None)
    words = [f"{each:.1f}" if each is not None else "-" for each in taken]
    ratio = f"{best / ours:.2f}" if best is not None and ours else "-"
    print(f"{name:<42} {words[0]:>8} {words[1]:>8} {words[2]:>9} {ratio:>12}", flush=True)


if __name__ == "__main__":
    main()
