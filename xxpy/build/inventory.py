"""What lies in a store: each thing with its size, its last use and what it refers to. Read, never changed.

Things refer to each other as their files say: a record to the snapshots of its chain and to blobs, an index to its
manifests, a manifest to its config and layers. What is in use keeps all that it refers to.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from xxpy.build.descriptor import is_digest
from xxpy.build.engine.caches import ABOUT, lock_of
from xxpy.build.engine.images import unpacked_key
from xxpy.build.sizes import Sizes, files_size, tree_size, used_at
from xxpy.build.store import JSON_LIMIT, Store
from xxpy.build.using import used_since

_BLOCK = 512


class Kind(Enum):
    """What a thing of the store is; the values are those of ``--filter type=``."""

    SNAPSHOT = "snapshot"
    BLOB = "blob"
    CACHE = "exec.cachemount"
    IMAGE = "image"
    """A blob of an image that has a name."""
    INTERNAL = "internal"
    """A record that says something and refers to nothing."""


@dataclass(frozen=True)
class Item:
    """One thing: ``size`` in bytes on the disk, ``used`` in nanoseconds since 1970, through whatever refers to it.

    ``stamp`` is the time that its own file has. ``refers`` has the ids of what it needs. ``needed`` says that a running
    build may use it; ``named`` that an image with a name has it; ``shared`` that a layer of such an image was made
    of it, or unpacked to it. ``record`` is true for cache records, which go with what they refer to; ``makes`` is the
    snapshot that the step of such a one has made, ``text`` what it was.
    """

    id: str
    kind: Kind
    size: int
    used: int
    refers: frozenset[str] = frozenset()
    stamp: int = 0
    needed: bool = False
    named: bool = False
    shared: bool = False
    record: bool = False
    makes: str = ""
    text: str = ""

    @property
    def reclaimable(self) -> bool:
        """Whether it may be removed at all."""
        return not self.needed and not self.named


@dataclass(frozen=True)
class Inventory:
    """All ``items`` by their ids, and the bytes of what is none: locks, drafts, the twins' programs."""

    items: Mapping[str, Item]
    other: int = 0
    since: int = 0
    """From when on, in nanoseconds since 1970, what was used counts as in use."""

    def referrers(self) -> dict[str, list[str]]:
        """For each thing that something refers to, the ids of those."""
        found: dict[str, list[str]] = {}
        for item in self.items.values():
            for name in item.refers:
                found.setdefault(name, []).append(item.id)
        return found


def take_inventory(store: Store, sizes: Sizes) -> Inventory:
    """Everything in ``store``; ``sizes`` are those of its snapshots and cache mounts. Raises StoreError."""
    # First who runs: what is used from here on has a later time.
    since = used_since(store)
    found: dict[str, Item] = {item.id: item for item in _blobs(store)}
    named = _closure(found, {descriptor.digest for _, descriptor in store.images()})
    for digest in named:
        found[digest] = replace(found[digest], kind=Kind.IMAGE, named=True)
    found |= {item.id: item for item in _snapshots(store, sizes)}
    found |= {item.id: item for item in _records(store, found, since)}
    found |= {item.id: item for item in _caches(store, sizes)}
    found = _with_uses(found)
    for item in _shared(store, found):
        found[item.id] = item
    for name in _closure(found, {item.id for item in found.values() if item.used >= since or item.needed}):
        found[name] = replace(found[name], needed=True)
    return Inventory(found, _other(store), since)


def _closure(items: Mapping[str, Item], roots: set[str]) -> set[str]:
    """``roots`` and all that they refer to, as far as it is there."""
    done: set[str] = set()
    todo = [name for name in roots if name in items]
    while todo:
        name = todo.pop()
        if name not in done:
            done.add(name)
            todo += [each for each in items[name].refers if each in items]
    return done


def _blobs(store: Store) -> Iterator[Item]:
    for entry in list(os.scandir(store.blobs)):
        with contextlib.suppress(OSError):
            info = entry.stat(follow_symlinks=False)
            parts = _parts(Path(entry.path)) if info.st_size <= JSON_LIMIT else frozenset()
            size, used = info.st_blocks * _BLOCK, info.st_mtime_ns
            yield Item(f"sha256:{entry.name}", Kind.BLOB, size, used, parts, stamp=used)


def _parts(path: Path) -> frozenset[str]:
    """The digests that a blob refers to: nothing, unless it is an index or a manifest."""
    with path.open("rb") as file:
        if file.peek(1)[:1] != b"{":
            return frozenset()
        data = file.read(JSON_LIMIT + 1)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return frozenset()
    if not isinstance(body, dict):
        return frozenset()
    lists = [body[key] for key in ("manifests", "layers") if isinstance(body.get(key), list)]
    parts = [each for some in lists for each in some] + [body.get("config")]
    found = (each.get("digest") for each in parts if isinstance(each, dict))
    return frozenset(each for each in found if isinstance(each, str) and is_digest(each))


def _snapshots(store: Store, sizes: Sizes) -> Iterator[Item]:
    for entry in list(os.scandir(store.snapshots)):
        with contextlib.suppress(OSError):
            # The time at which it came to its name (rename(2)): that of a snapshot that no record knows yet.
            made = entry.stat(follow_symlinks=False).st_ctime_ns
            size = sizes.snapshots.get(entry.name, 0) + tree_size(macros_of(store, entry.name))
            yield Item(entry.name, Kind.SNAPSHOT, size, made)


def macros_of(store: Store, snapshot: str) -> Path:
    """What steps above a snapshot keep beside it (`xxpy.build.engine.accelerate`); it goes with it."""
    return store.root / "twins" / "macros" / snapshot


def _records(store: Store, things: Mapping[str, Item], since: int) -> Iterator[Item]:
    for path in store.record_files():
        with contextlib.suppress(OSError):
            info = path.stat()
            refers, makes, text = _mentioned(_value(path))
            stamp = info.st_mtime_ns
            # One that lacks what it needs is worth nothing, unless that has come since we looked.
            used = stamp if stamp >= since or all(name in things for name in refers) else 0
            size, there = info.st_blocks * _BLOCK, refers & things.keys()
            yield Item(path.stem, Kind.INTERNAL, size, used, there, stamp=stamp, record=True, makes=makes, text=text)


def _value(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _mentioned(value: Any) -> tuple[frozenset[str], str, str]:
    """The snapshots and blobs that a record needs; the snapshot that its step has made; what that was."""
    if not isinstance(value, dict):
        return frozenset(), "", ""
    chain = [str(name) for name in value["chain"]] if isinstance(value.get("chain"), list) else []
    found = set(chain)
    if isinstance(value.get("snapshot"), str):
        found.add(value["snapshot"])
    for key in ("layer", "manifest"):
        if isinstance(value.get(key), dict):
            found.add(str(value[key].get("digest")))
    if "mtime" in value and isinstance(value.get("digest"), str):
        found.add(value["digest"])
    return frozenset(found), chain[-1] if chain else "", str(value.get("text", ""))


def layer_snapshots(store: Store) -> dict[str, str]:
    """The digests of layers that were packed here, with the snapshot that each was packed from."""
    found: dict[str, str] = {}
    for path in store.record_files():
        with contextlib.suppress(OSError):
            value = _value(path)
            if isinstance(value, dict) and isinstance(value.get("layer"), dict) and "snapshot" in value:
                found[str(value["layer"].get("digest"))] = str(value["snapshot"])
    return found


def _caches(store: Store, sizes: Sizes) -> Iterator[Item]:
    for entry in list(os.scandir(store.caches)):
        about = Path(entry.path) / ABOUT
        with store.try_lock(lock_of(entry.name)) as free:
            size = sizes.caches.get(entry.name, (0, 0.0))[0]
            # Its lock says that it is in use; a build that has used it does not need it any more.
            yield Item(entry.name, Kind.CACHE, size, used_at(about), needed=not free, text=_cache_text(about))


def _cache_text(about: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(about.read_bytes())
        if isinstance(value, dict):
            return f"cache {value.get('id', '')}"
    return ""


def _with_uses(items: Mapping[str, Item]) -> dict[str, Item]:
    """``items``, each used last when what refers to it was, if that is later than its own use."""
    known = {name for item in items.values() if item.record for name in item.refers}
    own = {name: 0 if item.kind is Kind.SNAPSHOT and name in known else item.used for name, item in items.items()}
    texts = {item.makes: item.text for item in items.values() if item.makes and item.text}
    used: dict[str, int] = {}
    for first in sorted(items, key=lambda name: own[name], reverse=True):
        todo = [first]
        while todo:
            name = todo.pop()
            if name in items and name not in used:
                used[name] = own[first]
                todo += items[name].refers
    return {name: replace(item, used=used[name], text=item.text or texts.get(name, "")) for name, item in items.items()}


def _shared(store: Store, items: Mapping[str, Item]) -> Iterator[Item]:
    """Snapshots that a named image's layers were made of, or unpacked from."""
    names: set[str] = set()
    for item in items.values():
        if item.record and any(items[name].named for name in item.refers):
            names |= item.refers
    for config in [item for item in items.values() if item.named]:
        for diff_id in _diff_ids(store, config):
            record = items.get(unpacked_key(diff_id).removeprefix("sha256:"))
            names |= record.refers if record is not None else set()
    for name in names:
        if items[name].kind is Kind.SNAPSHOT:
            yield replace(items[name], shared=True)


def _diff_ids(store: Store, blob: Item) -> list[str]:
    """Of the blob of an image, the digests of its unpacked layers if it is a config."""
    if blob.refers or blob.size > JSON_LIMIT:
        return []
    try:
        with store.blob(blob.id).open("rb") as file:
            body = json.loads(file.read(JSON_LIMIT)) if file.peek(1)[:1] == b"{" else {}
        return [each for each in body["rootfs"]["diff_ids"] if isinstance(each, str)]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return []


def _other(store: Store) -> int:
    folders = [store.files, store.locks, store.root / "twins"]
    return sum(files_size(folder) for folder in folders if folder.is_dir()) + tree_size(store.tmp)
