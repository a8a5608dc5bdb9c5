"""Snapshots: each vertex's changes in a folder of its own, laid over each other by overlayfs.

A chain is the folders from the lowest up. Folder names are short and relative, because the kernel takes at most one
page of mount options (mount(2)); the worker's current directory is the store's ``snapshots``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.engine import syscalls
from xxpy.build.engine.rooted import remove_tree
from xxpy.errors import HostError

Chain = tuple[str, ...]


def new_id() -> str:
    """A name for a new snapshot: 16 hex digits."""
    return secrets.token_hex(8)


def whole(snapshots: Path, chain: Chain) -> bool:
    """Whether every folder of ``chain`` is still there."""
    return all((snapshots / name).is_dir() for name in chain)


def laid_over(*chains: Chain) -> Chain:
    """Chains over each other, the first lowest.

    A folder that is there twice counts where it is highest: it hides itself below, and overlayfs takes none twice.
    """
    folders = [name for chain in chains for name in chain]
    return tuple(reversed(dict.fromkeys(reversed(folders))))


@dataclass
class Draft:
    """A snapshot in the making: ``upper`` gets the changes, ``merged`` shows them over the chain while mounted."""

    folder: Path
    chain: Chain
    mounted: bool = False

    def unmount(self) -> None:
        """Take the overlay away; the changes are then all in ``upper``. Raises OSError."""
        if self.mounted:
            syscalls.umount(str(self.merged), syscalls.MNT_DETACH)
            self.mounted = False

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def merged(self) -> Path:
        return self.folder / "merged"


@contextlib.contextmanager
def draft(work: Path, chain: Chain) -> Iterator[Draft]:
    """An overlay over ``chain`` while the block runs; unmounted after it, its folder removed unless kept.

    Raises OSError.
    """
    made = Draft(work / secrets.token_hex(4), chain)
    for folder in (made.folder, made.upper, made.merged, made.folder / "work", made.folder / "none"):
        folder.mkdir()
    made.upper.chmod(0o755)
    try:
        # overlayfs wants a lower folder also for what begins from nothing.
        lower = ":".join(reversed(chain)) or str(made.folder / "none")
        if chain:
            _copy_root(made, Path(chain[-1]))
        data = f"lowerdir={lower},upperdir={made.upper},workdir={made.folder}/work,userxattr,volatile"
        _mount_overlay(made.merged, data)
        made.mounted = True
        try:
            yield made
        finally:
            made.unmount()
    finally:
        remove_tree(made.folder)


def _mount_overlay(at: Path, data: str) -> None:
    """Raises HostError (``no-overlay``), and OSError for a full disk."""
    try:
        syscalls.mount("overlay", str(at), "overlay", data=data)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise HostError(
            f"overlayfs cannot be mounted over the store at {Path.cwd().parent}: {error.strerror}",
            remedy="keep the store on ext4, xfs, btrfs or a tmpfs (--store, XX_STORE); xx doctor tries it",
            reason="no-overlay",
        ) from error


def _copy_root(made: Draft, below: Path) -> None:
    info = below.stat()
    os.chown(made.upper, info.st_uid, info.st_gid)
    made.upper.chmod(stat.S_IMODE(info.st_mode))


@contextlib.contextmanager
def view(work: Path, chain: Chain) -> Iterator[Path]:
    """The tree of ``chain`` for reading."""
    if len(chain) == 1:
        yield Path(chain[0]).absolute()
        return
    folder = work / secrets.token_hex(4)
    folder.mkdir()
    if not chain:
        yield folder
        return
    _mount_overlay(folder, f"lowerdir={':'.join(reversed(chain))},userxattr")
    try:
        yield folder
    finally:
        syscalls.umount(str(folder), syscalls.MNT_DETACH)


def keep(made: Draft, snapshots: Path) -> str:
    """Give a draft that is no longer mounted its place among the snapshots; its name."""
    name = new_id()
    made.unmount()
    os.rename(made.upper, snapshots / name)
    return name
