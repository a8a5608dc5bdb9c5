"""The size that a store's cache is kept below: what a build leaves over it is collected, the oldest first."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping

from xxpy.build.naming import human_size
from xxpy.build.runsettings import parse_size
from xxpy.build.sizes import files_size, known_sizes
from xxpy.build.store import Store
from xxpy.errors import UsageError

LIMIT_VARIABLE = "XX_STORE_LIMIT"
_LEFT_OVER = "left-over.json"

_LEAST = 10 << 30
"""Bytes that the cache may have on any disk, unless that is more than half of it."""


def parse_limit(text: str, disk: int) -> int | None:
    """``20g``, ``15%`` of a disk of ``disk`` bytes, ``off`` for none; empty for the default, a tenth.

    Raises UsageError (``bad-limit``).
    """
    if not text:
        return min(max(disk // 10, _LEAST), disk // 2)
    if text.lower() == "off":
        return None
    if match := re.fullmatch(r"([0-9]{1,3})%", text):
        return disk * min(int(match[1]), 100) // 100
    try:
        return parse_size(text, LIMIT_VARIABLE)
    except UsageError:
        raise UsageError(
            f"{LIMIT_VARIABLE}={text[:40]} is no limit", remedy="write 20g, 15% or off", reason="bad-limit"
        ) from None


def store_limit(store: Store, environment: Mapping[str, str] = os.environ) -> int | None:
    """Bytes that the cache of ``store`` may take, None for any number. Raises UsageError (``bad-limit``)."""
    return parse_limit(environment.get(LIMIT_VARIABLE, ""), shutil.disk_usage(store.root).total)


def probable_size(store: Store) -> int:
    """Bytes of snapshots, blobs and cache mounts as they were last measured; no tree is walked."""
    sizes = known_sizes(store)
    there = {*os.listdir(store.snapshots), *os.listdir(store.caches)}
    trees = [*sizes.snapshots.items(), *((name, size) for name, (size, _) in sizes.caches.items())]
    return sum(size for name, size in trees if name in there) + files_size(store.blobs)


def keep_below(store: Store, limit: int | None, tell: Callable[[str], None]) -> None:
    """Collect the least recently used of ``store`` where it is over ``limit`` bytes, down to nine tenths of that.

    Nothing that a build uses goes, the caller's own included, and no image that has a name. What is done is told to
    ``tell``; nothing is where another build is at it. Raises StoreError, HostError, Interrupted.
    """
    if limit is None or probable_size(store) <= max(limit, _left_over(store) + limit // 20):
        return
    with store.try_lock("collect") as ours:
        if ours:
            _collect(store, limit, tell)
            store.put_file(_LEFT_OVER, json.dumps({"bytes": probable_size(store)}).encode())


def _collect(store: Store, limit: int, tell: Callable[[str], None]) -> None:
    # Nearly all builds end below the limit and do without these.
    from xxpy.build.collect import collect, inventory_of
    from xxpy.build.prune import Limits, cache_size, plan

    inventory = inventory_of(store)
    going = plan(inventory, Limits(keep=limit // 10 * 9, everything=True), time.time_ns())
    if going.items and cache_size(inventory) > limit:
        tell(f"the store's cache is over its limit of {human_size(limit)}: removing what was used least recently")
        done = collect(store, inventory, going)
        tell(f"removed {human_size(done.size)} ({LIMIT_VARIABLE} sets the limit)")


def _left_over(store: Store) -> int:
    """What was left when the store was last looked through: images, and what builds used. No look is taken before it
    has grown."""
    try:
        return int(json.loads((store.files / _LEFT_OVER).read_bytes())["bytes"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
