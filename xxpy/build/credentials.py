"""What a build is given for ``RUN --mount=type=secret`` and ``type=ssh``: values and agents, in memory alone.

Nothing here enters a digest, a record, a file of the store or a command line. Flags are those of
``docker buildx build``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xxpy.build.graph import ExecOp, MountType, Vertex
from xxpy.errors import SourceError, UsageError

MOST_BYTES = 500 << 10
"""Bytes of a secret, at most, as BuildKit has it."""

AGENT = "SSH_AUTH_SOCK"
DEFAULT_AGENT = "default"


@dataclass(frozen=True)
class Credentials:
    """``secrets`` are values by id, ``agents`` sockets of ssh-agents by id. Never printed and never kept."""

    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, Path] = field(default_factory=dict, repr=False)


def parse_credentials(secrets: Iterable[str], agents: Iterable[str]) -> Credentials:
    """Read the values of ``--secret`` and ``--ssh``; the last of an id wins.

    Raises UsageError: ``bad-secret``, ``secret-unreadable``, ``bad-ssh``, ``no-ssh-agent``, ``ssh-key-file``.
    """
    values = {}
    for text in secrets:
        name, value = _secret(text)
        if value is not None:
            values[name] = value
    return Credentials(values, dict(_agent(text) for text in agents))


def _secret(text: str) -> tuple[str, bytes | None]:
    """``id=ID[,src=FILE|env=NAME][,type=file|env]``; None for a variable that is not set."""
    given: dict[str, str] = {}
    for word in text.split(","):
        key, equals, value = word.partition("=")
        key = {"source": "src"}.get(key.strip().lower(), key.strip().lower())
        if not equals or key not in ("id", "src", "env", "type") or key in given:
            raise _bad_secret(word)
        given[key] = value
    name, kind, path, variable = (given.get(key, "") for key in ("id", "type", "src", "env"))
    if not name or kind not in ("", "file", "env") or (path and variable) or (kind == "file" and variable):
        raise _bad_secret(text)
    if kind == "env" and not variable:
        path, variable = "", path or name
    if not path and not variable:
        path, variable = ("", name) if kind == "" and name in os.environ else (name, "")
    if variable:
        found = os.environb.get(os.fsencode(variable))
        return name, None if found is None else _bounded(found, name)
    return name, _read(path, name)


def _bad_secret(word: str) -> UsageError:
    # What follows "=" could be the secret itself, by a slip: it is not repeated.
    return UsageError(
        f"--secret: {word.partition('=')[0][:40]!r} is not understood",
        remedy="write id=NAME,src=FILE or id=NAME,env=VARIABLE",
        reason="bad-secret",
    )


def _read(path: str, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return _bounded(file.read(MOST_BYTES + 1), name)
    except OSError as error:
        raise UsageError(
            f"--secret id={name}: cannot read {path}: {error.strerror}",
            remedy="name a readable file: id=NAME,src=FILE",
            reason="secret-unreadable",
        ) from None


def _bounded(value: bytes, name: str) -> bytes:
    if len(value) > MOST_BYTES:
        raise UsageError(
            f"--secret id={name} has more than {MOST_BYTES} bytes",
            remedy="give what is large as a named stage or a file of the context",
            reason="secret-unreadable",
        )
    return value


def _agent(text: str) -> tuple[str, Path]:
    """``ID[=SOCKET]``; without a socket that of the user's own agent."""
    name, equals, value = text.partition("=")
    if not name or (equals and not value):
        raise UsageError(f"--ssh {text!r} is not understood", remedy="write default, or NAME=SOCKET", reason="bad-ssh")
    socket = value or os.environ.get(AGENT, "")
    if not socket:
        raise UsageError(
            f"--ssh {name}: no ssh-agent runs ({AGENT} is not set)",
            remedy='start one: eval "$(ssh-agent)" && ssh-add',
            reason="no-ssh-agent",
        )
    for path in socket.split(","):
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise UsageError(
                f"--ssh {name}: {path}: {error.strerror}",
                remedy="name the socket of a running ssh-agent",
                reason="no-ssh-agent",
            ) from None
        if not stat.S_ISSOCK(mode):
            raise UsageError(
                f"--ssh {name}: {path} is a key, and only agents are handed on",
                remedy=f'let an agent have it: eval "$(ssh-agent)" && ssh-add {path}, then --ssh {name}',
                reason="ssh-key-file",
            )
    return name, Path(socket.split(",")[0]).absolute()


def require_given(vertices: Iterable[Vertex], given: Credentials, path: str) -> None:
    """Refuse a step whose mounts require what is not given; ``path`` is the Dockerfile's.

    Raises SourceError: ``secret-missing``, ``ssh-missing``.
    """
    for vertex in vertices:
        for mount in vertex.op.mounts if isinstance(vertex.op, ExecOp) else ():
            wanted = mount.secret
            if wanted is None or wanted.optional:
                continue
            ssh = mount.type is MountType.SSH
            if wanted.id in (given.agents if ssh else given.secrets):
                continue
            flag = f"--ssh {wanted.id}" if ssh else f"--secret id={wanted.id},src=FILE (or ,env=VARIABLE that is set)"
            raise SourceError(
                f"RUN requires the {'ssh agent' if ssh else 'secret'} {wanted.id}, which is not given",
                remedy=f"give it: {flag}",
                reason="ssh-missing" if ssh else "secret-missing",
                place=f"{path}:{vertex.label.line}" if vertex.label.line else path,
            )
