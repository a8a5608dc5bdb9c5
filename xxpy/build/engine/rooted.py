"""Paths inside a root: symbolic links are followed as if that root were ``/``, so none leads out of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from xxpy.errors import SourceError

_LINKS = 40


def inside(root: Path, path: str, *, follow: bool = True) -> str:
    """Where ``path`` of ``root`` really is, as a path of this process; it need not exist.

    ``follow`` says whether a link at the end is followed. Raises SourceError (``too-many-links``).
    """
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done[-1:] = []
            continue
        here = os.path.join(root, *done, part)
        try:
            link = stat.S_ISLNK(os.lstat(here).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            link = False
        if link and (todo or follow):
            links += 1
            if links > _LINKS:
                raise SourceError(f"{path} leads through more than {_LINKS} links", reason="too-many-links")
            target = os.readlink(here)
            if target.startswith("/"):
                done = []
            todo += [each for each in reversed(target.split("/")) if each not in ("", ".")]
            continue
        done.append(part)
    return os.path.join(root, *done)


def read_inside(root: Path, path: str, limit: int = 1 << 20) -> str:
    """The text of a regular file of ``root``, at most ``limit`` bytes; empty if there is none."""
    try:
        fd = os.open(inside(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, SourceError):
        return ""
    try:
        return os.read(fd, limit).decode(errors="replace") if stat.S_ISREG(os.fstat(fd).st_mode) else ""
    finally:
        os.close(fd)


_LONG = 1000
"""Bytes of a path from which on a folder is moved up before it is read: a path of more than 4096 is none (path(7))."""


def remove_tree(folder: Path) -> None:
    """Delete a tree, also one with folders that forbid it, however deep it is. What cannot be deleted stays."""
    top = os.fspath(folder)
    folders = [] if os.path.islink(top) else [top]
    for path in folders:
        with contextlib.suppress(OSError):
            os.chmod(path, 0o700)
        try:
            entries = list(os.scandir(path))
        except OSError:
            continue
        for entry in entries:
            with contextlib.suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                elif len(entry.path) < _LONG:
                    folders.append(entry.path)
                else:
                    moved = f"{top}/.{len(folders)}-{secrets.token_hex(4)}"
                    os.chmod(entry.path, 0o700)
                    os.rename(entry.path, moved)
                    folders.append(moved)
    for path in reversed(folders):
        with contextlib.suppress(OSError):
            os.rmdir(path)
