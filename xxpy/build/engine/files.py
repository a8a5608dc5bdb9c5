"""File actions on a mounted root: COPY and ADD, WORKDIR, here-documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from xxpy.build.engine.copy import Origin, copy
from xxpy.build.engine.places import make_folders, onto_folder, owner_in
from xxpy.build.engine.rooted import inside
from xxpy.build.graph import CopyAction, FileAction, MakeFileAction, MkdirAction


def apply(
    actions: Iterable[FileAction], root: Path, origin: Callable[[int], Origin], say: Callable[[str], None]
) -> None:
    """Do ``actions`` on ``root`` in order; ``origin`` gives what an input is read from, ``say`` gets what to tell.

    Raises SourceError (``copy-source-missing``, ``copy-onto-folder``, ``copy-onto-file``, ``user-unknown``,
    ``bad-archive``) and OSError.
    """
    for action in actions:
        if isinstance(action, CopyAction):
            copy(action, root, origin(action.source), say)
        elif isinstance(action, MkdirAction):
            make_folders(root, action.path, owner_in(root, action.owner))
        else:
            _write(action, root)


def _write(action: MakeFileAction, root: Path) -> None:
    owner = owner_in(root, action.owner)
    real = inside(root, action.path)
    if action.name and os.path.isdir(real):
        real = os.path.join(real, action.name)
    make_folders(root, os.path.dirname(real).removeprefix(os.fspath(root)), owner)
    if os.path.isdir(real) and not os.path.islink(real):
        raise onto_folder(action.path)
    if os.path.lexists(real):
        os.unlink(real)
    with open(real, "x", encoding="utf-8", newline="") as file:
        file.write(action.data)
    os.chmod(real, action.mode)
    if owner is not None:
        os.chown(real, *owner)
