"""The folder of a build that is running: its drafts, and what it has fetched."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from xxpy.build.engine import syscalls
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.store import Store

_WORK = "work-"
BINFMT, EXEC = "binfmt", "exec"
"""The folders in a build's own on which its binfmt_misc instance and the executor's tmpfs are mounted."""


@contextlib.contextmanager
def work_folder(store: Store) -> Iterator[Path]:
    """A folder for this build's drafts, locked while it lives; those of dead builds are removed first."""
    for entry in list(os.scandir(store.tmp)):
        if entry.name.startswith(_WORK):
            with store.try_lock(entry.name) as ours:
                if ours:
                    remove_tree(Path(entry.path))
    name = f"{_WORK}{secrets.token_hex(6)}"
    with store.lock(name):
        folder = store.tmp / name
        folder.mkdir()
        try:
            yield folder
        finally:
            for name in (BINFMT, EXEC):
                with contextlib.suppress(OSError):
                    syscalls.umount(str(folder / name), syscalls.MNT_DETACH)
            remove_tree(folder)
            with contextlib.suppress(OSError):
                os.unlink(store.locks / name)
