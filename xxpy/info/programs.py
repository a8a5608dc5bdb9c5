"""Starting other programs from the suite: ask one and read its answer, or become it."""

from __future__ import annotations

import os

from xxpy.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


def find(name: str, path: str | None = None) -> str:
    """The program ``name`` on PATH, or empty. A name with a slash is taken as it is."""
    folders = [""] if "/" in name else (path or os.environ.get("PATH") or os.defpath).split(":")
    for folder in folders:
        full = os.path.join(folder, name)
        if os.path.isfile(full) and os.access(full, os.X_OK):
            return full
    return ""


def ask(argv: Sequence[str]) -> str:
    """What ``argv`` prints in plain English. Raises HostError (``program-missing``, ``program-failed``)."""
    import subprocess  # 10 ms, and a compiler's wrapper starts thousands of times

    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise missing(argv[0]) from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-500:]
        raise HostError(
            f"{' '.join(argv)} ended with exit code {done.returncode}: {words}",
            remedy="run it alone to see more",
            reason="program-failed",
        )
    return done.stdout


def run(argv: Sequence[str]) -> int:
    """Run ``argv`` with this process's own input and output; its exit code."""
    import subprocess

    try:
        return subprocess.run(argv, check=False).returncode
    except FileNotFoundError:
        raise missing(argv[0]) from None


def tee(argv: Sequence[str]) -> tuple[int, str]:
    """Run ``argv`` showing what it prints; its exit code and all of that, stdout and stderr together."""
    import subprocess
    import sys

    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise missing(argv[0]) from None
    seen = []
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        seen.append(line)
    return process.wait(), "".join(seen)


def become(argv: Sequence[str], env: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process by ``argv``. Raises HostError (``program-missing``)."""
    try:
        os.execvpe(argv[0], list(argv), dict(env if env is not None else os.environ))
    except FileNotFoundError:
        raise missing(argv[0]) from None


def missing(program: str) -> HostError:
    """The error for a program that is not in this stage, or whose own interpreter is not."""
    if find(program):
        return HostError(
            f"{program} cannot be started: the interpreter or dynamic linker that it names is not in this stage",
            remedy="is it for this machine? xx-verify says what it is",
            reason="program-missing",
        )
    return HostError(
        f"{program} is not in this stage",
        remedy=f"install the package that has it, as in: RUN apt-get install -y {os.path.basename(program)}",
        reason="program-missing",
    )
