"""Where a build's files come from: a folder, a tar or a Dockerfile on stdin, a git repository; named contexts beside.

What is not a folder of the user's is put into one that lives as long as the build, in the store. It is whoever's: no
link in it is followed out of it. Source: docker buildx build's reference, "build context" and "--build-context".
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from xxpy.build.compressed import MOST_BYTES
from xxpy.build.context import Context, open_context
from xxpy.build.disk import storing
from xxpy.build.dockerfile.remote import GitSource, git_source, shown
from xxpy.build.engine.embedded import work_folder
from xxpy.build.engine.rooted import inside
from xxpy.build.engine.unpack import is_archive, unpack
from xxpy.build.git import Git
from xxpy.build.hostca import HostCa
from xxpy.build.names import normalize_name, short_name
from xxpy.build.store import Store
from xxpy.errors import SourceError, UsageError
from xxpy.platforms import Platform

STDIN = "-"
IMAGE, LAYOUT, LOCAL = "docker-image://", "oci-layout://", "local://"
_DEFAULT = ("Dockerfile", "dockerfile")
_PACKED = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class Contexts:
    """The named contexts of a build, and whether its own is one that was fetched.

    ``sources`` has what each name stands for, as `front.Request.contexts`; ``folders`` the folder of each ``local://``.
    ``fetched`` is the folder that fetched contexts lie in, None if there are none.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    fetched: Path | None = None


@dataclass(frozen=True)
class Opened:
    """A context that is there: its folder, its Dockerfile and what errors call that (empty for its path)."""

    folder: Path
    file: Path
    name: str
    contexts: Contexts


@dataclass(frozen=True)
class Given:
    """What the command line says: the context, ``-f`` (empty if not given), and ``--build-context`` by name."""

    context: str
    file: str = ""
    named: Mapping[str, str] = field(default_factory=dict)
    keep_git: bool = False


def parse_named(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE`` of ``--build-context``; the name may end with ``::PLATFORM``.

    Raises UsageError (``bad-build-context``, ``bad-reference``), PlatformError.
    """
    name, equals, value = text.partition("=")
    plain, colons, platform = name.partition("::")
    if not plain or not equals or not value:
        raise UsageError(
            f"--build-context {text[:100]!r} is no NAME=CONTEXT",
            remedy="write NAME=FOLDER, NAME=docker-image://IMAGE, NAME=oci-layout://FOLDER or NAME=GIT-URL",
            reason="bad-build-context",
        )
    short = short_name(normalize_name(plain))
    return (f"{short}::{Platform.parse(platform)}" if colons else short), value


@contextmanager
def opened(given: Given, store: Store, host_ca: HostCa, stdin: IO[bytes] | None = None) -> Iterator[Opened]:
    """Have all contexts in folders while the block runs. Raises SourceError, UsageError, DockerfileError, HostError."""
    with ExitStack() as stack:
        opener = _Opener(given, store, host_ca, stdin or (sys.stdin.buffer if sys.stdin else io.BytesIO()), stack)
        folder, file, name = opener.main()
        sources, folders = opener.named()
        yield Opened(folder, file, name, Contexts(sources, folders, opener.work))


def open_all(folder: Path, file: Path, contexts: Contexts, hashes: Path) -> Context:
    """The context at ``folder`` with the named ones in it; ``hashes`` is where digests of files are kept.

    Raises as `open_context` does.
    """

    def one(path: Path, dockerfile: Path | None) -> Context:
        fetched = contexts.fetched if contexts.fetched is not None and contexts.fetched in path.parents else None
        return open_context(path, dockerfile, fetched or hashes, closed=fetched is not None)

    main = one(folder, file)
    main.named |= {identifier: one(path, None) for identifier, path in contexts.folders.items()}
    return main


class _Opener:
    def __init__(self, given: Given, store: Store, host_ca: HostCa, stdin: IO[bytes], stack: ExitStack) -> None:
        self._given = given
        self._store = store
        self._host_ca = host_ca
        self._stdin = stdin
        self._stack = stack
        self._count = 0
        self.work: Path | None = None

    def main(self) -> tuple[Path, Path, str]:
        """The main context's folder, the Dockerfile, and what errors call it."""
        given = self._given
        if given.context == STDIN:
            return self._from_stdin()
        source = None if Path(given.context).is_dir() else _git(given.context)
        if source is None:
            _no_other_url(given.context)
            folder = Path(given.context)
            if given.file == STDIN:
                return folder, self._dockerfile_on_stdin(), "stdin"
            return folder, (Path(given.file) if given.file else _default_file(folder)), ""
        folder = self._cloned(source)
        if given.file == STDIN:
            return folder, self._dockerfile_on_stdin(), "stdin"
        return (folder, *_inner_file(folder, given.file))

    def _from_stdin(self) -> tuple[Path, Path, str]:
        if self._given.file == STDIN:
            raise UsageError(
                "stdin cannot be both the context and the Dockerfile",
                remedy="name a folder as the context, as in: xx build -f - .",
                reason="bad-context",
            )
        folder, spool = self._folder(), self._folder() / "stdin"
        with storing(spool), spool.open("xb") as file:
            size = _copy(self._stdin, file)
        head = _head(spool)
        if is_archive(os.fspath(spool)) or head.startswith(_PACKED):
            _unpack(spool, folder)
            spool.unlink()
            return (folder, *_inner_file(folder, self._given.file))
        problem, remedy = "", ""
        if not size:
            problem, remedy = "stdin is empty", "give it a tar or a Dockerfile, as in: xx build - <Dockerfile"
        elif self._given.file:
            problem, remedy = "stdin is a Dockerfile, and so is -f", "give only one of the two"
        if problem:
            raise UsageError(problem, remedy=remedy, reason="bad-context")
        return folder, spool, "stdin"

    def _dockerfile_on_stdin(self) -> Path:
        path = self._folder() / "Dockerfile"
        with storing(path), path.open("xb") as file:
            _copy(self._stdin, file)
        return path

    def named(self) -> tuple[dict[str, str], dict[str, Path]]:
        """The named contexts: what each is, and where the folders are."""
        sources: dict[str, str] = {}
        folders: dict[str, Path] = {}
        for name, value in self._given.named.items():
            if value.startswith((IMAGE, LAYOUT)):
                sources[name] = value
                continue
            identifier = f"{LOCAL}{'_' if name == 'context' else ''}{name}"
            source = None if Path(value).is_dir() else _git(value)
            if source is None:
                _no_other_url(value)
            folders[identifier] = Path(value) if source is None else self._cloned(source)
            sources[name] = identifier
        return sources, folders

    def _cloned(self, source: GitSource) -> Path:
        folder = self._folder()
        git = Git(self._host_ca, os.environ.get("SSH_AUTH_SOCK", ""))
        keep = self._given.keep_git if source.keep_git_dir is None else source.keep_git_dir
        mask = os.umask(0o022)
        try:
            ref = git.resolve(source.remote, source.ref, source.checksum)
            with storing(folder):
                git.checkout(source.remote, ref, folder, keep=keep, submodules=source.submodules)
        finally:
            os.umask(mask)
        found = Path(inside(folder, source.subdir))
        if not found.is_dir():
            raise SourceError(
                f"the repository {shown(source.remote)} has no folder {source.subdir}",
                remedy="name one of it behind the ref, as in: …#main:folder",
                reason="context-missing",
            )
        return found

    def _folder(self) -> Path:
        """A new folder that is gone when the build is."""
        if self.work is None:
            with storing(self._store.root):
                self.work = self._stack.enter_context(work_folder(self._store)).resolve()
        self._count += 1
        folder = self.work / f"context-{self._count}"
        folder.mkdir()
        return folder


def _git(text: str) -> GitSource | None:
    # Before URLs, this is how a repository was named (docker build's reference).
    return git_source(f"https://{text}" if text.startswith("github.com/") else text)


def _no_other_url(text: str) -> None:
    scheme, separator, _ = text.partition("://")
    if separator and "/" not in scheme:
        raise SourceError(
            f"the context {shown(text)} is of a kind that is not known",
            remedy="a repository's URL ends with .git; give another archive on stdin: curl -fsSL URL | xx build -",
            reason="context-unknown",
        )


def _default_file(folder: Path) -> Path:
    return next((folder / name for name in _DEFAULT if (folder / name).is_file()), folder / _DEFAULT[0])


def _inner_file(folder: Path, name: str) -> tuple[Path, str]:
    """A Dockerfile in a fetched context, and its name there; where there is none, the path that it would have."""
    names = (name,) if name else _DEFAULT
    found = [(Path(inside(folder, each)), each) for each in names]
    path, said = next((pair for pair in found if pair[0].is_file()), found[0])
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise SourceError(f"{said} is no file", remedy="name the Dockerfile with -f", reason="dockerfile-missing")
    return path, said


def _copy(source: IO[bytes], target: IO[bytes]) -> int:
    size = 0
    while data := source.read(1 << 20):
        size += len(data)
        if size > MOST_BYTES:
            raise SourceError(f"stdin has more than {MOST_BYTES} bytes", reason="context-too-large")
        target.write(data)
    return size


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _unpack(archive: Path, folder: Path) -> None:
    """Raises SourceError (``bad-archive``)."""
    try:
        with storing(folder):
            # Whose a file is does not matter in a context.
            unpack(os.fspath(archive), folder, os.fspath(folder), (os.geteuid(), os.getegid()), lambda text: None)
    except SourceError as error:
        raise SourceError(
            f"the context on stdin cannot be unpacked: {error.message}",
            remedy="make it with: tar -c . | xx build -",
            reason="bad-archive",
        ) from error
    folder.chmod(0o755)
