"""A step's way to the user's ssh-agent."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from xxpy.build.engine.agent import forwarded


def serve(path: Path, connections: int) -> socket.socket:
    """An agent that answers each message with itself in upper case."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer() -> None:
        for _ in range(connections):
            client, _ = server.accept()
            with client:
                while data := client.recv(100):
                    client.sendall(data.upper())

    threading.Thread(target=answer, daemon=True).start()
    return server


def test_what_is_said_reaches_the_agent_and_comes_back(tmp_path: Path) -> None:
    # Longer than a socket's path may be.
    folder = tmp_path / ("long" * 20) / ("longer" * 10)
    folder.mkdir(parents=True)
    at = folder / "socket"
    with serve(tmp_path / "agent", 2), forwarded(tmp_path / "agent", at, os.getuid(), os.getgid(), 0o640):
        assert at.stat().st_mode & 0o777 == 0o640
        for word in (b"one", b"two"):
            with socket.socket(socket.AF_UNIX) as client:
                fd = os.open(at, os.O_PATH)
                client.connect(f"/proc/self/fd/{fd}")
                os.close(fd)
                client.sendall(word)
                assert client.recv(100) == word.upper()
                client.shutdown(socket.SHUT_WR)
                assert client.recv(100) == b""


def test_an_agent_that_is_gone_ends_the_connection_and_nothing_else(tmp_path: Path) -> None:
    at = tmp_path / "socket"
    with forwarded(tmp_path / "nowhere", at, os.getuid(), os.getgid(), 0o600):
        for _ in range(40):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(at))
                assert client.recv(1) == b""
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError):
        client.connect(str(at))
