"""Results of caches that the build was given: which it takes, and how they become snapshots.

What they need is fetched before anything runs, so that a cache that cannot be had is only a reason to run the steps.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xxpy.build.engine.cache import Cache, Record
from xxpy.build.engine.images import base_layers_of, unpacked_from, unpacked_key, unpacked_layer
from xxpy.build.engine.needs import needed
from xxpy.build.engine.packing import remember_packed
from xxpy.build.engine.snapshots import laid_over
from xxpy.build.graph import Digest, line_of
from xxpy.build.layers import Layer
from xxpy.build.naming import one_line
from xxpy.build.plan import Accelerate
from xxpy.build.remotecache.entries import Packed, Result
from xxpy.build.store import Store
from xxpy.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xxpy.build.engine import Job


class Imports(Protocol):
    """The caches that a build was given."""

    def find(self, key: Digest) -> Result | None:
        """The result of a cache key."""

    def layer(self, diff_id: Digest) -> Packed | None:
        """A layer that they have."""

    def fetch(self, diff_ids: Iterable[Digest]) -> bool:
        """Have the blobs of layers in the store; False if one is lost, and then `find` gives none that needs it."""


Found = Mapping[Digest, tuple[Digest, Result]]
"""By vertex: the key that a result was found under, and the result."""


@dataclass(frozen=True)
class Taken:
    """The ``results`` that a build takes of its imports, and the layers of its ``bases`` by diff ID."""

    results: Found = field(default_factory=dict)
    bases: Mapping[Digest, Layer] = field(default_factory=dict)


def take(store: Store, cache: Cache, job: Job, records: Collection[Digest]) -> Taken:
    """What ``job`` takes of its imports besides ``records``, all layers of it in the store. Raises StoreError."""
    if job.imports is None:
        return Taken()
    bases = base_layers_of(store, job.plan.graph)
    while True:
        found = {vertex.digest: one for vertex in job.plan.graph if (one := _found(job, vertex.digest, records))}
        used = _used(job, records, found)
        lacking = {
            diff_id
            for _, result in used.values()
            for diff_id in result.chain
            if diff_id not in bases and cache.find(unpacked_key(diff_id)) is None
        }
        if job.imports.fetch(sorted(lacking)):
            return Taken(used, bases)


def _found(job: Job, vertex: Digest, records: Container[Digest]) -> tuple[Digest, Result] | None:
    if job.imports is None or vertex in records or job.runs_anew(vertex):
        return None
    for key in job.keys.among(vertex, twinned=job.accelerate is Accelerate.AUTO):
        result = job.imports.find(key)
        if result is not None:
            return key, result
    return None


def _used(job: Job, records: Collection[Digest], found: Found) -> Found:
    """Of what was found, what a step or an image takes from: with all that it was made on, whose layers images have."""
    graph = job.plan.graph
    answered = {*records, *found}
    running = needed(graph, answered)
    if job.accelerate is not Accelerate.OFF:
        running += needed(graph, answered, [graph.twins[each] for each in running if each in graph.twins])
    ends = {result.root for result in graph.results} | {one for each in running for one in graph.inputs_of(each)}
    lines = {each for end in ends if end in found for each in line_of(graph.vertices, end)}
    return {vertex: one for vertex, one in found.items() if vertex in lines}


def materialise(store: Store, cache: Cache, job: Job, vertex: Digest, taken: Taken, work: Path) -> Record:
    """The snapshots of a result that was taken, as a record. Raises StoreError (``bad-layer``, ``digest-mismatch``)."""
    assert job.imports is not None
    result = taken.results[vertex][1]
    names = []
    for diff_id in result.chain:
        packed = job.imports.layer(diff_id)
        layer = taken.bases.get(diff_id) or (Layer(packed.descriptor, diff_id) if packed else None)
        names.append(_unpacked(store, cache, diff_id, layer, work))
        # Of a blob that nobody has unpacked it is only said that it is this layer.
        proven = packed is not None and unpacked_from(store, diff_id) == packed.descriptor.digest
        if packed is not None and proven and diff_id == result.chain[-1] and packed.epoch == job.epoch:
            remember_packed(store, job, vertex, names[-1], Layer(packed.descriptor, diff_id))
    text = one_line(job.plan.graph.vertices[vertex].label.text)
    return Record(laid_over(tuple(names)), result.seconds, text=text)


def _unpacked(store: Store, cache: Cache, diff_id: Digest, layer: Layer | None, work: Path) -> str:
    try:
        return unpacked_layer(store, cache, diff_id, layer, work)
    except StoreError as error:
        if error.reason in ("digest-mismatch", "bad-layer"):
            error.message = f"a cache of --cache-from holds something else than it says: {error.message}"
            error.remedy = "build without that cache, and begin it anew"
        raise
