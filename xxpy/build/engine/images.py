"""Between images and snapshots: base layers unpacked once, a result's image of its layers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xxpy.build.annotations import INDEX, MANIFEST, MANIFEST_DESCRIPTOR, Annotation, chosen
from xxpy.build.convert import oci_layer
from xxpy.build.descriptor import Descriptor
from xxpy.build.engine import Job
from xxpy.build.engine.cache import Cache, Record
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.engine.snapshots import Chain, new_id
from xxpy.build.graph import Digest, Graph, Healthcheck, ImageConfig, Result, SourceOp, digest_of, line_of, plain
from xxpy.build.image import MANIFEST_TYPE, Image, image_at, image_size, write_image, write_index
from xxpy.build.layers import Layer, apply_layer
from xxpy.build.outcome import ImageOutcome
from xxpy.build.remotecache.entries import INLINE_KEY, inline_json
from xxpy.build.store import Store
from xxpy.errors import StoreError

IMAGE = "docker-image://"
_UNPACKED = 2
"""Raised when what was unpacked before must not be taken again."""


def base_image(store: Store, op: SourceOp) -> Image:
    """The image that a source vertex names by its manifest's digest. Raises StoreError."""
    digest = op.identifier.rpartition("@")[2]
    size = store.blob(digest).stat().st_size if store.has(digest) else 0
    return image_at(store, Descriptor(MANIFEST_TYPE, digest, size))


def base_layers_of(store: Store, graph: Graph) -> dict[Digest, Layer]:
    """The layers of all base images that ``graph`` takes, by diff ID. Raises StoreError."""
    sources = [vertex.op for vertex in graph if isinstance(vertex.op, SourceOp)]
    images = [base_image(store, op) for op in sources if op.identifier.startswith(IMAGE)]
    return {layer.diff_id: layer for image in images for layer in image.layers}


def unpacked_key(diff_id: Digest) -> Digest:
    """What the snapshot of an unpacked layer is remembered by."""
    return digest_of(["unpacked", _UNPACKED, diff_id])


def unpacked(store: Store, cache: Cache, image: Image, work: Path) -> Chain:
    """The chain of ``image``'s layers, each unpacked if it is not yet. Raises StoreError, OSError."""
    return tuple(unpacked_layer(store, cache, layer.diff_id, layer, work) for layer in image.layers)


def unpacked_layer(store: Store, cache: Cache, diff_id: Digest, layer: Layer | None, work: Path) -> str:
    """The snapshot of the layer ``diff_id``, unpacked out of ``layer`` if it is not yet. Raises StoreError, OSError."""
    key = unpacked_key(diff_id)
    with store.lock(key):
        record = cache.find(key)
        if record is None:
            if layer is None or not store.has(layer.descriptor.digest):
                raise StoreError(
                    f"the store lacks the layer {diff_id}",
                    remedy="make or fetch its image again",
                    reason="blob-missing",
                )
            began = time.monotonic()
            folder = work / new_id()
            folder.mkdir()
            try:
                apply_layer(store.blob(layer.descriptor.digest), layer.descriptor.media_type, folder, diff_id=diff_id)
                name = new_id()
                folder.rename(store.snapshots / name)
            finally:
                if folder.exists():
                    remove_tree(folder)
            text = f"layer {layer.descriptor.digest[7:19]}, unpacked"
            record = Record((name,), time.monotonic() - began, text=text)
            cache.put(key, record)
            store.put_record(_blob_key(diff_id), {"blob": layer.descriptor.digest})
    return record.chain[0]


def unpacked_from(store: Store, diff_id: Digest) -> Digest:
    """The blob that the layer ``diff_id`` was unpacked from, and so is known to hold; empty if that is not known."""
    value = store.record(_blob_key(diff_id))
    return str(value.get("blob", "")) if value is not None else ""


def _blob_key(diff_id: Digest) -> Digest:
    return digest_of(["unpacked from", diff_id])


def image_key(job: Job, result: Result, keys: Mapping[Digest, Digest]) -> Digest:
    """What a finished image is remembered by: all that it is made from. ``keys`` are those of the vertices' records."""
    root = keys.get(result.root, "")
    said = plain(chosen(job.annotations, MANIFEST, result.platform))
    made_of = [root, plain(result.config), plain(result.history), job.epoch, job.compression, said]
    made_of += [INLINE_KEY] if job.inline else []
    return digest_of(["image", str(result.platform), *made_of])


def known_image(store: Store, job: Job, result: Result, keys: Mapping[Digest, Digest]) -> ImageOutcome | None:
    """The image of ``result`` if it was made before and is still whole."""
    value = store.record(image_key(job, result, keys))
    if value is None:
        return None
    try:
        manifest = Descriptor.from_json(value.get("manifest"))
        return ImageOutcome(result.platform, manifest.digest, image_size(store, manifest))
    except (StoreError, KeyError):
        return None


def make_image(
    store: Store, job: Job, result: Result, keys: Mapping[Digest, Digest], layer: Callable[[Digest], Layer]
) -> ImageOutcome:
    """Write the config and manifest of ``result``; ``layer`` gives that of a vertex. Raises StoreError, OSError."""
    line, source = own_line(job.plan.graph, result)
    base = base_image(store, source) if source is not None else None
    layers = [*map(oci_layer, base.layers if base else ()), *map(layer, reversed(line))]
    created = _rfc3339(job.epoch if job.epoch is not None else int(time.time()))
    config = _config(result.config)
    said = chosen(job.annotations, MANIFEST, result.platform)
    history = _history(result, base, created)
    more: dict[str, Any] = {"author": result.config.author} if result.config.author else {}
    if job.inline:
        below = len(base.layers) if base else 0
        counted = [(keys[vertex], below + count) for count, vertex in enumerate(reversed(line), 1) if vertex in keys]
        more[INLINE_KEY] = inline_json(counted, job.epoch)
    written = write_image(store, result.platform, config, layers, history, created, said, more=more)
    store.put_record(image_key(job, result, keys), {"manifest": written.to_json()})
    return ImageOutcome(result.platform, written.digest, image_size(store, written))


def own_line(graph: Graph, result: Result) -> tuple[list[Digest], SourceOp | None]:
    """The vertices whose changes the image's own layers are, the last first, and what they are made on."""
    line = list(line_of(graph.vertices, result.root))
    lowest = graph.vertices[line[-1]].op if line else None
    return (line[:-1], lowest) if isinstance(lowest, SourceOp) else (line, None)


def base_layers(store: Store, graph: Graph, result: Result) -> int:
    """How many layers of the image of ``result`` are its base image's. Raises StoreError."""
    _, source = own_line(graph, result)
    return len(base_image(store, source).layers) if source is not None else 0


def _rfc3339(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _history(result: Result, base: Image | None, created: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    if base is not None:
        given = base.config.get("history")
        entries += [dict(each) for each in given if isinstance(each, dict)] if isinstance(given, list) else []
        filled = sum(not each.get("empty_layer") for each in entries)
        if filled != len(base.layers):
            # A history that does not tell of each layer would shift all that follows.
            entries = [{"created": created, "comment": "base image"} for _ in base.layers]
    for entry in result.history:
        made: dict[str, Any] = {"created": created, "created_by": entry.created_by, "comment": "xx build"}
        entries.append(made if entry.vertex else made | {"empty_layer": True})
    return entries


_CONFIG_NAMES = {
    "env": "Env",
    "entrypoint": "Entrypoint",
    "cmd": "Cmd",
    "working_dir": "WorkingDir",
    "user": "User",
    "stop_signal": "StopSignal",
    "shell": "Shell",
    "on_build": "OnBuild",
}


def _config(config: ImageConfig) -> dict[str, Any]:
    """The ``config`` object of the image's configuration (OCI config.md, "Properties"); what is empty is left out."""
    values: Mapping[str, Any] = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    made: dict[str, Any] = {}
    for name, key in _CONFIG_NAMES.items():
        value = values[name]
        if value not in ("", None, ()) or (value == () and name in ("entrypoint", "cmd")):
            made[key] = list(value) if isinstance(value, tuple) else value
    if config.labels:
        made["Labels"] = dict(config.labels)
    if config.healthcheck is not None:
        made["Healthcheck"] = _healthcheck(config.healthcheck)
    for key, names in (("ExposedPorts", config.exposed_ports), ("Volumes", config.volumes)):
        if names:
            made[key] = {name: {} for name in names}
    return made


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    """As Docker's image specification v1.2 has it; what is 0 is left out and so Docker's default."""
    values = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }
    return {"Test": list(check.test)} | {name: value for name, value in values.items() if value}


def index_of(store: Store, images: Sequence[ImageOutcome], annotations: Sequence[Annotation]) -> Descriptor:
    """Write the index of ``images``. Raises StoreError."""
    manifests = [
        Descriptor(
            MANIFEST_TYPE,
            one.manifest,
            store.blob(one.manifest).stat().st_size,
            one.platform,
            chosen(annotations, MANIFEST_DESCRIPTOR, one.platform),
        )
        for one in images
    ]
    return write_index(store, manifests, chosen(annotations, INDEX))
