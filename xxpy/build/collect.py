"""Taking out of a store what a plan says: safe beside builds that begin meanwhile, and sound wherever it is killed.

A build marks what it takes as used, under the shared lock `PRUNE`; here each thing is looked at once more under that
lock alone, for as long as a few system calls take. What has been used since the inventory stays. Folders are renamed
into ``tmp/`` under the lock and deleted after it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.engine.caches import lock_of
from xxpy.build.engine.namespace import Channel, id_maps, run_inside
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.inventory import Inventory, Item, Kind, macros_of, take_inventory
from xxpy.build.prune import Going
from xxpy.build.sizes import Sizes, known_sizes, lacking, measure, used_at
from xxpy.build.store import PRUNE, Store
from xxpy.build.temporary import sweep

_GONE = "gone-"
_WORK = "work-"


@dataclass(frozen=True)
class Collected:
    """``items`` that are gone, in the plan's order, of them no records; ``spared`` were used meanwhile."""

    items: tuple[Item, ...]
    size: int
    spared: int


def inventory_of(store: Store) -> Inventory:
    """What is in ``store``, all of it measured. Raises StoreError, HostError, Interrupted."""
    sizes = known_sizes(store)
    if lacking(store, sizes):
        # Folders of a step's own users can be read by their root alone.
        sizes = run_inside(lambda channel: measure(store, 0.0), lambda value: None, id_maps())
        assert isinstance(sizes, Sizes)
    return take_inventory(store, sizes)


def collect(store: Store, inventory: Inventory, going: Going) -> Collected:
    """Remove ``going``, which was planned on ``inventory``.

    Raises StoreError, HostError, Interrupted: what has gone until then is gone, and the store sound.
    """
    done: list[Item] = []

    def work(channel: Channel) -> int:
        return remove_all(store, inventory, going, lambda item: channel.send(("value", item)))

    spared = run_inside(work, done.append, id_maps())
    assert isinstance(spared, int)
    return Collected(tuple(item for item in done if not item.record), sum(item.size for item in done), spared)


def remove_all(store: Store, inventory: Inventory, going: Going, gone: Callable[[Item], None]) -> int:
    """What `collect` does as root of a namespace in which all owners of the files are known; how much was spared."""
    remover = _Remover(store, inventory)
    for item in going.items:
        if remover.remove(item):
            gone(item)
    remover.clear()
    return sum(not item.record for item in remover.spared)


class _Remover:
    def __init__(self, store: Store, inventory: Inventory) -> None:
        self._store = store
        self._items = inventory.items
        self._referrers = inventory.referrers()
        self._gone: set[str] = set()
        self.spared: list[Item] = []
        """What was used meanwhile."""
        self._number = 0
        self._clear_old()

    def remove(self, item: Item) -> bool:
        """Take ``item`` out unless it, or what refers to it, is used meanwhile; whether it was taken out here."""
        if item.kind is Kind.CACHE:
            return self._remove_cache(item)
        with self._store.lock(PRUNE):
            if not self._untouched(item):
                self.spared.append(item)
                return False
            self._gone.add(item.id)
            taken = self._take(item)
        if item.kind is Kind.SNAPSHOT:
            self.clear()
            remove_tree(macros_of(self._store, item.id))
        elif item.record:
            self._store.drop_lock(f"sha256:{item.id}")
        return taken

    def _untouched(self, item: Item) -> bool:
        todo, seen = [item.id], set()
        while todo:
            name = todo.pop()
            if name in seen or name in self._gone:
                continue
            seen.add(name)
            one = self._items[name]
            # What is not there any more was removed by another that prunes.
            if one.stamp and used_at(self._file(one)) not in (0, one.stamp):
                return False
            todo += self._referrers.get(name, ())
        return True

    def _file(self, item: Item) -> Path:
        if item.record:
            return self._store.records / item.id[:2] / f"{item.id}.json"
        return self._store.blob(item.id)

    def _take(self, item: Item) -> bool:
        try:
            if item.kind is Kind.SNAPSHOT:
                self._put_aside(self._store.snapshots / item.id)
            else:
                os.unlink(self._file(item))
        except FileNotFoundError:
            # Somebody else who prunes was faster.
            return False
        return True

    def _remove_cache(self, item: Item) -> bool:
        with self._store.try_lock(lock_of(item.id)) as ours:
            if not ours:
                self.spared.append(item)
                return False
            try:
                self._put_aside(self._store.caches / item.id)
            except FileNotFoundError:
                return False
        self.clear()
        self._store.drop_lock(lock_of(item.id))
        return True

    def _put_aside(self, folder: Path) -> None:
        self._number += 1
        os.rename(folder, self._store.tmp / f"{_GONE}{os.getpid()}-{time.time_ns()}-{self._number}")

    def clear(self) -> None:
        """Delete what was put aside, here or by one that was killed."""
        for entry in list(os.scandir(self._store.tmp)):
            if entry.name.startswith(_GONE):
                remove_tree(Path(entry.path))

    def _clear_old(self) -> None:
        """Remove the drafts of dead builds, the locks of those, and what there is of blobs that nobody pulls now."""
        sweep(self._store.tmp, partial_lasts=0.0)
        for entry in list(os.scandir(self._store.tmp)):
            if entry.name.startswith(_WORK):
                with self._store.try_lock(entry.name) as dead:
                    if dead:
                        remove_tree(Path(entry.path))
        for entry in list(os.scandir(self._store.locks)):
            if entry.name.startswith(_WORK) and not (self._store.tmp / entry.name).exists():
                self._store.drop_lock(entry.name)
