"""Snapshots as layers of the images that are wanted: each packed once, beside the steps that still run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from xxpy.build.descriptor import Descriptor
from xxpy.build.engine import Job
from xxpy.build.engine.cache import Record
from xxpy.build.engine.images import own_line
from xxpy.build.engine.snapshots import Chain
from xxpy.build.graph import Digest, digest_of
from xxpy.build.layers import Layer, write_layer
from xxpy.build.packers import LAYER_TYPES
from xxpy.build.store import Store
from xxpy.errors import StoreError

_MOST = 4
"""Layers that are packed at once; each has threads of its own."""


class Packing:
    """The layers of one build. All calls come from one thread."""

    def __init__(self, store: Store, job: Job) -> None:
        graph = job.plan.graph
        lines = [own_line(graph, result)[0] for result in graph.results] if job.image else []
        self._store = store
        self._job = job
        self._wanted = {digest for line in lines for digest in line} | job.exported
        self._layers: dict[Digest, Future[Layer]] = {}
        self._pool = ThreadPoolExecutor(min(_MOST, os.cpu_count() or 1), "layer")

    def solved(self, vertex: Digest, chain: Chain) -> None:
        """``vertex`` is solved; what it changed is the last of ``chain``."""
        if vertex in self._wanted and vertex not in self._layers:
            self._layers[vertex] = self._pool.submit(self._packed, vertex, chain[-1])

    def layer(self, vertex: Digest) -> Layer:
        """The layer of a vertex that was `solved`, as soon as it is there. Raises StoreError, OSError."""
        return self._layers[vertex].result()

    def _packed(self, vertex: Digest, snapshot: str) -> Layer:
        known = packed_layer(self._store, self._job, vertex, snapshot)
        if known is not None:
            return known
        layer = write_layer(self._store.snapshots / snapshot, self._store, self._job.epoch, self._job.compression)
        remember_packed(self._store, self._job, vertex, snapshot, layer)
        return layer

    def finish(self) -> None:
        """Until all that was `solved` and is wanted is packed. Raises StoreError, OSError."""
        for layer in self._layers.values():
            layer.result()


def packed_layer(store: Store, job: Job, vertex: Digest, snapshot: str) -> Layer | None:
    """The layer that ``snapshot``, what ``vertex`` changed, was packed as; None if it was not, or is gone."""
    return _known(store, _layer_key(job, vertex), snapshot)


def all_packed(store: Store, job: Job, records: Mapping[Digest, Record]) -> bool:
    """Whether the layers that caches of others want are packed, as far as ``records`` say what they are."""
    chains = {vertex: records[vertex].chain for vertex in job.exported if vertex in records}
    return all(packed_layer(store, job, vertex, chain[-1]) for vertex, chain in chains.items() if chain)


def remember_packed(store: Store, job: Job, vertex: Digest, snapshot: str, layer: Layer) -> None:
    """``layer`` is what ``snapshot`` packs to, if it is compressed as ``job`` wants it. Raises StoreError."""
    if layer.descriptor.media_type != LAYER_TYPES[job.compression]:
        return
    said = {"snapshot": snapshot, "layer": layer.descriptor.to_json(), "diff_id": layer.diff_id}
    store.put_record(_layer_key(job, vertex), said)


def _layer_key(job: Job, vertex: Digest) -> Digest:
    return digest_of(["layer", job.keys.of[vertex], job.epoch, job.compression])


def _known(store: Store, key: Digest, snapshot: str) -> Layer | None:
    value = store.record(key)
    if value is None or value.get("snapshot") != snapshot:
        return None
    try:
        descriptor = Descriptor.from_json(value.get("layer"))
    except StoreError:
        return None
    return Layer(descriptor, str(value.get("diff_id"))) if store.has(descriptor.digest) else None
