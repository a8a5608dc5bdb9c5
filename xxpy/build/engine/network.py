"""The networks of steps: each running RUN has a network namespace to itself, connected by slirp4netns.

slirp4netns is a TCP/IP stack in a process: what a step sends comes out of sockets of the host, so no right on the host
and no change of its interfaces is needed. The host's loopback cannot be reached through it, unless a step asks for
``host-gateway``. A namespace is used again when its step has ended, by one step at a time; it holds no state by then,
for steps cannot configure it. Source: slirp4netns(1).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.engine import syscalls
from xxpy.build.engine.process import serve
from xxpy.build.graph import ExecOp, NetMode, Op, SecurityMode
from xxpy.build.runsettings import HOST_GATEWAY
from xxpy.build.tools import find_program
from xxpy.errors import HostError

PROGRAM = "slirp4netns"
RESOLVER = "10.0.2.3"
"""Where slirp4netns answers DNS by asking the host's first nameserver, one on the host's loopback too."""
GATEWAY = "10.0.2.2"
"""The host as steps see it, where they may."""
_LOOPBACK = "127.0.0.1"

_INTERFACE = "eth0"
_SECONDS = 10.0


@dataclass(frozen=True)
class Network:
    """What one step gets. ``path`` is its namespace, empty for a new one with loopback alone, None for the host's.

    ``gateway`` is the host's address in it, ``resolv`` the text of its /etc/resolv.conf.
    """

    path: str | None
    gateway: str
    resolv: str


class Networks:
    """The network namespaces of a build, made in ``folder`` as they are needed."""

    def __init__(self, folder: Path, etc: Path = Path("/etc")) -> None:
        self._folder = folder
        self._resolv = _read(etc / "resolv.conf")
        self._program = find_program(PROGRAM)
        self._free: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._made = 0
        self._counting = threading.Lock()
        self.refusal = ""

    def prepare(self) -> None:
        """Make the first one. `refusal` says afterwards why there is none; empty if there is."""
        try:
            self._free.put(self._new(host_loopback=False))
        except HostError as error:
            self.refusal = error.message

    @contextlib.contextmanager
    def given(self, op: ExecOp) -> Iterator[Network]:
        """The network of a step while it runs. Raises HostError (``no-network``)."""
        host_loopback = any(address == HOST_GATEWAY for _, address in op.extra_hosts)
        if op.network is NetMode.NONE:
            yield Network("", _LOOPBACK, self._resolv)
        elif op.network is NetMode.HOST or self.refusal:
            yield Network(None, _LOOPBACK, self._resolv)
        elif op.security is SecurityMode.INSECURE or host_loopback:
            # It may be left changed, or reach what others must not: never used again.
            yield self._network(self._new(host_loopback=host_loopback))
        else:
            try:
                path = self._free.get_nowait()
            except queue.Empty:
                path = self._new(host_loopback=False)
            try:
                yield self._network(path)
            finally:
                self._free.put(path)

    def _network(self, path: str) -> Network:
        return Network(path, GATEWAY, resolv_conf(self._resolv))

    def _new(self, *, host_loopback: bool) -> str:
        if self._program is None:
            raise _none(f"{PROGRAM} is not installed")
        with self._counting:
            self._made += 1
            path = self._folder / f"network-{self._made}"
        path.touch()
        try:
            _make_namespace(path)
            _connect(self._program, str(path), host_loopback=host_loopback)
        except (OSError, HostError) as error:
            raise _none(str(error)) from None
        return str(path)


def _none(why: str) -> HostError:
    return HostError(why, remedy="give steps the host's network: --network=host", reason="no-network")


def wants_own(op: Op) -> bool:
    """Whether a step runs in a network namespace that is connected."""
    return isinstance(op, ExecOp) and op.network is NetMode.UNSET


def resolv_conf(host: str) -> str:
    """The host's resolv.conf (resolv.conf(5)) with slirp4netns as the only nameserver."""
    lines = [line for line in host.splitlines() if line.split()[:1] != ["nameserver"]]
    return "\n".join([*lines, f"nameserver {RESOLVER}", ""])


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""


def _make_namespace(path: Path) -> None:
    """A new network namespace that stays as long as it is mounted at ``path``."""
    errors: list[OSError] = []

    def work() -> None:
        try:
            # A namespace of the network is a thread's own (unshare(2)); it leaves with this one.
            syscalls.unshare(syscalls.CLONE_NEWNET)
            syscalls.mount(f"/proc/self/task/{threading.get_native_id()}/ns/net", str(path), flags=syscalls.MS_BIND)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _connect(program: str, path: str, *, host_loopback: bool) -> None:
    """Start slirp4netns on the namespace at ``path``; it ends with the build, as all of its process namespace does."""
    loopback = [] if host_loopback else ["--disable-host-loopback"]
    flags = ["--configure", "--mtu=65520", "--enable-sandbox", "--enable-seccomp", *loopback, "--netns-type=path"]
    serve(lambda ready: [program, *flags, f"--ready-fd={ready}", path, _INTERFACE], _SECONDS)
