"""Where an output goes: a file or a folder that gets its name when it is whole, or stdout, a pipe, a device.

Whatever ends the block early, an error or a signal, leaves what was at the destination before and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from xxpy.build.disk import open_descriptor, storing, sync_directory
from xxpy.build.engine.namespace import undisturbed
from xxpy.build.engine.rooted import remove_tree
from xxpy.errors import StoreError

ELSEWHERE = "name another dest="


@contextlib.contextmanager
def output_file(dest: str, *, own: bool = True) -> Iterator[IO[bytes]]:
    """The file ``dest`` for writing. It is replaced when the block has ended well.

    A pipe, a device or what is open (``/dev/stdout``) is written to, and a link is written through, where the folder is
    our ``own``; in one that others write to they are replaced.

    Raises StoreError (``disk-full``, ``store-unwritable``); BrokenPipeError where stdout's reader is gone.
    """
    if dest == "-":
        with _told(Path("stdout")):
            yield sys.stdout.buffer
            sys.stdout.flush()
        return
    path = Path(dest)
    with _told(path):
        if own and (number := open_descriptor(path)) >= 0:
            with os.fdopen(os.dup(number), "wb") as file:
                yield file
            return
        if own and _is_special(path):
            with path.open("wb") as file:
                yield file
            return
        # A link is written through, as with any tool that opens its output.
        path = Path(os.path.realpath(path)) if own else path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
            sync_directory(path.parent)
        finally:
            with undisturbed():
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def output_folder(dest: str) -> Iterator[Path]:
    """A new folder that takes the place of the folder ``dest``, if that is there, when the block has ended well.

    Raises StoreError (``disk-full``, ``store-unwritable``).
    """
    # A link is written through, as with any tool that opens its output.
    path = Path(os.path.realpath(dest))
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path)
        try:
            temporary.mkdir()
            yield temporary
            with undisturbed():
                _exchange(temporary, path)
                sync_directory(path.parent)
        finally:
            with undisturbed():
                if temporary.is_dir():
                    remove_tree(temporary)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        with storing(path, ELSEWHERE):
            yield
    except Exception as error:
        # Not a failure: `xx build -o - | head`.
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None
        raise


def _is_special(path: Path) -> bool:
    """Whether it is a pipe or a device (``/dev/stdout``, ``>(cmd)``): those are written to and never replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")


def _exchange(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.rename(temporary, path)
        return
    if not path.is_dir():
        # Somebody has put it there since the build began.
        raise StoreError(
            f"{path} is a file, and a folder was to be written", remedy=ELSEWHERE, reason="store-unwritable"
        )
    old = _beside(path)
    os.rename(path, old)
    os.rename(temporary, path)
    remove_tree(old)
