"""One RUN: a draft snapshot as the root, a config.json for the OCI runtime, and what it printed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xxpy.build.engine import process, syscalls
from xxpy.build.engine.mounts import StepMounts
from xxpy.build.engine.network import Network, Networks
from xxpy.build.engine.places import make_folders
from xxpy.build.engine.rooted import inside, remove_tree
from xxpy.build.engine.runtimelog import NO_PROGRAM, NO_ROOT, errors_of, in_words, is_of_the_program
from xxpy.build.engine.snapshots import Draft
from xxpy.build.engine.spec import BindMount, Shown, runtime_spec
from xxpy.build.engine.users import resolve_user
from xxpy.build.graph import ExecOp, Vertex
from xxpy.build.hostca import TARGET, HostCa
from xxpy.build.naming import one_line
from xxpy.build.runsettings import HOST_GATEWAY
from xxpy.build.tools import Runtime
from xxpy.errors import HostError, StepError, XxError
from xxpy.platforms import elf_machine
from xxpy.verify.elf import read_elf

TAIL = 4096
"""Bytes of a step's output that are kept with its cache record."""

_HOSTS = "127.0.0.1 localhost buildkitsandbox\n::1 localhost ip6-localhost ip6-loopback\n"
_LAST_LINES = 20
_MOST_WORDS = 200
_FEW_BYTES = 16 << 20


@dataclass(frozen=True)
class Executor:
    """What is the same for every RUN of a build.

    ``work`` is a folder of the build's own on which a tmpfs is mounted: what runtimes are told holds variables that
    are secret, and goes to no disk. The engine unmounts it when the build ends.
    """

    runtime: Runtime
    work: Path
    networks: Networks
    host_ca: HostCa
    dockerfile: str
    proxies: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Write the files that steps are shown, and set up this process for them. Raises SourceError, OSError."""
        syscalls.adopt_orphans()
        forbid_cgroups()
        self.work.mkdir()
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("tmpfs", str(self.work), "tmpfs", flags, "mode=0700")
        for folder in (self._ca, self.work / "run"):
            folder.mkdir()
        if self.host_ca.bundle is not None:
            self.host_ca.write_to(self._ca)

    @property
    def _ca(self) -> Path:
        return self.work / "host-ca"

    def run(
        self,
        vertex: Vertex,
        made: Draft,
        mounts: StepMounts,
        on_output: Callable[[bytes], None],
        more: Sequence[Shown] = (),
    ) -> str:
        """Run ``vertex`` in the mounted ``made`` with ``mounts`` and ``more``; the end of what it printed.

        Raises StepError (``run-failed``), SourceError (``user-unknown``, and as `StepMounts` does), HostError, OSError.
        """
        op = vertex.op
        assert isinstance(op, ExecOp)
        user, home = resolve_user(made.merged, op.user)
        if not os.path.isdir(inside(made.merged, op.cwd)):
            make_folders(made.merged, op.cwd, None)
        name = f"xx-{secrets.token_hex(6)}"
        bundle = self.work / name
        bundle.mkdir()
        output = _Tail(on_output)
        try:
            with (
                self.networks.given(op) as network,
                mounts.shown(vertex, [*self._binds(op, bundle, network), *more]) as (shown, hidden),
                _stubs(made, shown) as placed,
            ):
                op = replace(op, env=tuple(pair for pair in op.env if pair.partition("=")[0] not in hidden))
                extra = self._extra(op, home, hidden)
                spec = runtime_spec(op, str(made.merged), user, placed, extra, network.path)
                (bundle / "config.json").write_text(json.dumps(spec))
                code, why = self._start(bundle, name, output)
        finally:
            remove_tree(bundle)
            remove_tree(self.work / "run" / name)
        if code != 0:
            raise self._failed(vertex, process.worded(code), why, output, made)
        return output.text()

    def _extra(self, op: ExecOp, home: str, hidden: Mapping[str, str]) -> list[str]:
        """Variables beside the step's own; ``hidden`` are those whose values are secret, which go before its own."""
        taken = {pair.partition("=")[0] for pair in op.env} | hidden.keys()
        extra = [
            *(f"{name}={value}" for name, value in hidden.items()),
            *self.host_ca.environment([*op.env, *hidden]),
            *(each for each in self.proxies if each.partition("=")[0] not in taken),
        ]
        return extra if "HOME" in taken else [*extra, f"HOME={home}"]

    def _start(self, bundle: Path, name: str, output: _Tail) -> tuple[int, str]:
        """Run the container of ``bundle`` to its end; its exit code, and why it did not begin, empty if it did.

        In the foreground runc copies stdout and stderr through pipes of its own, and what a compiler says would come
        out of order. Detached, the step writes to our one pipe itself and becomes our child (`adopt_orphans`).
        """
        pid_file, log = bundle / "pid", bundle / "log"
        # runc does without cgroups when it may not make them (`forbid_cgroups`), crun when it is told to.
        flags = ["--cgroup-manager=disabled"] if self.runtime.name == "crun" else []
        argv = [
            self.runtime.path, "--root", str(self.work / "run"), "--log", str(log), "--log-format", "json", *flags,
            "run", "--detach", "--pid-file", str(pid_file), "--bundle", str(bundle), name,
        ]  # fmt: skip
        env = {**process.minimal_environment(), "XDG_RUNTIME_DIR": "/nowhere"}
        code = process.stream(argv, output, env=env)
        errors = errors_of(log)
        for text in errors:
            # runc prints its last error besides, crun does not.
            if text.encode() not in bytes(output.kept):
                output(f"{text}\n".encode())
        if code == 0:
            if not pid_file.exists():
                raise HostError(
                    f"{self.runtime.path} says that it started the step and has not",
                    remedy="is it an OCI runtime? XX_RUNTIME names another, xx doctor looks at it",
                    reason="runtime-failed",
                )
            _, status = os.waitpid(int(pid_file.read_text()), 0)
            code = os.waitstatus_to_exitcode(status)
            return (code if code >= 0 else 128 - code), ""
        return code, in_words(errors[-1]) if errors else ""

    def _binds(self, op: ExecOp, bundle: Path, network: Network) -> list[Shown]:
        added = (
            f"{network.gateway if address == HOST_GATEWAY else address}\t{name}\n" for name, address in op.extra_hosts
        )
        (bundle / "hosts").write_text(_HOSTS + "".join(added))
        (bundle / "resolv.conf").write_text(network.resolv, errors="surrogateescape")
        binds: list[Shown] = [BindMount(str(bundle / name), f"/etc/{name}") for name in ("hosts", "resolv.conf")]
        if self.host_ca.bundle is not None:
            binds.append(BindMount(str(self._ca), TARGET))
        return binds

    def _failed(self, vertex: Vertex, ended: str, why: str, output: _Tail, made: Draft) -> StepError:
        """``ended`` is how the step did, unless ``why`` says that it did not begin."""
        said = "the lines above are the last it printed" if output.kept else "it printed nothing"
        remedy, reason = f"{said}; run it alone in that stage to see more", "run-failed"
        space = os.statvfs(self.work.parent)
        if space.f_bavail * space.f_frsize < _FEW_BYTES:
            remedy = f"the disk of the store is full: free space on it (df -h {self.work.parent.parent})"
            reason = "disk-full"
        elif program := _foreign_program(vertex, made, output.last_lines()):
            remedy = (
                f"{program} is a program of another architecture than {vertex.platform}: "
                "see FROM --platform and what COPY --from takes it from, and check it there with xx-verify"
            )
            reason = "exec-format"
        elif why:
            remedy, reason = NO_PROGRAM if is_of_the_program(why) else NO_ROOT, "not-started"
        line = vertex.label.line
        words = f"cannot be started on {vertex.platform}: {one_line(why)}" if why else f"{ended} on {vertex.platform}"
        return StepError(
            f"{one_line(vertex.label.text)} {words}",
            remedy=remedy,
            reason=reason,
            place=f"{self.dockerfile}:{line}" if line else self.dockerfile,
            output=tuple(output.last_lines()),
        )


def forbid_cgroups(mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Make the cgroup hierarchies read-only in this mount namespace.

    A runtime that root started would make a cgroup for each step on the host, and one that is killed would leave it.
    Where they are read-only it does without, as it does for other users.
    """
    for line in mountinfo.read_text().splitlines():
        fields = line.split()
        kind = fields[fields.index("-") + 1]
        if kind in ("cgroup", "cgroup2"):
            options = fields[5].split(",")
            flags = sum(flag for name, flag in _MOUNT_FLAGS.items() if name in options)
            with contextlib.suppress(OSError):
                syscalls.mount(
                    "none", fields[4], flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | flags
                )


# A mount of another user namespace keeps these flags (mount_namespaces(7), "locked" mounts).
_MOUNT_FLAGS = {
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "noatime": syscalls.MS_NOATIME,
    "relatime": syscalls.MS_RELATIME,
}


_REFUSED = re.compile("exec format error|cannot execute|syntax error|not found|no such file", re.IGNORECASE)


def _foreign_program(vertex: Vertex, made: Draft, lines: list[str]) -> str:
    """A program among the words of ``lines`` that is built for another architecture than the step runs on; else empty.

    Shells word it differently when the kernel refuses a program (``Exec format error``, or busybox, which reads it as a
    script and complains of its syntax); all name the file.
    """
    assert isinstance(vertex.op, ExecOp) and vertex.platform is not None
    refused = [line for line in reversed(lines) if _REFUSED.search(line)]
    words = [word.strip(":'\"()`,") for line in refused for word in line.split()]
    for word in dict.fromkeys(words[:_MOST_WORDS]):
        if "/" not in word:
            continue
        try:
            program = read_elf(inside(made.merged, os.path.join(vertex.op.cwd, word)))
        except (XxError, OSError, ValueError):
            continue
        if program.machine != elf_machine(vertex.platform):
            return word
    return ""


class _Tail:
    """Hands output on and keeps its end."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self.kept: deque[int] = deque(maxlen=4 * TAIL)

    def __call__(self, data: bytes) -> None:
        self.kept.extend(data[-4 * TAIL :])
        self._on_output(data)

    def text(self) -> str:
        return bytes(self.kept)[-TAIL:].decode(errors="replace")

    def last_lines(self) -> list[str]:
        return bytes(self.kept).decode(errors="replace").splitlines()[-_LAST_LINES:]


@contextlib.contextmanager
def _stubs(made: Draft, mounts: Sequence[Shown]) -> Iterator[list[Shown]]:
    """``mounts`` with their targets as they are in the root; what the runtime makes to mount on is removed afterwards.

    The runtime makes empty files and folders where there are none; none of them belongs into the image.
    """
    shown: list[Shown] = []
    new: list[str] = []
    for mount in mounts:
        real = inside(made.merged, mount.target)
        target = "/" + os.path.relpath(real, made.merged)
        shown.append(replace(mount, target=target))
        new += _absent(made, target)
    for folder in ("/proc", "/dev", "/sys"):
        new += _absent(made, folder)
    try:
        yield shown
    finally:
        for path in sorted(set(new), key=len, reverse=True):
            full = f"{made.merged}{path}"
            with contextlib.suppress(OSError):
                if os.path.isdir(full) and not os.path.islink(full):
                    os.rmdir(full)
                elif os.path.getsize(full) == 0:
                    os.unlink(full)


def _absent(made: Draft, target: str) -> list[str]:
    """``target`` and those folders above it that are not there yet."""
    found = []
    while target != "/" and not os.path.lexists(f"{made.merged}{target}"):
        found.append(target)
        target = os.path.dirname(target)
    return found
