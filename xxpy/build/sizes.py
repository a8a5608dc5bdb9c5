"""How much of its disk a store takes, without a walk through it: what a snapshot takes is measured once.

A snapshot never changes, so ``files/sizes.json`` has its size for good. That of a cache mount is measured again after
it was used. Sizes are bytes of the blocks that files take on the disk; what has several names in a tree counts once.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from xxpy.build.engine.caches import ABOUT
from xxpy.build.store import Store
from xxpy.errors import StoreError

_BLOCK = 512
_OFTEN = 600
"""Seconds in which a cache mount that is used by one build after the other is not measured again after a build."""


@dataclass
class Sizes:
    """Bytes of each snapshot by name, and of each cache mount with the seconds since 1970 when it was measured."""

    snapshots: dict[str, int] = field(default_factory=dict)
    caches: dict[str, tuple[int, float]] = field(default_factory=dict)


def known_sizes(store: Store) -> Sizes:
    """What was measured before; nothing where the file is not there or not whole."""
    try:
        value = json.loads((store.files / "sizes.json").read_bytes())
        return Sizes(
            {str(name): int(size) for name, size in value["snapshots"].items()},
            {str(name): (int(size), float(at)) for name, (size, at) in value["caches"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Sizes()


def lacking(store: Store, sizes: Sizes, patience: float = 0.0) -> bool:
    """Whether `measure` would find anything to measure."""
    snapshots, caches = _unmeasured(store, sizes, patience)
    return bool(snapshots or caches)


def measure(store: Store, patience: float = _OFTEN) -> Sizes:
    """Measure what is new and forget what is gone; all sizes. To be called where files of all owners can be read.

    A cache mount that was measured in the last ``patience`` seconds is left for later.
    """
    sizes = known_sizes(store)
    snapshots, caches = _unmeasured(store, sizes, patience)
    found = {name: tree_size(store.snapshots / name) for name in snapshots}
    again = {name: (tree_size(store.caches / name), time.time()) for name in caches}
    # What another build has measured meanwhile is kept. A full disk is no reason to fail.
    with contextlib.suppress(StoreError), store.lock("sizes"):
        sizes = known_sizes(store)
        there = set(_names(store.snapshots))
        sizes.snapshots = {name: size for name, size in (sizes.snapshots | found).items() if name in there}
        mounts = set(_names(store.caches))
        sizes.caches = {name: each for name, each in (sizes.caches | again).items() if name in mounts}
        store.put_file("sizes.json", json.dumps({"snapshots": sizes.snapshots, "caches": sizes.caches}).encode())
    return sizes


def _unmeasured(store: Store, sizes: Sizes, patience: float) -> tuple[list[str], list[str]]:
    until = time.time() - patience
    stale = []
    for name in _names(store.caches):
        at = sizes.caches.get(name, (0, 0.0))[1]
        if at <= until and at <= used_at(store.caches / name / ABOUT) / 1e9:
            stale.append(name)
    return [name for name in _names(store.snapshots) if name not in sizes.snapshots], stale


def used_at(path: Path) -> int:
    """Nanoseconds since 1970 at which a file was used last, 0 where it is not there."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def tree_size(folder: Path) -> int:
    """Bytes that a folder with all in it takes on the disk; what cannot be read counts for nothing."""
    total = 0
    several: set[tuple[int, int]] = set()
    todo = [os.fspath(folder)]
    while todo:
        here = todo.pop()
        with contextlib.suppress(OSError):
            total += os.lstat(here).st_blocks
            for entry in os.scandir(here):
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                    continue
                info = entry.stat(follow_symlinks=False)
                if info.st_nlink > 1:
                    if (info.st_dev, info.st_ino) in several:
                        continue
                    several.add((info.st_dev, info.st_ino))
                total += info.st_blocks
    return total * _BLOCK


def files_size(folder: Path) -> int:
    """Bytes on the disk of the files that are in a folder of the store itself."""
    total = 0
    for entry in list(os.scandir(folder)):
        with contextlib.suppress(OSError):
            total += entry.stat(follow_symlinks=False).st_blocks
    return total * _BLOCK
