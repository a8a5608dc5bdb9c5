"""The build's own user, mount and process namespaces, as root and without being root alike.

Four processes: the caller; a monitor in the new user namespace that waits; the init of the process namespace that
reaps what is orphaned; and the worker, which does the work. Each dies with its parent (PR_SET_PDEATHSIG) and when the
init dies the kernel kills every process of its namespace and drops its mounts with it: so nothing outlives the caller,
not even after ``kill -9``.

The worker talks to the caller through one pipe of pickled values, written by this same program on both sides.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import pwd
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xxpy.build.engine import syscalls
from xxpy.build.engine.process import output_of
from xxpy.errors import HostError, Interrupted, XxError

_FULL = 4294967295
_FIRST = 65536
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class IdRange:
    """One line of a uid_map or gid_map (user_namespaces(7)): ``inside`` ids from ``outside`` on, ``count`` of them."""

    inside: int
    outside: int
    count: int


@dataclass(frozen=True)
class IdMaps:
    """How ids inside the namespace are ids outside."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]


def id_maps() -> IdMaps:
    """The maps for this user: every id for root, else the user's own id as 0 and the subordinate ranges after it.

    Raises HostError (``no-subids``) when /etc/subuid or /etc/subgid has no range for the user.
    """
    if os.geteuid() == 0:
        return IdMaps(_identity("uid_map"), _identity("gid_map"))
    return IdMaps(
        _subordinate(os.geteuid(), "/etc/subuid"),
        _subordinate(os.getegid(), "/etc/subgid"),
    )


def _identity(name: str) -> tuple[IdRange, ...]:
    ranges: list[IdRange] = []
    for line in Path("/proc/self", name).read_text().splitlines():
        inside, _, count = (int(word) for word in line.split())
        # runc takes a namespace whose first line maps everything for the host's own, where it would try to make
        # device nodes (opencontainers/runc libcontainer/userns): so that line is cut in two.
        if inside == 0 and count == _FULL:
            ranges += [IdRange(0, 0, _FIRST), IdRange(_FIRST, _FIRST, count - _FIRST)]
        else:
            ranges.append(IdRange(inside, inside, count))
    return tuple(ranges)


def _subordinate(own: int, path: str) -> tuple[IdRange, ...]:
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    ranges, following = [IdRange(0, own, 1)], 1
    with contextlib.suppress(OSError, ValueError):
        for line in Path(path).read_text().splitlines():
            owner, _, rest = line.partition(":")
            if owner in (name, str(os.geteuid())):
                start, count = (int(word) for word in rest.split(":"))
                ranges.append(IdRange(following, start, count))
                following += count
    if len(ranges) == 1:
        raise HostError(
            f"{path} gives {name} no range of subordinate ids, which files of other users need",
            remedy=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}",
            reason="no-subids",
        )
    return tuple(ranges)


class Channel:
    """Values from the worker to the caller, any thread may send."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()

    def send(self, value: Any) -> None:
        data = pickle.dumps(value)
        with self._lock:
            self._file.write(struct.pack("<I", len(data)) + data)


def _received(descriptor: int) -> Iterator[Any]:
    with os.fdopen(descriptor, "rb") as file:
        while head := file.read(4):
            yield pickle.loads(file.read(struct.unpack("<I", head)[0]))


def run_inside(work: Callable[[Channel], Any], on_value: Callable[[Any], None], maps: IdMaps) -> Any:
    """Run ``work`` as root of new namespaces and return what it returns; values it sends go to ``on_value``.

    ``work`` gets /proc of its own process namespace and a mount table that nothing outside sees. An XxError it raises
    is raised here. Raises Interrupted on SIGINT and SIGTERM, after every process of the namespaces is gone.
    """
    ready_r, ready_w = os.pipe()
    mapped_r, mapped_w = os.pipe()
    values_r, values_w = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with undisturbed():
        # An exception of a signal's handler would be lost in what Python runs around a fork by itself (`logging` does).
        monitor = os.fork()
        if monitor == 0:
            _quiet_signals()
            for descriptor in (ready_r, mapped_w, values_r):
                os.close(descriptor)
            _monitor(work, ready_w, mapped_r, values_w)
    for descriptor in (ready_w, mapped_r, values_w):
        os.close(descriptor)
    try:
        with interruptible(), os.fdopen(ready_r, "rb") as ready, os.fdopen(mapped_w, "wb") as mapped:
            if refusal := ready.read(64):
                raise _refused(refusal.decode())
            _write_maps(monitor, maps)
            mapped.write(b"1")
            mapped.flush()
            return _follow(values_r, on_value)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(monitor, signal.SIGKILL)
        os.waitpid(monitor, 0)
        _await_end(values_r)


def _follow(values: int, on_value: Callable[[Any], None]) -> Any:
    for kind, value in _received(os.dup(values)):
        if kind == "value":
            on_value(value)
        elif kind == "error":
            raise value
        else:
            return value
    raise HostError(
        "the engine's process ended before its work was done",
        remedy="see whether the kernel killed it (dmesg), and build again: nothing half-made was kept",
        reason="engine-died",
    )


def _await_end(values: int) -> None:
    # The pipe's writers are the monitor, the init and the worker: its end says that all three are gone.
    with os.fdopen(values, "rb") as file:
        while file.read(65536):
            pass


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Interrupted in the block."""

    def stop(number: int, _frame: Any) -> None:
        raise Interrupted(
            f"stopped by {signal.Signals(number).name}",
            remedy="what had finished is kept: the same command goes on from there",
            reason="interrupted",
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, stop) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that end a build wait while the block runs, which must be short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Not by a mask, which is of one thread: the kernel gives the signal to another, and Python still tells this one.
    came: list[int] = []
    old = {number: signal.signal(number, lambda each, _frame: came.append(each)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        for each in came[:1]:
            signal.raise_signal(each)


def _refused(code: str) -> HostError:
    return HostError(
        f"the kernel gives this user no user namespace ({os.strerror(int(code))})",
        remedy="xx doctor says which setting forbids it",
        reason="no-user-namespace",
    )


def _write_maps(pid: int, maps: IdMaps) -> None:
    for name, ranges in (("uid_map", maps.uids), ("gid_map", maps.gids)):
        if os.geteuid() == 0:
            text = "".join(f"{one.inside} {one.outside} {one.count}\n" for one in ranges)
            Path(f"/proc/{pid}/{name}").write_text(text)
        else:
            words = [str(number) for one in ranges for number in (one.inside, one.outside, one.count)]
            output_of(["newuidmap" if name == "uid_map" else "newgidmap", str(pid), *words], package="uidmap")


def _monitor(work: Callable[[Channel], Any], ready: int, mapped: int, values: int) -> None:
    """The first process inside; never returns."""
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
        except OSError as error:
            os.write(ready, str(error.errno).encode())
            os._exit(1)
        os.close(ready)
        if not os.read(mapped, 1):
            os._exit(1)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        syscalls.die_with_parent(signal.SIGKILL)
        init = os.fork()
        if init == 0:
            _init(work, values)
        os.close(values)
        os.waitpid(init, 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _quiet_signals() -> None:
    # The terminal sends ctrl-C to the whole group; the caller alone decides what happens then.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _init(work: Callable[[Channel], Any], values: int) -> None:
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        try:
            syscalls.mount("proc", "/proc", "proc", flags)
        except OSError as error:
            Channel(values).send(("error", _no_proc(error)))
            os._exit(1)
        worker = os.fork()
        if worker == 0:
            _worker(work, values)
        os.close(values)
        while os.wait()[0] != worker:
            pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _no_proc(error: OSError) -> HostError:
    return HostError(
        f"/proc cannot be mounted in a user namespace here ({error.strerror}): a container hides parts of it",
        remedy="start that container with --security-opt systempaths=unconfined, or build outside it",
        reason="no-proc",
    )


def _worker(work: Callable[[Channel], Any], values: int) -> None:
    channel = Channel(values)
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        channel.send(("result", work(channel)))
    except XxError as error:
        channel.send(("error", error))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
