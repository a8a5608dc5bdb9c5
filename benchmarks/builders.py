"""How each builder is asked for the same job: ours, BuildKit by ``docker buildx``, and buildah.

All get the same base images and write the same kind of output. Nothing is downloaded from a registry.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from buildkit import BuildKit, engine_root
from memory import Peak

from xxpy.platforms import Platform

ROOT = Path(__file__).parents[1]
XX = Path(sys.executable).with_name("xx")


class Failed(Exception):
    """A builder could not do a job; the message is the end of what it said."""


@dataclass(frozen=True)
class Job:
    """One build, written as an OCI archive. ``compression`` is that of its layers, empty for the usual one.

    What is not ``exported`` stays in the builder's cache.
    """

    dockerfile: Path
    context: Path
    platforms: Sequence[str] = ()
    cached: bool = False
    compression: str = ""
    exported: bool = True


@dataclass(frozen=True)
class Took:
    """Wall seconds of the whole command, and for ours the greatest memory in bytes."""

    seconds: float
    memory: int = 0


@dataclass
class Builder:
    """What all have: a folder of their own, and the OCI layouts of base images by their names."""

    name: str
    folder: Path
    bases: Mapping[str, Path] = field(default_factory=dict)

    def build(self, job: Job) -> Took:
        """Raises Failed."""
        raise NotImplementedError

    def _fresh(self) -> Path:
        """Where the output goes, with nothing there and nothing left to be written to the disk by others."""
        out = self.folder / "out"
        out.unlink(missing_ok=True)
        os.sync()
        return out


def ran(argv: Sequence[str | Path], env: Mapping[str, str], *, measured: bool = False, cwd: Path = ROOT) -> Took:
    """Run a command to its end in the folder ``cwd``. Raises Failed."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            argv, cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        if measured:
            with Peak(child.pid) as peak:
                child.wait()
        else:
            child.wait()
        seconds = time.monotonic() - began
        if child.returncode:
            said.seek(0)
            raise Failed(f"{' '.join(map(str, argv))} ended with {child.returncode}:\n{said.read()[-2000:]}")
    return Took(seconds, peak.bytes if measured else 0)


class Xx(Builder):
    """`xx build` with a store of its own."""

    @property
    def env(self) -> dict[str, str]:
        return {"XX_STORE": str(self.folder / "store")}

    def build(self, job: Job) -> Took:
        out = self._fresh()
        return ran([XX, "build", *_flags(job, out)], self.env, measured=True)


class Buildx(Builder):
    """BuildKit: the user's engine if one answers, else one out of Debian's packages while ``stack`` is open."""

    argv: Sequence[str] = ()
    socket = ""

    def found(self, stack: ExitStack) -> bool:
        """Whether there is one. Raises RuntimeError if ours does not start."""
        if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
            self.argv = ["docker", "buildx", "build"]
        elif os.geteuid() == 0:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xx-bench-engine-")))
            engine = BuildKit(engine_root(), home)
            engine.start()
            stack.callback(engine.stop)
            self.argv = [str(engine.buildx), "build", "--network", "host", "--allow", "network.host"]
            self.socket = f"unix://{engine.socket}"
        return bool(self.argv)

    def build(self, job: Job) -> Took:
        out = self._fresh()
        contexts = [
            flag
            for name, layout in self.bases.items()
            for flag in ("--build-context", f"{name}=oci-layout://{layout}:{_tag(name)}")
        ]
        env = {"DOCKER_HOST": self.socket} if self.socket else {}
        return ran([*self.argv, *contexts, *_flags(job, out)], {"DOCKER_CLI_HINTS": "false", **env})


def _flags(job: Job, out: Path) -> list[str]:
    """Those that `xx build` and buildx have in common."""
    compression = f",compression={job.compression}" if job.compression else ""
    return [
        "--progress", "plain", "-f", str(job.dockerfile),
        "-o", f"type=oci,dest={out}{compression}" if job.exported else "type=cacheonly",
        *(["--platform", ",".join(job.platforms)] if job.platforms else []),
        *([] if job.cached else ["--no-cache"]),
        str(job.context),
    ]  # fmt: skip


class Buildah(Builder):
    """buildah with a storage of its own; steps run in a chroot, which is the fastest that it has."""

    _built = 0

    def found(self) -> bool:
        return os.geteuid() == 0 and shutil.which("buildah") is not None

    def build(self, job: Job) -> Took:
        out = self._fresh()
        self._built += 1
        name = f"built:{self._built}"
        # It knows no $BUILDPLATFORM in FROM (1.28).
        dockerfile = self.folder / "Dockerfile"
        dockerfile.write_text(job.dockerfile.read_text().replace("$BUILDPLATFORM", str(Platform.host())))
        flags = ["--layers", "--isolation", "chroot", "--network", "host", "-f", dockerfile]
        for base, layout in self.bases.items():
            # A path from where it runs: it makes an image's name of it, in which not every letter may be.
            path = layout.relative_to(self.folder.parent)
            flags += ["--build-context", f"{base}=docker-image://oci:{path}:{_tag(base)}"]
        if not job.cached:
            flags.append("--no-cache")
        if job.platforms:
            flags += ["--platform", ",".join(job.platforms), "--manifest", name]
            push = ["manifest", "push", "-q", "--all", name]
        else:
            flags += ["-t", name]
            push = ["push", "-q", *(["-D"] if job.compression == "uncompressed" else []), name]
        built = self._ran("build", *flags, job.context)
        pushed = self._ran(*push, f"oci-archive:{out}")
        return Took(built.seconds + pushed.seconds)

    def _ran(self, *args: str | Path) -> Took:
        storage = ["--root", self.folder / "root", "--runroot", self.folder / "run"]
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        argv = ["buildah", *storage, "--storage-driver", "overlay", *args]
        return ran(argv, {"TMPDIR": str(temporary)}, cwd=self.folder.parent)

    def stop(self) -> None:
        """Unmount what it left mounted, so that the folder can go."""
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for at in sorted(each for each in mounts if each.startswith(f"{self.folder}/"))[::-1]:
            subprocess.run(["umount", at], check=False)


def _tag(name: str) -> str:
    return name.partition(":")[2] or "latest"
