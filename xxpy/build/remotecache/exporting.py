"""What a build gives to a cache: its steps' results, as they lie in the store once it has ended."""

from __future__ import annotations

import time
from collections.abc import Iterable

from xxpy.build.engine import Job
from xxpy.build.engine.cache import Cache as Records
from xxpy.build.engine.images import base_layers_of, own_line, unpacked_key
from xxpy.build.engine.needs import known
from xxpy.build.engine.packing import packed_layer
from xxpy.build.graph import Digest, Graph, MergeOp, SourceOp
from xxpy.build.remotecache.aging import Addition
from xxpy.build.remotecache.entries import Entries, Packed, Result
from xxpy.build.remotecache.spec import MAX, Cache
from xxpy.build.store import Store


def wanted_layers(graph: Graph, mode: str) -> frozenset[Digest]:
    """The vertices whose layers a cache of that ``mode`` has: those of the images, or of all steps."""
    if mode != MAX:
        return frozenset(digest for result in graph.results for digest in own_line(graph, result)[0])
    return frozenset(vertex.digest for vertex in graph if not isinstance(vertex.op, (MergeOp, SourceOp)))


def collect(store: Store, job: Job, cache: Cache) -> Addition:
    """What a build that has ended adds to ``cache``. Raises StoreError."""
    entries = _entries(store, job, cache.mode)
    vertices = (vertex for vertex in job.plan.graph if not isinstance(vertex.op, SourceOp))
    steps = frozenset(key for vertex in vertices for key in job.keys.among(vertex.digest, twinned=True))
    return Addition(entries, steps, int(time.time()), cache.keep)


def _entries(store: Store, job: Job, mode: str) -> Entries:
    records, keys = known(Records(store), job)
    diff_ids = dict(_base_snapshots(store, job.plan.graph))
    layers: dict[Digest, Packed] = {}
    for vertex, record in records.items():
        layer = packed_layer(store, job, vertex, record.chain[-1]) if record.chain else None
        if layer is not None:
            diff_ids[record.chain[-1]] = layer.diff_id
            layers[layer.diff_id] = Packed(layer.descriptor, job.epoch)
    results = {}
    # Merges have layers that are other steps', and are results all the same.
    for digest in records if mode == MAX else wanted_layers(job.plan.graph, mode):
        found = records.get(digest)
        if found is not None and all(name in diff_ids for name in found.chain):
            results[keys[digest]] = Result(tuple(diff_ids[name] for name in found.chain), round(found.seconds, 3))
    used = {diff_id for result in results.values() for diff_id in result.chain}
    return Entries(results, {diff_id: packed for diff_id, packed in layers.items() if diff_id in used})


def _base_snapshots(store: Store, graph: Graph) -> Iterable[tuple[str, Digest]]:
    """The snapshots of base images' layers, with their diff IDs."""
    records = Records(store)
    for diff_id in base_layers_of(store, graph):
        record = records.find(unpacked_key(diff_id))
        if record is not None:
            yield record.chain[0], diff_id
