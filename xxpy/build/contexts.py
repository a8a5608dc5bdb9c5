"""Where a build's files come from: a folder, a tar or a Dockerfile on stdin or at a URL, a git repository; named
contexts beside.

What is not a folder of the user's is put into one that lives as long as the build, in the store. It is whoever's: no
link in it is followed out of it. Source: docker buildx build's reference, "build context" and "--build-context".
"""

from __future__ import annotations

import io
import os
import shutil
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
from xxpy.build.dockerfile.remote import GitSource, git_source, http_op, is_url, shown
from xxpy.build.engine.rooted import inside
from xxpy.build.engine.unpack import is_archive, unpack
from xxpy.build.engine.workfolder import work_folder
from xxpy.build.fetch import Fetched, Fetcher, put_fetched
from xxpy.build.git import Git
from xxpy.build.hostca import HostCa
from xxpy.build.names import normalize_name, short_name
from xxpy.build.store import Store
from xxpy.errors import DockerfileError, SourceError, UsageError
from xxpy.platforms import Platform

STDIN = "-"
IMAGE, LAYOUT, LOCAL = "docker-image://", "oci-layout://", "local://"
_DEFAULT = ("Dockerfile", "dockerfile")
_PACKED = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
_PAGE = (b"<!doctype html", b"<html")
_HEAD = 1024


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
    """What the command line says: the context, ``-f`` (empty if not given), and ``--build-context`` by name.

    ``ssh_agent`` is the socket of that for repositories, None if there is none.
    """

    context: str
    file: str = ""
    named: Mapping[str, str] = field(default_factory=dict)
    keep_git: bool = False
    ssh_agent: Path | None = None


def _folder(text: str) -> Path:
    """The folder of a context that is one. Raises SourceError (``context-missing``)."""
    folder = Path(text)
    if folder.is_dir():
        return folder
    if folder.exists():
        problem = f"{text} is a file, and a context is a folder"
        remedy = f"name its folder, and the Dockerfile with -f, as in: xx build -f {text} {folder.parent}"
    else:
        problem, remedy = f"there is no context {text}", "name a folder, as in: xx build . (see xx build --help)"
    raise SourceError(problem, remedy=remedy, reason="context-missing")


def parse_named(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE`` of ``--build-context``; the name may end with ``::PLATFORM``.

    Raises UsageError (``bad-build-context``, ``bad-reference``), PlatformError.
    """
    name, equals, value = text.partition("=")
    plain, colons, platform = name.partition("::")
    if not plain or not equals or not value:
        raise UsageError(
            f"--build-context {text[:100]!r} is no NAME=CONTEXT",
            remedy="write NAME=FOLDER, NAME=docker-image://IMAGE, NAME=oci-layout://FOLDER or NAME=URL",
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
        # A store within the context would be copied into itself.
        store = hashes.parent
        return open_context(path, dockerfile, fetched or hashes, closed=fetched is not None, without=store)

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
        if source is not None:
            return self._with_file(self._cloned(source))
        if is_url(given.context):
            return self._from_url()
        _no_other_url(given.context)
        folder = _folder(given.context)
        if outer := self._outer_file():
            return folder, *outer
        return folder, (Path(given.file) if given.file else _default_file(folder)), ""

    def _from_stdin(self) -> tuple[Path, Path, str]:
        if self._given.file == STDIN:
            raise UsageError(
                "stdin cannot be both the context and the Dockerfile",
                remedy="name a folder as the context, as in: xx build -f - .",
                reason="bad-context",
            )
        spool = self._folder() / "stdin"
        with storing(spool), spool.open("xb") as file:
            size = _copy(self._stdin, file)
        if not size:
            raise UsageError(
                "stdin is empty",
                remedy="give it a tar or a Dockerfile, as in: xx build - <Dockerfile",
                reason="bad-context",
            )
        if _is_packed(spool):
            folder = self._folder()
            _unpack(spool, folder, "on stdin")
            spool.unlink()
            return self._with_file(folder)
        return self._alone(spool, "stdin")

    def _from_url(self) -> tuple[Path, Path, str]:
        """A tar is the context; a text is the Dockerfile of a build that has none."""
        url = self._given.context
        fetched = self._store.blob(self._fetched(url).digest)
        if _is_packed(fetched):
            folder = self._folder()
            _unpack(fetched, folder, shown(url))
            return self._with_file(folder)
        head = _head(fetched)
        page = head.lstrip().lower().startswith(_PAGE)
        if page or b"\0" in head:
            raise SourceError(
                f"{shown(url)} is {'a web page' if page else 'binary data'}, neither a tar nor a Dockerfile",
                remedy="name the tar itself; a repository's URL ends with .git",
                reason="context-unknown",
            )
        return self._alone(self._copied(fetched), shown(url))

    def _fetched(self, url: str) -> Fetched:
        with _of_the_command_line():
            http_op(url, "")
        return Fetcher(self._store, self._host_ca).fetch(url)

    def _copied(self, blob: Path) -> Path:
        """A Dockerfile out of the store's blobs, in a folder of its own."""
        path = self._folder() / "Dockerfile"
        with storing(path):
            shutil.copyfile(blob, path)
        return path

    def _alone(self, file: Path, name: str) -> tuple[Path, Path, str]:
        """A Dockerfile without a context."""
        if self._given.file:
            raise UsageError(
                f"{name} is a Dockerfile, and so is -f", remedy="give only one of the two", reason="bad-context"
            )
        return self._folder(), file, name

    def _with_file(self, folder: Path) -> tuple[Path, Path, str]:
        """A fetched context and its Dockerfile, which is in it unless ``-f`` leads out of it."""
        if outer := self._outer_file():
            return folder, *outer
        if self._given.context != STDIN and Path(self._given.file).is_absolute():
            # buildx takes it for a file of this machine.
            return folder, Path(self._given.file), ""
        return folder, *_inner_file(folder, self._given.file)

    def _outer_file(self) -> tuple[Path, str] | None:
        """The Dockerfile, where ``-f`` names stdin or a URL."""
        name = self._given.file
        if is_url(name):
            return self._copied(self._store.blob(self._fetched(name).digest)), shown(name)
        if name != STDIN:
            return None
        path = self._folder() / "Dockerfile"
        with storing(path), path.open("xb") as file:
            _copy(self._stdin, file)
        return path, "stdin"

    def named(self) -> tuple[dict[str, str], dict[str, Path]]:
        """The named contexts: what each is, and where the folders are."""
        sources: dict[str, str] = {}
        folders: dict[str, Path] = {}
        for name, value in self._given.named.items():
            if value.startswith((IMAGE, LAYOUT)):
                sources[name] = value
                continue
            identifier = f"{LOCAL}{'_' if name == 'context' else ''}{name}"
            folders[identifier] = self._named_folder(value)
            sources[name] = identifier
        return sources, folders

    def _named_folder(self, value: str) -> Path:
        if Path(value).is_dir():
            return Path(value)
        if source := _git(value):
            return self._cloned(source)
        if not is_url(value):
            _no_other_url(value)
            return Path(value)
        fetched, folder = self._fetched(value), self._folder()
        # One file, not unpacked. BuildKit's has the URL's name, and since 2026 this one: so either will be found.
        path = folder / "context"
        with storing(path):
            put_fetched(self._store, fetched, path)
            if (name := http_op(value, "")[1]) != path.name:
                os.link(path, folder / name)
        return folder

    def _cloned(self, source: GitSource) -> Path:
        folder = self._folder()
        git = Git(self._host_ca, self._given.ssh_agent)
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
    with _of_the_command_line():
        return git_source(f"https://{text}" if text.startswith("github.com/") else text)


@contextmanager
def _of_the_command_line() -> Iterator[None]:
    """What is wrong with a URL is not the Dockerfile's fault here. Raises UsageError."""
    try:
        yield
    except DockerfileError as error:
        secret = error.reason == "password-in-url"
        remedy = "download it, and give it as a folder or on stdin" if secret else error.remedy
        raise UsageError(error.message, remedy=remedy, reason=error.reason) from None


def _no_other_url(text: str) -> None:
    scheme, separator, _ = text.partition("://")
    if separator and "/" not in scheme:
        raise SourceError(
            f"the context {shown(text)} is of a kind that is not known",
            remedy="name a folder, a repository, an archive's http:// or https:// URL, or - for stdin",
            reason="context-unknown",
        )


def _default_file(folder: Path) -> Path:
    # A folder that may not be entered is told when the file is read.
    return next((folder / name for name in _DEFAULT if os.path.isfile(folder / name)), folder / _DEFAULT[0])


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


def _is_packed(path: Path) -> bool:
    """Whether a file is a tar, or is compressed and so can be nothing else that is of use."""
    return is_archive(os.fspath(path)) or _head(path).startswith(_PACKED)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _unpack(archive: Path, folder: Path, name: str) -> None:
    """``name`` is what errors call the context. Raises SourceError (``bad-archive``)."""
    try:
        with storing(folder):
            # Whose a file is does not matter in a context.
            unpack(os.fspath(archive), folder, os.fspath(folder), (os.geteuid(), os.getegid()), lambda text: None)
    except SourceError as error:
        why = error.message.removeprefix(f"the archive {archive.name} cannot be unpacked: ")
        raise SourceError(
            f"the context {name} cannot be unpacked: {why}",
            remedy="make it again, as in: tar -cz . >context.tar.gz",
            reason="bad-archive",
        ) from error
    folder.chmod(0o755)
