"""The user's ssh-agent for a step: a socket of the step's own, handed on to the agent's.

An agent answers its own user and root alone, and its socket belongs to them (ssh-agent(1)). So the agent's socket would
serve no other user of a step; what is sent here goes to the agent as this process's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

_CONNECTIONS = 32
"""Connections of one step at once; more wait."""

_PIECE = 65536


@contextlib.contextmanager
def forwarded(agent: Path, at: Path, uid: int, gid: int, mode: int) -> Iterator[None]:
    """A socket at ``at`` that leads to ``agent`` while the block runs. Raises OSError."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        # The path of a socket has 107 bytes at most (unix(7)): so it is named from its folder.
        folder = os.open(at.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        server.bind(f"/proc/self/fd/{folder}/{at.name}")
        os.chown(at, uid, gid)
        at.chmod(mode)
        server.listen(_CONNECTIONS)
        thread = threading.Thread(target=_serve, args=(server, agent), name="ssh-agent", daemon=True)
        thread.start()
        try:
            yield
        finally:
            # Wakes who accepts, which closing alone does not.
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=1)


def _serve(server: socket.socket, agent: Path) -> None:
    opened: list[socket.socket] = []
    places = threading.Semaphore(_CONNECTIONS)
    try:
        while True:
            client, _ = server.accept()
            places.acquire()
            opened = [each for each in opened if each.fileno() >= 0] + [client]
            threading.Thread(target=_relay, args=(client, agent, places), name="ssh-agent", daemon=True).start()
    except OSError:
        pass
    finally:
        for each in opened:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _relay(client: socket.socket, agent: Path, places: threading.Semaphore) -> None:
    """One connection from its begin to its end."""
    try:
        with client, socket.socket(socket.AF_UNIX) as other, contextlib.suppress(OSError):
            fd = os.open(agent, os.O_PATH | os.O_CLOEXEC)
            try:
                other.connect(f"/proc/self/fd/{fd}")
            finally:
                os.close(fd)
            back = threading.Thread(target=_pump, args=(other, client), name="ssh-agent", daemon=True)
            back.start()
            _pump(client, other)
            back.join()
    finally:
        places.release()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes until it ends, and tell the other side that it has."""
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
