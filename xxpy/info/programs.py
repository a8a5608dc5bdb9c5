"""Starting other programs from the suite: ask one and read its answer, or become it."""

from __future__ import annotations

import os

from xxpy.errors import HostError
from xxpy.info.streams import put

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
    """What ``argv`` prints in plain English. Raises HostError (``program-missing``, ``program-failed``).

    By posix_spawn and not by the module subprocess, which takes longer to import than most programs here take to run.
    """
    read, write = os.pipe()
    failed, errors = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_DUP2, errors, 2)]
    try:
        pid = os.posix_spawnp(argv[0], list(argv), {**os.environ, "LC_ALL": "C"}, file_actions=actions)
    except OSError as error:
        os.close(read)
        os.close(failed)
        raise _not_started(argv[0], error) from None
    finally:
        for fd in (write, errors, null):
            os.close(fd)
    out, err = _read_both(read, failed)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        words = (err or out).decode(errors="replace").strip()[-500:]
        raise HostError(
            f"{' '.join(argv)} ended with exit code {code}: {words}",
            remedy="run it alone to see more",
            reason="program-failed",
        )
    return out.decode(errors="replace")


def _read_both(out: int, err: int) -> tuple[bytes, bytes]:
    """All that comes from two pipes, whichever is filled first."""
    import select

    found: dict[int, list[bytes]] = {out: [], err: []}
    poll = select.poll()
    for fd in found:
        poll.register(fd, select.POLLIN)
    left = 2
    while left:
        for fd, _ in poll.poll():
            data = os.read(fd, 1 << 16)
            found[fd].append(data)
            if not data:
                poll.unregister(fd)
                os.close(fd)
                left -= 1
    return b"".join(found[out]), b"".join(found[err])


def run(argv: Sequence[str]) -> int:
    """Run ``argv`` with this process's own input and output; its exit code, as a shell has it."""
    try:
        pid = os.posix_spawnp(argv[0], list(argv), os.environ)
    except OSError as error:
        raise _not_started(argv[0], error) from None
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def tee(argv: Sequence[str]) -> tuple[int, str]:
    """Run ``argv`` showing what it prints; its exit code and all of that, stdout and stderr together.

    Raises HostError (``program-missing``), and as `put` does; then the program, too, has nowhere to write to.
    """
    import subprocess

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
    except OSError as error:
        raise _not_started(argv[0], error) from None
    seen = []
    assert process.stdout is not None
    for line in process.stdout:
        put(line)
        seen.append(line)
    return process.wait(), "".join(seen)


def become(argv: Sequence[str], env: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process by ``argv``. Raises HostError (``program-missing``)."""
    try:
        os.execvpe(argv[0], list(argv), dict(env if env is not None else os.environ))
    except OSError as error:
        raise _not_started(argv[0], error) from None


def _not_started(program: str, error: OSError) -> HostError:
    if isinstance(error, FileNotFoundError):
        return missing(program)
    return HostError(
        f"{program} cannot be started: {error.strerror}", remedy="is it executable?", reason="program-missing"
    )


MANAGERS = {"apt-get": "install -y", "apk": "add", "dnf": "install -y", "microdnf": "install -y", "yum": "install -y"}
"""The package managers that a stage may have, each with its words to install."""

_PACKAGES = {("apt-get", "go"): "golang-go", ("dnf", "go"): "golang", ("microdnf", "go"): "golang"}


def missing(program: str) -> HostError:
    """The error for a program that is not in this stage, or whose own interpreter is not."""
    if find(program):
        return HostError(
            f"{program} cannot be started: the interpreter or dynamic linker that it names is not in this stage",
            remedy="is it for this machine? xx-verify says what it is",
            reason="program-missing",
        )
    return HostError(f"{program} is not in this stage", remedy=_how_to_have(program), reason="program-missing")


def _how_to_have(program: str) -> str:
    manager = _manager()
    if program == "apt" or program in MANAGERS:
        return f"its package manager is {manager}: xx-{manager}" if manager else "it has no package manager"
    name = os.path.basename(program)
    return how_to_install(_PACKAGES.get((manager, name), name), "install the package that has it, as in: ")


def _manager() -> str:
    return next((name for name in MANAGERS if find(name)), "")


def how_to_install(packages: str, words: str = "") -> str:
    """How this stage gets ``packages``, which every distribution names so; ``words`` come before the command."""
    manager = _manager()
    if not manager:
        return "begin the stage FROM an image that has it"
    return f"{words}RUN {manager} {MANAGERS[manager]} {packages}"
