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
from collections.abc import Container, Iterable, Iterator, Mapping
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


class SecurityMode(Enum):
    """Confinement of an exec, as LLB's SecurityMode: ``SANDBOX`` is the engine's default."""

    SANDBOX = "sandbox"
    INSECURE = "insecure"


class CacheSharing(Enum):
    """Of a cache mount, as LLB's CacheSharingOpt: what a second step does while one has it."""

    SHARED = "shared"
    PRIVATE = "private"
    LOCKED = "locked"


class MountType(Enum):
    """What a mount shows, as LLB's MountType."""

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
    """Files from outside; all in the digest.

    ``identifier`` is ``docker-image://name@sha256:…``, ``local://context`` (``local://NAME`` for a named context),
    ``https://…`` (one file) or ``git://…#commit`` (a tree), as LLB's sources are named. ``attrs`` hold what else says
    which files: ``http.checksum``, ``http.filename``, ``git.keepgitdir``, ``oci.layout`` …
    """

    identifier: str
    attrs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CacheOpt:
    """Which cache a CACHE mount shows, as LLB's CacheOpt. ``id`` names it; all in the digest.

    ``mode``, ``uid`` and ``gid`` are of its folder when it is new (in LLB those of a folder made in the mount's input),
    and caches that differ in them are different caches.
    """

    id: str
    sharing: CacheSharing = CacheSharing.SHARED
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class SecretOpt:
    """Of a SECRET or SSH mount, as LLB's SecretOpt and SSHOpt.

    ``id`` is what ``--secret`` or ``--ssh`` gives a value to; its value is never in a digest. ``env`` names a variable
    that gets a secret's value, empty for none. ``optional`` steps run without it. All in the digest.
    """

    id: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o400
    optional: bool = False
    env: str = ""


@dataclass(frozen=True)
class Mount:
    """What an exec sees at ``dest``. ``input`` indexes the vertex's inputs, -1 for none. All in the digest.

    ``dest`` is empty for a secret that is shown as a variable alone. ``selector`` is a path in the input. ``output`` is
    0 for the root, -1 for what is thrown away. Of `cache` and `secret` the one that ``type`` says is set (`secret` for
    SSH too). ``size`` is of a TMPFS, in bytes, 0 for no limit.
    """

    dest: str
    input: int = 0
    selector: str = ""
    readonly: bool = False
    output: int = 0
    type: MountType = MountType.BIND
    cache: CacheOpt | None = None
    secret: SecretOpt | None = None
    size: int = 0


@dataclass(frozen=True)
class Ulimit:
    """One resource limit of an exec (getrlimit(2)): ``name`` as ``nofile``, -1 for no limit."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True)
class ExecOp:
    """One program run in a root: ``args`` as execve takes them, ``env`` as ``NAME=value``. All in the digest.

    ``extra_hosts`` are lines of /etc/hosts as ``(name, address)``. ``shm_size`` is of /dev/shm in bytes, 0 for the
    default.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str = ""
    mounts: tuple[Mount, ...] = (Mount("/"),)
    network: NetMode = NetMode.UNSET
    security: SecurityMode = SecurityMode.SANDBOX
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()


@dataclass(frozen=True)
class CopyAction:
    """Copies ``sources`` (clean paths or patterns, relative to the root of input ``source``) to ``dest``.

    ``dest`` is absolute; a ``/`` at its end says that it is a directory. ``owner`` is ``user[:group]`` as ``--chown``
    takes it, empty to keep each file's. ``mode`` holds permission bits or is -1 to keep each file's; ``mode_change`` is
    a symbolic mode (chmod(1), ``u+x,go=rX``) or empty. ``exclude`` are patterns, relative to each source, of what is
    left out. ``parents`` keeps the folders of a source, from a ``/./`` in it on. ``unpack`` takes a local archive apart
    in place of copying it (ADD). All in the digest.
    """

    source: int
    sources: tuple[str, ...]
    dest: str
    owner: str = ""
    mode: int = -1
    mode_change: str = ""
    exclude: tuple[str, ...] = ()
    parents: bool = False
    unpack: bool = False


@dataclass(frozen=True)
class MkdirAction:
    """Makes ``path`` and its parents, mode 0755 unless they are there. All in the digest."""

    path: str
    owner: str = ""


@dataclass(frozen=True)
class MakeFileAction:
    """Writes the text ``data`` to the file ``path`` (LLB's mkfile); to ``name`` in it, if ``path`` is a folder.

    All in the digest.
    """

    path: str
    data: str
    owner: str = ""
    mode: int = 0o644
    name: str = ""


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
class Healthcheck:
    """HEALTHCHECK as Docker's image specification has it (v1.2, ``Healthcheck``): times in nanoseconds, 0 for none."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True)
class ImageConfig:
    """The ``config`` object of an OCI image configuration that the Dockerfile makes, and its ``author`` beside it."""

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
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] = ()
    author: str = ""


@dataclass(frozen=True)
class HistoryEntry:
    """One entry of the image's history (OCI config.md): ``vertex`` is the digest whose layer it is, or empty."""

    created_by: str
    vertex: Digest = ""


@dataclass(frozen=True)
class Result:
    """What one target platform's image is: the tree (a vertex digest, or SCRATCH), its config and history.

    ``history`` has the entries of the Dockerfile's own instructions; those of the base image stand before them.
    ``from_line`` is the line of the FROM that names the base, 0 for none: two FROMs of one image are one vertex.
    """

    platform: Platform
    root: Digest
    config: ImageConfig
    history: tuple[HistoryEntry, ...] = ()
    from_line: int = 0


@dataclass(frozen=True)
class Graph:
    """All vertices of a build, inputs before those that take them, and one Result for each target platform.

    ``twins`` has for execs of another platform than the machine's own the same step of the same stage on that one.
    """

    vertices: Mapping[Digest, Vertex]
    results: tuple[Result, ...]
    twins: Mapping[Digest, Digest] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Vertex]:
        return iter(self.vertices.values())

    def inputs_of(self, digest: Digest) -> set[Digest]:
        """The digests of a vertex's inputs, SCRATCH among them."""
        return {given.digest for given in self.vertices[digest].inputs}


def line_of(vertices: Mapping[Digest, Vertex], root: Digest) -> Iterator[Digest]:
    """The vertices whose changes the tree of ``root`` is made of, ``root`` first, the base last.

    The first input of an operation is the tree that it changes; what it copies or mounts is not of the line.
    """
    digest = root
    while digest:
        yield digest
        inputs = vertices[digest].inputs
        digest = inputs[0].digest if inputs else ""


def reachable(vertices: Mapping[Digest, Vertex], roots: Iterable[Digest], known: Container[Digest] = ()) -> set[Digest]:
    """``roots`` and all that they are made from, but for what is ``known`` and what that alone is made from."""
    found: set[Digest] = set()
    todo = list(roots)
    while todo:
        digest = todo.pop()
        if digest and digest not in found and digest not in known:
            found.add(digest)
            todo += [given.digest for given in vertices[digest].inputs]
    return found


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
