"""A real BuildKit for tests and benchmarks: Docker Engine and buildx out of Debian's packages, in a root of their own.

The root is made once and kept; it is that of the engine's mount namespace, with a socket and data in a folder that goes
at the end. Needs root. It has no bridge and no firewall: steps use the host's network (``--network=host``).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import BOTH, Xx, cache_folder

from xxpy.build.engine.binfmt import registration_line

PACKAGES = "docker.io,docker-cli,docker-buildx,containerd,runc,ca-certificates"
_DOCKER = "usr/bin/docker"
_BUILDX = "usr/libexec/docker/cli-plugins/docker-buildx"
_HANDED_DOWN = ("/sys", "/dev", "/run", "/tmp")


def engine_root() -> Path:
    """The root that the engine runs in, made if it is not there. Raises RuntimeError."""
    root = cache_folder() / "docker-root"
    with (cache_folder() / "docker-root.lock").open("w") as lock:
        # Another test run may be making it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made_root(root)


def _made_root(root: Path) -> Path:
    if all((root / each).exists() for each in ("usr/sbin/dockerd", _DOCKER, _BUILDX)):
        return root
    shutil.rmtree(root, ignore_errors=True)
    made = root.with_name("docker-root.part")
    shutil.rmtree(made, ignore_errors=True)
    argv = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}", "trixie", str(made)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"no Docker Engine from Debian's packages: {done.stderr[-2000:]}")
    made.rename(root)
    return root


def made_by_go(program: str) -> str:
    """BuildKit's ``buildkitd``, ``buildctl`` or ``dockerfile-frontend`` if tools/buildkitd has made it, else empty."""
    found = sorted(cache_folder().glob(f"buildkit-v*/{program}"))
    return str(found[-1]) if found else ""


class BuildKit:
    """A running engine: `build` calls buildx as a user would. ``image_store`` is whether it has that of containerd."""

    def __init__(self, root: Path, folder: Path, *, image_store: bool = True) -> None:
        self.root = root
        self.folder = folder
        self.image_store = image_store
        self.socket = folder / "engine.sock"
        self.docker = root / _DOCKER
        self.buildx = root / _BUILDX
        self.contexts: list[str] = []

    def start(self) -> None:
        """Start the engine and wait until it answers. Raises RuntimeError with the end of its log."""
        for name in ("resolv.conf", "ssl/certs/ca-certificates.crt"):
            source = Path("/etc") / name
            if source.exists():
                shutil.copyfile(source, self.root / "etc" / name)
        # Its root has to be a mount point, or runc cannot make / private.
        binds = "".join(f'mount --rbind {name} "$1{name}" && ' for name in _HANDED_DOWN)
        script = (
            f'mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && {binds}'
            'mkdir -p "$1/data" && mount --bind "$2/data" "$1/data" && '
            # Of its mount namespace this is the root, into which `docker exec` goes: chroot alone leaves it the host's.
            'cd "$1" && pivot_root . mnt && '
            'exec dockerd --data-root /data --exec-root "$2/exec" --host "unix://$2/engine.sock" '
            '--config-file "$2/daemon.json" --pidfile "$2/pid" '
            "--bridge=none --iptables=false --ip6tables=false --ip-masq=false"
        )
        (self.folder / "data").mkdir()
        # Only the image store of containerd writes OCI archives.
        settings = {"features": {"containerd-snapshotter": self.image_store}}
        (self.folder / "daemon.json").write_text(f"{json.dumps(settings)}\n")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "slave",
                 "sh", "-ec", script, "sh", str(self.root), str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        for _ in range(240):
            if self._process.poll() is not None:
                break
            if self.socket.exists() and self._buildx("inspect").returncode == 0:
                return
            time.sleep(0.25)
        words = (self.folder / "log").read_text(errors="replace")[-3000:]
        self.stop()
        raise RuntimeError(f"the Docker Engine does not start: {words}")

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def _buildx(self, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.folder / "config"),
            "BUILDX_EXPERIMENTAL": "1",
        }  # fmt: skip
        return subprocess.run(
            [self.buildx, *args],
            env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip

    def take(self, xx: Xx, name: str, platforms: str = "") -> None:
        """Have FROM ``name`` mean the image that the store of ``xx`` has under it."""
        layout = self.folder / name.replace(":", "-")
        dockerfile = self.folder / "Dockerfile.take"
        dockerfile.write_text(f"FROM {name}\n")
        flags = ["--platform", platforms] if platforms else []
        output = f"type=oci,dest={layout},tar=false"
        done = xx.run("build", *flags, "-t", f"{name}", "-f", str(dockerfile), "-o", output, str(self.folder))
        assert done.code == 0, done
        self.contexts += ["--build-context", f"{name}=oci-layout://{layout}:{name.partition(':')[2] or 'latest'}"]

    def build(self, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """``docker buildx build`` with plain progress; steps have the host's network."""
        flags = ("--progress", "plain", "--network", "host", "--allow", "network.host")
        return self._buildx("build", *flags, *self.contexts, *args, cwd=cwd)

    def call(self, method: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """``docker buildx build --call``, by the name that it has in Debian's."""
        return self._buildx("build", "--progress", "plain", f"--print={method}", *self.contexts, *args, cwd=cwd)


@contextmanager
def buildkit(folder: Path, xx: Xx) -> Iterator[BuildKit]:
    """A BuildKit with the base images of the store of ``xx``, on a machine that runs arm64 programs meanwhile.

    Raises RuntimeError if none can be had here.
    """
    if os.geteuid() != 0:
        raise RuntimeError("the Docker Engine needs root")
    engine = BuildKit(engine_root(), folder)
    engine.start()
    try:
        with host_emulation():
            engine.take(xx, "busybox", BOTH)
            engine.take(xx, "debian:trixie")
            yield engine
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


_EMULATION = """\
folder=/proc/sys/fs/binfmt_misc
mount -t binfmt_misc binfmt_misc $folder
for line; do printf %s "$line" >$folder/register; done
echo ready
read -r _ || :
for entry in $folder/"$0"-*; do echo -1 >"$entry"; done
"""


@contextmanager
def host_emulation(arches: Sequence[str] = ("aarch64",)) -> Iterator[None]:
    """Have the host's kernel start QEMU for programs of ``arches`` (QEMU's names) while the block runs.

    Those whose QEMU is not installed are left out. The entries have names of their own, in a mount namespace of their
    own: others may do the same meanwhile, and see nothing of it.
    """
    found = {arch: shutil.which(f"qemu-{arch}-static") for arch in arches}
    name = f"xx-{secrets.token_hex(4)}"
    # The name is the line's first field.
    lines = [registration_line(arch, path).replace(b"qemu", name.encode(), 1) for arch, path in found.items() if path]
    if os.geteuid() != 0 or not lines:
        yield
        return
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _EMULATION, name, *lines]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            holder.stdin.close()
    assert holder.returncode == 0
