"""What caches of others answer: looked up when the store's own records do not, fetched before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from xxpy.build.graph import Digest
from xxpy.build.remotecache.entries import Entries, OtherVersion, Packed, Result
from xxpy.build.remotecache.places import Place
from xxpy.build.store import Store
from xxpy.errors import XxError

_AT_ONCE = 6


class Importer:
    """The results of ``sources``, each a name for people and a place. Nothing is read before it is asked for.

    ``warn`` is told of each that is of no use: a cache that cannot be had costs time and nothing else.
    """

    def __init__(self, store: Store, sources: Sequence[tuple[str, Place]], warn: Callable[[str], None]) -> None:
        self._store = store
        self._sources = sources
        self._warn = warn
        self._lost: set[Digest] = set()

    @cached_property
    def _entries(self) -> list[tuple[Place, Entries]]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = list(pool.map(self._read, self._sources))
        return [(place, entries) for (_, place), entries in zip(self._sources, read, strict=True)]

    def _read(self, source: tuple[str, Place]) -> Entries:
        name, place = source
        try:
            entries = place.read()
        except OtherVersion as error:
            self._warn(f"the cache {name} is left alone: {error}")
        except XxError as error:
            self._warn(f"the cache {name} cannot be read: {error.message}")
        else:
            if not entries.results:
                self._warn(f"the cache {name} has nothing yet")
            return entries
        return Entries()

    def find(self, key: Digest) -> Result | None:
        """The result of ``key``; None where no source has it, or a layer of it could not be had."""
        found = next((entries.results[key] for _, entries in self._entries if key in entries.results), None)
        return None if found is None or self._lost & set(found.chain) else found

    def layer(self, diff_id: Digest) -> Packed | None:
        """Where a layer is that a source has."""
        return next((entries.layers[diff_id] for _, entries in self._entries if diff_id in entries.layers), None)

    def fetch(self, diff_ids: Iterable[Digest]) -> bool:
        """Have the blobs of layers in the store. False if one is not to be had, which no result counts for then."""
        wanted = [each for each in dict.fromkeys(diff_ids) if each not in self._lost]
        with ThreadPoolExecutor(min(_AT_ONCE, (os.cpu_count() or 1) * 2)) as pool:
            lost = [each for each, there in zip(wanted, pool.map(self._fetch, wanted), strict=True) if not there]
        self._lost.update(lost)
        return not lost

    def _fetch(self, diff_id: Digest) -> bool:
        last = ""
        for place, entries in self._entries:
            packed = entries.layers.get(diff_id)
            if packed is None:
                continue
            if self._store.has(packed.descriptor.digest):
                return True
            try:
                place.fetch(packed.descriptor, self._store)
            except XxError as error:
                last = error.message
            else:
                return True
        self._warn(f"a layer of the cache is not to be had: {last or f'no source has {diff_id}'}")
        return False


def layers_of(results: Mapping[Digest, tuple[Digest, Result]]) -> set[Digest]:
    """The diff IDs of all layers that the results of vertices are made of."""
    return {diff_id for _, result in results.values() for diff_id in result.chain}
