"""An ssh server for the tests of repositories: Debian's OpenSSH and git in a root and a network of their own.

The root is made once and kept. Nothing of the machine changes: the server listens on the loopback of a network
namespace, so on port 22 too, and `SshServer.before` is how programs get into that. Needs root.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import cache_folder, listens_at

USER, UID, OTHER_PORT = "git", 4321, 2222
_CONFIG = f"""
Port 22
Port {OTHER_PORT}
ListenAddress 127.0.0.1
HostKey /data/host
AuthorizedKeysFile /data/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
PidFile none
PerSourcePenalties no
"""


def server_root() -> Path:
    """The root that the server runs in, made if it is not there. Raises RuntimeError."""
    root = cache_folder() / "ssh-root"
    with (cache_folder() / "ssh-root.lock").open("w") as lock:
        # Another test run, or another file of tests, may be making it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made_root(root)


def _made_root(root: Path) -> Path:
    if (root / "etc/gitconfig").exists():
        return root
    made = root.with_name("ssh-root.part")
    for old in (root, made):
        shutil.rmtree(old, ignore_errors=True)
    argv = ["mmdebstrap", "--quiet", "--variant=apt", "--include=openssh-server,git", "trixie", str(made)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"no OpenSSH from Debian's packages: {done.stderr[-2000:]}")
    with (made / "etc/passwd").open("a") as passwd:
        passwd.write(f"{USER}:x:{UID}:{UID}::/data:/bin/sh\n")
    (made / "run/sshd").mkdir(exist_ok=True)
    (made / "data").mkdir()
    (made / "etc/gitconfig").write_text("[safe]\n\tdirectory = *\n")
    made.rename(root)
    return root


class SshServer:
    """A running server; what is in ``folder`` it has as ``/data``, so ``/data/NAME.git`` are its repositories."""

    def __init__(self, folder: Path) -> None:
        self.root = server_root()
        self.folder = folder
        self.log = folder / "log"
        # The user of the server reads what is in it.
        folder.chmod(0o755)
        self.key("host")
        (folder / "authorized").touch()
        (folder / "sshd_config").write_text(_CONFIG)
        # Its root is a mount point, as the kernel wants it of what /proc is mounted in.
        script = (
            'ip link set lo up && mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && '
            'mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/run" && mkdir "$1/run/sshd" && '
            'mount --bind "$2" "$1/data" && exec chroot "$1" /usr/sbin/sshd -D -e -f /data/sshd_config'
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh",
                 str(self.root), str(folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.before = ("nsenter", f"--net=/proc/{self._process.pid}/ns/net")
        for _ in range(1200):
            if self._process.poll() is not None or b"Server listening" in self.log.read_bytes():
                break
            time.sleep(0.05)
        if self._process.poll() is not None or "Server listening" not in self.said():
            raise RuntimeError(f"sshd does not start: {self.said()[-2000:]}")

    def stop(self) -> None:
        # Of the two that get it, unshare stays to reap the other.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(10)

    def said(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def refusals(self) -> int:
        """How many connections have ended without a key that it takes: it says so after the client has gone."""
        found, quiet = -1, 0
        while quiet < 10:
            time.sleep(0.2)
            now = self.said().count("Connection closed by authenticating user")
            found, quiet = now, quiet + 1 if now == found else 0
        return found

    def key(self, name: str) -> Path:
        """A new key, with its public half beside it."""
        path = self.folder / name
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        return path

    def known_hosts(self) -> str:
        """What a user's known_hosts says of the server."""
        host = " ".join((self.folder / "host.pub").read_text().split()[:2])
        return f"127.0.0.1 {host}\n[127.0.0.1]:{OTHER_PORT} {host}\n"

    def allow(self, key: Path) -> None:
        """Let who has ``key`` in."""
        (self.folder / "authorized").write_text(key.with_suffix(".pub").read_text())


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A server with an empty ``folder`` for its data. Raises RuntimeError if none can be had here."""
    if os.geteuid() != 0:
        raise RuntimeError("the ssh server of the tests needs root")
    for program in ("ssh", "ssh-agent", "ssh-keygen", "mmdebstrap"):
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is not installed")
    server = SshServer(folder)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def ssh_agent(socket: Path, *keys: Path, user: int = 0) -> Iterator[None]:
    """An agent of ``user`` at ``socket``, in a folder of that user's, that has ``keys``."""
    who = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"] if user else []
    agent = subprocess.Popen([*who, "ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        if not listens_at(socket, agent):
            raise RuntimeError("ssh-agent does not start")
        env = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env=env, check=True, stdin=subprocess.DEVNULL)
        yield
    finally:
        agent.terminate()
        agent.wait()
