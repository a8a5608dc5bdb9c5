"""COPY, WORKDIR and here-document files, done on a mounted root."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.dockerfile.ignore import has_wildcard, match
from xxpy.build.engine.rooted import inside
from xxpy.build.engine.users import resolve_owner
from xxpy.build.graph import CopyAction, FileAction, MakeFileAction, MkdirAction
from xxpy.errors import SourceError

Walk = Callable[[str], Iterable[tuple[str, os.stat_result]]]


@dataclass(frozen=True)
class Origin:
    """What a COPY reads: ``select`` turns a source into paths of ``root``, ``walk`` lists what is at a path."""

    root: Path
    select: Callable[[str], list[str]]
    walk: Walk


def tree_origin(root: Path) -> Origin:
    """A stage or an image as an `Origin`."""
    return Origin(root, lambda source: _select(root, source), lambda path: _walk(root, path))


def _select(root: Path, source: str) -> list[str]:
    parts = [part for part in source.split("/") if part not in ("", ".")]
    if not has_wildcard(source):
        real = inside(root, "/".join(parts))
        found = os.path.relpath(real, root)
        return [("" if found == "." else found)] if os.path.lexists(real) else []
    level = [""]
    for part in parts:
        following = []
        for folder in level:
            real = inside(root, folder)
            names = os.listdir(real) if os.path.isdir(real) else []
            base = os.path.relpath(real, root)
            prefix = "" if base == "." else f"{base}/"
            following += [prefix + name for name in names if match(part, name)]
        level = following
    return sorted(level)


def _walk(root: Path, start: str) -> Iterable[tuple[str, os.stat_result]]:
    stack = [start]
    while stack:
        path = stack.pop()
        full = os.path.join(root, path)
        info = os.lstat(full)
        yield path, info
        if stat.S_ISDIR(info.st_mode):
            names = sorted(os.listdir(full), reverse=True)
            stack += [f"{path}/{name}" if path else name for name in names]


def apply(actions: Iterable[FileAction], root: Path, origin: Callable[[int], Origin]) -> None:
    """Do ``actions`` on ``root`` in order; ``origin`` gives what an input is read from.

    Raises SourceError (``copy-source-missing``, ``copy-onto-folder``, ``user-unknown``) and OSError.
    """
    for action in actions:
        if isinstance(action, CopyAction):
            _copy(action, root, origin(action.source))
        elif isinstance(action, MkdirAction):
            _make_folders(root, action.path, _owner(root, action.owner))
        else:
            _write(action, root)


def _owner(root: Path, text: str) -> tuple[int, int] | None:
    if not text:
        return None
    return (0, 0) if text == "0:0" else resolve_owner(root, text)


def _make_folders(root: Path, path: str, owner: tuple[int, int] | None) -> str:
    """The real path of folder ``path``, made with its parents (0755) where it is not there."""
    real = inside(root, path)
    missing = []
    here = real
    while not os.path.lexists(here):
        missing.append(here)
        here = os.path.dirname(here)
    if not os.path.isdir(here):
        raise SourceError(
            f"{path} cannot be a folder: {here.removeprefix(str(root))} is a file",
            remedy="remove it in a RUN above, or take another name",
            reason="copy-onto-file",
        )
    for folder in reversed(missing):
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        if owner is not None:
            os.chown(folder, *owner)
    return real


def _write(action: MakeFileAction, root: Path) -> None:
    owner = _owner(root, action.owner)
    _make_folders(root, os.path.dirname(action.path), owner)
    real = inside(root, action.path)
    if os.path.isdir(real):
        raise _onto_folder(action.path)
    with open(real, "w", encoding="utf-8", newline="") as file:
        file.write(action.data)
    os.chmod(real, action.mode)
    if owner is not None:
        os.chown(real, *owner)


def _onto_folder(path: str) -> SourceError:
    return SourceError(
        f"{path} is a folder, a file cannot take its place",
        remedy="end the destination with a slash to copy into it",
        reason="copy-onto-folder",
    )


def _copy(action: CopyAction, root: Path, origin: Origin) -> None:
    owner = _owner(root, action.owner)
    count = 0
    for source in action.sources:
        paths = origin.select(source)
        if not paths and not has_wildcard(source):
            raise _missing(source)
        several = len(paths) > 1 or len(action.sources) > 1
        for path in paths:
            _copy_one(action, root, origin, path, owner, several=several)
        count += len(paths)
    if not count:
        raise _missing(" ".join(action.sources))


def _missing(source: str) -> SourceError:
    return SourceError(
        f"COPY's source {source} is not there",
        remedy="see what the stage it comes from leaves there",
        reason="copy-source-missing",
    )


def _copy_one(
    action: CopyAction, root: Path, origin: Origin, path: str, owner: tuple[int, int] | None, *, several: bool
) -> None:
    top = os.lstat(origin.root / path)
    if stat.S_ISSOCK(top.st_mode):
        raise SourceError(f"{path} is a socket, which cannot be copied", remedy="leave it out", reason="copy-socket")
    if stat.S_ISDIR(top.st_mode):
        target = _make_folders(root, action.dest, owner)
    else:
        into = action.dest.endswith("/") or several or os.path.isdir(inside(root, action.dest))
        dest = f"{action.dest.rstrip('/')}/{os.path.basename(path)}" if into else action.dest
        _make_folders(root, os.path.dirname(dest), owner)
        target = inside(root, dest, follow=False)
    cut = len(path) + 1 if path else 0
    folders: list[tuple[str, os.stat_result]] = []
    for name, info in origin.walk(path):
        relative = name[cut:] if name != path else ""
        full = os.path.join(target, relative) if relative else target
        if stat.S_ISDIR(info.st_mode):
            if relative or not os.path.isdir(full):
                _place_folder(full, info, action, owner)
            folders.append((full, info))
        else:
            # What .dockerignore brings back of an excluded folder needs that folder.
            if relative and not os.path.isdir(os.path.dirname(full)):
                os.makedirs(os.path.dirname(full), 0o755)
            _place(os.path.join(origin.root, name), full, info, action, owner)
    for full, info in reversed(folders):
        if full != target:
            os.utime(full, ns=(info.st_atime_ns, info.st_mtime_ns))


def _place_folder(full: str, info: os.stat_result, action: CopyAction, owner: tuple[int, int] | None) -> None:
    if os.path.lexists(full) and (os.path.islink(full) or not os.path.isdir(full)):
        os.unlink(full)
    if not os.path.isdir(full):
        os.mkdir(full)
    os.chown(full, *(owner or (info.st_uid, info.st_gid)))
    os.chmod(full, stat.S_IMODE(info.st_mode) if action.mode < 0 else action.mode)


def _place(source: str, full: str, info: os.stat_result, action: CopyAction, owner: tuple[int, int] | None) -> None:
    """Put one file that is no folder at ``full``, which is first removed whatever it is."""
    if os.path.lexists(full):
        if os.path.isdir(full) and not os.path.islink(full):
            raise _onto_folder(action.dest)
        os.unlink(full)
    mode = info.st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), full)
    elif stat.S_ISREG(mode):
        _copy_content(source, full)
    elif stat.S_ISSOCK(mode):
        return
    else:
        os.mknod(full, mode, info.st_rdev)
    os.chown(full, *(owner or (info.st_uid, info.st_gid)), follow_symlinks=False)
    if not stat.S_ISLNK(mode):
        os.chmod(full, stat.S_IMODE(mode) if action.mode < 0 else action.mode)
        _copy_xattrs(source, full)
    os.utime(full, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def _copy_content(source: str, full: str) -> None:
    # O_NOFOLLOW and O_NONBLOCK: the file may have become a link or a FIFO since it was looked at.
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as taken, open(full, "xb") as given:
        shutil.copyfileobj(taken, given, 1 << 20)


def _copy_xattrs(source: str, full: str) -> None:
    for name in os.listxattr(source, follow_symlinks=False):
        if name.startswith("user.overlay.") or not name.startswith(("user.", "security.capability")):
            continue
        os.setxattr(full, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
