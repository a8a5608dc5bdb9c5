"""Cache mounts: folders of the store that outlive a build, each under a lock while a step has it.

A step writes to the folder itself. So whatever ends a build, what had been written stays.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.disk import storing
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.graph import CacheOpt, CacheSharing, digest_of, plain
from xxpy.build.store import Store

_TREE, ABOUT = "tree", "about.json"
"""In a cache's folder: what steps see, and what the cache is; the time of the latter is that of its last use."""
_STRICT = {CacheSharing.SHARED: 0, CacheSharing.PRIVATE: 1, CacheSharing.LOCKED: 2}

Fill = Callable[[Path], None]
"""Puts what a new cache begins with into an empty folder, as its ``tree``."""


@dataclass(frozen=True)
class Wanted:
    """A cache that a step wants. ``origin`` tells apart what caches of one id begin with; empty for nothing."""

    cache: CacheOpt
    origin: str = ""
    fill: Fill | None = None

    @property
    def name(self) -> str:
        """The folder's name in the store: equal for equal caches, whatever their sharing."""
        cache = self.cache
        return digest_of([cache.id, cache.mode, cache.uid, cache.gid, self.origin]).removeprefix("sha256:")[:32]


@contextlib.contextmanager
def held(store: Store, wanted: Sequence[Wanted], work: Path) -> Iterator[dict[str, Path]]:
    """The folder of each cache by its `Wanted.name`, made where it is not there, while the block runs.

    ``locked`` and ``shared`` wait for who has it alone; ``private`` waits for nobody and takes the first that is free,
    a new one if none is. ``work`` is a folder of the build's own on the store's disk. Raises StoreError.
    """
    by_name: dict[str, Wanted] = {}
    for one in wanted:
        known = by_name.get(one.name)
        if known is None or _STRICT[one.cache.sharing] > _STRICT[known.cache.sharing]:
            by_name[one.name] = one
    folders: dict[str, Path] = {}
    with contextlib.ExitStack() as stack:
        # In one order for all steps: two that want the same two caches do not wait for each other.
        for name in sorted(by_name):
            folders[name] = _hold(store, by_name[name], stack, work)
        yield folders


def _hold(store: Store, wanted: Wanted, stack: contextlib.ExitStack, work: Path) -> Path:
    name, number = wanted.name, 0
    if wanted.cache.sharing is CacheSharing.PRIVATE:
        while not stack.enter_context(store.try_lock(lock_of(name))):
            number += 1
            name = f"{wanted.name}-{number}"
    elif wanted.cache.sharing is CacheSharing.LOCKED:
        stack.enter_context(store.lock(lock_of(name)))
    else:
        stack.enter_context(store.shared_lock(lock_of(name)))
    folder = store.caches / name
    with storing(store.root):
        if not (folder / _TREE).is_dir():
            _make(folder, wanted, work)
    # The time of its last use, for whoever prunes. A full disk is no reason to do without it.
    with contextlib.suppress(OSError):
        os.utime(folder / ABOUT)
    return folder / _TREE


def lock_of(name: str) -> str:
    """The lock that a step has while it uses the cache ``name``."""
    return f"cache-{name}"


def _make(folder: Path, wanted: Wanted, work: Path) -> None:
    """Make the cache aside and give it its place; another step that shares it may have been faster."""
    made = work / f"cache-{secrets.token_hex(8)}"
    made.mkdir()
    try:
        if wanted.fill is None:
            tree = made / _TREE
            tree.mkdir()
            os.chown(tree, wanted.cache.uid, wanted.cache.gid)
            tree.chmod(wanted.cache.mode)
        else:
            wanted.fill(made)
        (made / ABOUT).write_text(json.dumps({"origin": wanted.origin, **plain(wanted.cache)}))
        try:
            os.rename(made, folder)
        except OSError:
            if not (folder / _TREE).is_dir():
                raise
    finally:
        if made.exists():
            remove_tree(made)
