"""Vertex and Graph: the steps of a build and what each takes from which, as pure values.

The shapes are those of BuildKit's LLB (moby/buildkit, ``solver/pb/ops.proto``): source, exec, file, merge and diff
operations whose inputs are outputs of other vertices, addressed by digest. Field names follow the protocol's, so that
a Graph can be written as LLB and read back.

What enters a vertex's digest: its operation, its inputs' digests, and its platform where the operation runs a program
or picks an image. ``Label`` never does: it is what people read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from xxpy.platforms import Platform

Digest = str
"""``sha256:`` and 64 hex digits."""


class NetMode(Enum):
    """Network of an exec, as LLB's NetMode: ``UNSET`` is the engine's default, ``HOST`` the host's, ``NONE`` none."""

    UNSET = "unset"
    HOST = "host"
    NONE = "none"


class MountType(Enum):
    """What a mount shows, as LLB's MountType. Only ``BIND`` is run so far."""

    BIND = "bind"
    SECRET = "secret"
    SSH = "ssh"
    CACHE = "cache"
    TMPFS = "tmpfs"


@dataclass(frozen=True)
class Input:
    """One output of another vertex. In the digest."""

    digest: Digest
    index: int = 0


@dataclass(frozen=True)
class SourceOp:
    """Files from outside: ``docker-image://name@sha256:…`` or ``local://context``. All in the digest."""

    identifier: str
    attrs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Mount:
    """What an exec sees at ``dest``. ``input`` indexes the vertex's inputs, -1 for none. All in the digest."""

    dest: str
    input: int = 0
    selector: str = ""
    readonly: bool = False
    output: int = 0
    type: MountType = MountType.BIND


@dataclass(frozen=True)
class ExecOp:
    """One program run in a root: ``args`` as execve takes them, ``env`` as ``NAME=value``. All in the digest."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str = ""
    mounts: tuple[Mount, ...] = (Mount("/"),)
    network: NetMode = NetMode.UNSET


@dataclass(frozen=True)
class CopyAction:
    """Copies ``sources`` (clean paths or patterns, relative to the root of input ``source``) to ``dest``.

    ``dest`` is absolute; a ``/`` at its end says that it is a directory. ``owner`` is ``user[:group]`` as ``--chown``
    takes it, empty to keep each file's. ``mode`` holds permission bits or is -1 to keep each file's. All in the digest.
    """

    source: int
    sources: tuple[str, ...]
    dest: str
    owner: str = ""
    mode: int = -1


@dataclass(frozen=True)
class MkdirAction:
    """Makes ``path`` and its parents, mode 0755 unless they are there. All in the digest."""

    path: str
    owner: str = ""


@dataclass(frozen=True)
class MakeFileAction:
    """Writes the text ``data`` to the file ``path`` (LLB's mkfile). All in the digest."""

    path: str
    data: str
    owner: str = ""
    mode: int = 0o644


FileAction = CopyAction | MkdirAction | MakeFileAction


@dataclass(frozen=True)
class FileOp:
    """Changes to the tree of input 0, in order; later inputs are what copies read. All in the digest."""

    actions: tuple[FileAction, ...]


@dataclass(frozen=True)
class MergeOp:
    """The inputs laid over each other, the first lowest."""


@dataclass(frozen=True)
class DiffOp:
    """What the second input has changed of the first."""


Op = SourceOp | ExecOp | FileOp | MergeOp | DiffOp


@dataclass(frozen=True)
class Label:
    """What people read of a vertex. Never in the digest.

    ``line`` and ``end_line`` are 1-based lines of the Dockerfile, 0 for what has none. ``base`` is true for the vertex
    that a FROM stands for.
    """

    text: str
    stage: str = ""
    line: int = 0
    end_line: int = 0
    base: bool = False


@dataclass(frozen=True)
class Vertex:
    """One step with its inputs.

    ``platform`` is set where it matters (an exec, an image source) and None elsewhere, so that a COPY of the same files
    onto the same tree is one vertex for all platforms.
    """

    op: Op
    inputs: tuple[Input, ...] = ()
    platform: Platform | None = None
    label: Label = field(default=Label(""), compare=False)
    digest: Digest = field(init=False, compare=False)

    def __post_init__(self) -> None:
        identity = [type(self.op).__name__, plain(self.op), plain(self.inputs), str(self.platform or "")]
        object.__setattr__(self, "digest", digest_of(identity))


SCRATCH: Digest = ""
"""The input digest that stands for an empty tree (LLB's input index -1)."""


@dataclass(frozen=True)
class ImageConfig:
    """The ``config`` object of an OCI image configuration that the Dockerfile makes, plus when each step was made."""

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None


@dataclass(frozen=True)
class HistoryEntry:
    """One entry of the image's history (OCI config.md): ``vertex`` is the digest whose layer it is, or empty."""

    created_by: str
    vertex: Digest = ""


@dataclass(frozen=True)
class Result:
    """What one target platform's image is: the tree (a vertex digest, or SCRATCH), its config and history.

    ``history`` has the entries of the Dockerfile's own instructions; those of the base image stand before them.
    """

    platform: Platform
    root: Digest
    config: ImageConfig
    history: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True)
class Graph:
    """All vertices of a build, inputs before those that take them, and one Result for each target platform."""

    vertices: Mapping[Digest, Vertex]
    results: tuple[Result, ...]

    def __iter__(self) -> Iterator[Vertex]:
        return iter(self.vertices.values())


def plain(value: Any) -> Any:
    """A value of this module as JSON's own types, the same text for equal values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Platform):
        return str(value)
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.compare} | {"": type(value).__name__}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def digest_of(value: Any) -> Digest:
    """The digest of JSON-able data, written with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
