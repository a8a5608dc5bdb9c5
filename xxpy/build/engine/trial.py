"""Trying what the kernel lets a build do, in a child that leaves nothing behind.

Settings and version numbers say what should work; containers, security modules and distributions' patches decide
otherwise. So each feature is used once, in namespaces of its own that end with the child.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from xxpy.build.engine import syscalls

TRIAL_SECONDS = 20
"""After that many seconds a trial is ended and counts as failed."""

Attempt = Callable[[], None]
"""Something to try; it raises OSError where it does not work."""


def attempt_all(attempts: Mapping[str, Attempt]) -> dict[str, str]:
    """Run each of ``attempts`` in a user, mount and process namespace and return why it failed, empty if it worked.

    Each has a namespace of its own in which the caller's user is root, alone (a map of one id, which needs no help of
    newuidmap). ``namespace`` among the answers is about the namespace itself; if it failed, nothing else was tried.
    """
    answers = {"namespace": attempt_one(lambda: None)}
    if not answers["namespace"]:
        answers |= {name: attempt_one(attempt) for name, attempt in attempts.items()}
    return answers


def attempt_one(attempt: Attempt) -> str:
    """Why ``attempt`` fails inside, as ``Operation not permitted (mount)``; empty if it works."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _inside(attempt, writer)
    os.close(writer)
    timer = threading.Timer(TRIAL_SECONDS, os.kill, (child, signal.SIGKILL))
    timer.start()
    try:
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
    finally:
        timer.cancel()
        os.waitpid(child, 0)
    # An end without an answer is a kill: by the timer, or by a seccomp filter that kills rather than refuses.
    return str(json.loads(answer)) if answer else "the kernel ended the process that tried it, or it took too long"


def _inside(attempt: Attempt, writer: int) -> None:
    """The child; never returns."""
    answer = ""
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        uid, gid = os.geteuid(), os.getegid()
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1\n")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1\n")
        # The process that unshared stays outside the new process namespace; its first child is the init of it.
        init = os.fork()
        if init == 0:
            _try(attempt, writer)
        os.waitpid(init, 0)
        os._exit(0)
    except OSError as error:
        answer = _worded(error)
    except BaseException as error:
        answer = repr(error)
    _answer(writer, answer)


def _try(attempt: Attempt, writer: int) -> None:
    answer = ""
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
        attempt()
    except OSError as error:
        answer = _worded(error)
    except BaseException as error:
        answer = repr(error)
    _answer(writer, answer)


def _worded(error: OSError) -> str:
    return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)


def _answer(writer: int, text: str) -> None:
    os.write(writer, json.dumps(text).encode())
    os._exit(0)


def mount_proc() -> None:
    """Mount /proc of the process namespace; containers that hide parts of theirs forbid it (mount_too_revealing())."""
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("proc", "/proc", "proc", flags)


def mount_binfmt() -> None:
    """Mount a binfmt_misc instance of the namespace's own: Linux 6.7 and newer."""
    syscalls.mount("tmpfs", "/tmp", "tmpfs")
    syscalls.mount("binfmt_misc", "/tmp", "binfmt_misc")
    if not Path("/tmp/register").exists():
        raise OSError(0, "it has no file to register with", "binfmt_misc")


def mount_overlay(folder: str) -> None:
    """Lay two trees over each other in ``folder`` and delete and replace what the lower one has.

    An empty ``folder`` takes a tmpfs. What is left in ``folder`` is the caller's to remove.
    """
    if not folder:
        folder = "/tmp"
        syscalls.mount("tmpfs", folder, "tmpfs")
    place = Path(folder)
    for name in ("lower", "upper", "work", "merged"):
        (place / name).mkdir()
    (place / "lower" / "gone").write_text("1")
    (place / "lower" / "kept").write_text("1")
    data = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work,userxattr"
    syscalls.mount("overlay", f"{place}/merged", "overlay", data=data)
    (place / "merged" / "gone").unlink()
    (place / "merged" / "kept").write_text("2")
    if (place / "merged" / "gone").exists() or (place / "lower" / "kept").read_text() != "1":
        raise OSError(0, "a change was not kept apart", "overlay")
