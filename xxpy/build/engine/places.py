"""Where files go in a root: folders that are made on the way, whose they are, and what cannot take a place."""

from __future__ import annotations

import os
from pathlib import Path

from xxpy.build.engine.rooted import inside
from xxpy.build.engine.users import resolve_owner
from xxpy.errors import SourceError

Owner = tuple[int, int]


def owner_in(root: Path, text: str) -> Owner | None:
    """The ids of ``--chown`` in ``root``, None for empty text. Raises SourceError (``user-unknown``)."""
    if not text:
        return None
    return (0, 0) if text == "0:0" else resolve_owner(root, text)


def make_folders(root: Path, path: str, owner: Owner | None) -> str:
    """The real path of folder ``path``, made with its parents (0755) where it is not there.

    Raises SourceError (``copy-onto-file``).
    """
    real = inside(root, path)
    missing = []
    here = real
    while not os.path.lexists(here):
        missing.append(here)
        here = os.path.dirname(here)
    if not os.path.isdir(here):
        raise onto_file(root, here)
    for folder in reversed(missing):
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        if owner is not None:
            os.chown(folder, *owner)
    return real


def onto_file(root: Path, path: str) -> SourceError:
    """The error for a folder that should be where a file is; ``path`` is one of this process."""
    shown = path.removeprefix(os.fspath(root))
    what = "a symbolic link" if os.path.islink(path) else "a file"
    return SourceError(
        f"{shown} cannot be a folder: it is {what}",
        remedy=f"remove {shown} in a RUN above, or copy to where it leads",
        reason="copy-onto-file",
    )


def onto_folder(path: str) -> SourceError:
    """The error for a file that should be where a folder is."""
    return SourceError(
        f"{path} is a folder, a file cannot take its place",
        remedy="end the destination with a slash to copy into it",
        reason="copy-onto-folder",
    )
