"""Running `xx` as users do, in a process of its own, for the tests of whole builds."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BOTH = "linux/amd64,linux/arm64"
START = "from xxpy.cli.xx import main; main(prog_name='xx')"


# A base is a day's packages: one that is much older than its archive makes every installation an upgrade.
_BASE_DAYS = 10


def cache_folder() -> Path:
    """What is kept from one test run to the next, below the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache")
    folder = cache / "xxpy-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kept_bases() -> Path:
    """The store of base images that is kept."""
    store = cache_folder() / "bases"
    index = store / "index.json"
    if index.exists() and time.time() - index.stat().st_mtime > _BASE_DAYS * 86400:
        shutil.rmtree(store)
    return store


def keep(*args: str) -> None:
    """Have the image that ``xx ARGS`` makes in the store that is kept. Raises RuntimeError.

    Only images are kept: what was unpacked to make them goes.
    """
    with (cache_folder() / "lock").open("w") as lock:
        # Another test run may be at it, and would miss what goes at the end.
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = kept_bases()
        done = Xx(kept, kept.parent).run(*args)
        if done.code:
            raise RuntimeError(f"xx {' '.join(args)}: {done}")
        for name in ("snapshots", "records"):
            shutil.rmtree(kept / name, ignore_errors=True)


def store_from(kept: Path, store: Path) -> Path:
    """A new store at ``store`` with the images of ``kept``, whose blobs it shares, and nothing else."""

    def linked(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    # The names before the blobs: others may add to both meanwhile.
    store.mkdir(parents=True)
    if (kept / "index.json").exists():
        shutil.copy2(kept / "index.json", store / "index.json")
    made_anew = shutil.ignore_patterns("records", "snapshots", "caches", "locks", "tmp", "index.json")
    shutil.copytree(kept, store, copy_function=linked, ignore=made_anew, dirs_exist_ok=True)
    return store


@contextlib.contextmanager
def serving_at(argv: Callable[[int], Sequence[str]], log: Path) -> Iterator[int]:
    """The port on loopback of a server that ``argv`` starts at one, another one if somebody else has just taken it.

    Raises RuntimeError with what it has written to ``log``, FileNotFoundError where there is no such program.
    """
    for _ in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        with log.open("wb") as out:
            child = subprocess.Popen(
                argv(port), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        if _listens(child, port):
            break
        child.kill()
        child.wait()
    else:
        raise RuntimeError(log.read_text(errors="replace"))
    try:
        yield port
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait()


def listens_at(path: Path, child: subprocess.Popen[bytes], seconds: float = 60) -> bool:
    """Whether somebody listens at the socket ``path``, once ``child`` has had its time to begin.

    It is there, and refuses whoever comes, from when it has a name until it is listened at.
    """
    until = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return True
        time.sleep(0.05)
    return False


def _listens(child: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            # Or is it a stranger that has the port? Then the child ends.
            time.sleep(0.1)
            return child.poll() is None
        time.sleep(0.05)
    return False


def installed(*packages: str) -> str:
    """The RUN that installs ``packages`` of Debian, quietly.

    Three times, with a new list each: between an archive's list and its packages it may be brought up to date.
    """
    install = f"apt-get update -q && apt-get install -q -y --no-install-recommends {' '.join(packages)}"
    tried = f"{{ {install}; }} >/tmp/log 2>&1 && rm /tmp/log && exit 0; tail -n 20 /tmp/log; sleep 20"
    return f"RUN for each in 1 2 3; do {tried}; done; exit 1"


@dataclass(frozen=True)
class Done:
    """A finished `xx`."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"

    # What pytest shows of a failed assertion: the end is where the reason is.
    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out[-2000:]}\n{self.err[-4000:]}"


class Xx:
    """`xx` with a store and a folder of its own."""

    def __init__(self, store: Path, folder: Path) -> None:
        self.store = store
        self.folder = folder

    def argv(self, *args: str) -> list[str]:
        return [sys.executable, "-c", START, *args]

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XX_", "SOURCE_DATE"))}
        return {**kept, "PYTHONPATH": str(ROOT), "XX_STORE": str(self.store), **(env or {})}

    def run(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        timeout: int = 600,
        stdin: bytes = b"",
    ) -> Done:
        done = subprocess.run(
            [*before, *self.argv(*args)],
            cwd=self.folder,
            env=self.environment(env),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        assert "Traceback" not in err, err
        return Done(done.returncode, out, err)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.argv(*args),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def dockerfile(self, text: str, name: str = "Dockerfile") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def build(self, text: str, *args: str, env: Mapping[str, str] | None = None) -> Done:
        """Write ``text`` as the Dockerfile and build it."""
        self.dockerfile(text)
        return self.run("build", "--progress", "plain", *args, ".", env=env)


def index_of(done: Done) -> str:
    """The digest that the build ends with."""
    return re.findall(r"sha256:[0-9a-f]{64}", done.err)[-1]


def blob(xx: Xx, digest: str) -> Any:
    return json.loads((xx.store / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())


def config_of(xx: Xx, done: Done) -> Any:
    manifest = blob(xx, blob(xx, index_of(done))["manifests"][0]["digest"])
    return blob(xx, manifest["config"]["digest"])


def last_layer(xx: Xx, done: Done) -> dict[str, tarfile.TarInfo]:
    manifest = blob(xx, blob(xx, index_of(done))["manifests"][0]["digest"])
    path = xx.store / "blobs/sha256" / manifest["layers"][-1]["digest"].removeprefix("sha256:")
    with tarfile.open(path) as tar:
        return {entry.name: entry for entry in tar}


def output_of(done: Done) -> str:
    """What the steps printed, without progress' own lines."""
    return "\n".join(re.findall(r"^#\d+ \d+\.\d+ (.*)$", done.err, re.MULTILINE))


def error_of(done: Done) -> str:
    """The error's two lines, which are the last that is printed."""
    lines = done.err.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("ERROR: ")]
    assert len(starts) == 1, done
    assert len(lines) - starts[0] <= 2, done
    return "\n".join(lines[starts[0] :])


def wrong_blobs(store: Path) -> list[str]:
    """Blobs whose content is not what their name says, and records that are no JSON."""
    found = [
        path.name
        for path in (store / "blobs/sha256").iterdir()
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name
    ]
    json.loads((store / "index.json").read_text())
    return found


def ran(done: Done) -> list[str]:
    """The steps that ran: a RUN, COPY or WORKDIR that no cache answered."""
    steps = re.findall(r"^#(\d+) \[[^\]]*\] ((?:RUN|COPY|ADD|WORKDIR) .*)$", done.err, re.MULTILINE)
    cached = set(re.findall(r"^#(\d+) CACHED", done.err, re.MULTILINE))
    return [text for number, text in steps if number not in cached]
