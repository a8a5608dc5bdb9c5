"""What stays of a cache that a build adds to: all of it, or what builds have used last."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xxpy.build.graph import Digest
from xxpy.build.remotecache.entries import Entries, Packed, Result

MOST_RESULTS, MOST_LINKS = 10_000, 60_000
"""Results of a cache, and layers that these name together: its config stays below the bytes that are read of one."""
RECENT = 3600
"""Seconds for which what a build has used stays in any case: others add at the same time."""


@dataclass(frozen=True)
class Addition:
    """The ``entries`` that a build adds.

    ``steps`` are the cache keys of all its steps: what the cache has of them is in use, though nothing was needed of it
    this time. ``now`` is in seconds since 1970, ``keep`` the bytes that the cache's layers may take, None for any.
    """

    entries: Entries
    steps: frozenset[Digest]
    now: int
    keep: int | None = None

    def to(self, there: Entries) -> Entries:
        """The cache ``there`` with these in it. What was used longest ago goes where there is too much."""
        both = self.entries.over(there)
        results = {key: replace(result, used=self._used(key, result)) for key, result in both.results.items()}
        return self._kept(Entries(results, both.layers))

    def _used(self, key: Digest, result: Result) -> int:
        if key in self.entries.results or key in self.steps:
            return self.now
        # Of a machine whose clock is ahead.
        return min(result.used, self.now)

    def _kept(self, entries: Entries) -> Entries:
        results: dict[Digest, Result] = {}
        layers: dict[Digest, Packed] = {}
        size = links = 0
        for key, result in sorted(entries.results.items(), key=lambda each: (-each[1].used, each[0])):
            new = {name: entries.layers[name] for name in result.chain if name in entries.layers and name not in layers}
            size += sum(packed.descriptor.size for packed in new.values())
            links += len(result.chain)
            over = self.keep is not None and size > self.keep and result.used < self.now - RECENT
            if over or len(results) == MOST_RESULTS or links > MOST_LINKS:
                break
            results[key] = result
            layers.update(new)
        return Entries(results, layers)
