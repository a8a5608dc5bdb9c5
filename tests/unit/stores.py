"""Stores filled by hand: records with their snapshots, images, cache mounts, of any age."""

from __future__ import annotations

import json
import os
from pathlib import Path

from xxpy.build.descriptor import Descriptor
from xxpy.build.engine.cache import Cache, Record
from xxpy.build.graph import digest_of
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE, write_index
from xxpy.build.inventory import Inventory, take_inventory
from xxpy.build.sizes import measure
from xxpy.build.store import Store
from xxpy.platforms import Platform

DAY = 24 * 3600 * 10**9


def snapshot(store: Store, name: str, size: int = 4096) -> str:
    """A snapshot with a file of ``size`` bytes."""
    (store.snapshots / name).mkdir()
    (store.snapshots / name / "file").write_bytes(b"x" * size)
    return name


def step(store: Store, name: str, below: tuple[str, ...] = (), size: int = 4096) -> str:
    """A step's snapshot ``name`` over those ``below``, with its record; the record's key."""
    key = digest_of(name)
    Cache(store).put(key, Record((*below, snapshot(store, name, size)), 1.0, text=f"RUN {name}"))
    return key


def layer_record(store: Store, name: str, blob: Descriptor) -> None:
    """What is remembered of a snapshot that was packed."""
    store.put_record(digest_of(["layer", name]), {"snapshot": name, "layer": blob.to_json(), "diff_id": blob.digest})


def image(
    store: Store, layers: tuple[bytes, ...], platform: str = "linux/amd64", *, history: tuple[str, ...] = ()
) -> Descriptor:
    """The manifest of an image whose layers are plain bytes."""
    blobs = [store.put_bytes(each, "application/vnd.oci.image.layer.v1.tar") for each in layers]
    target = Platform.parse(platform)
    config = {
        "os": target.os,
        "architecture": target.arch,
        "created": "2026-01-02T03:04:05Z",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "TOKEN=hidden"], "User": "me"},
        "rootfs": {"type": "layers", "diff_ids": [blob.digest for blob in blobs]},
        "history": [{"created_by": text, "comment": "xx build"} for text in history],
    }
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": store.put_json(config, CONFIG_TYPE).to_json(),
        "layers": [blob.to_json() for blob in blobs],
    }
    made = store.put_json(body, MANIFEST_TYPE)
    return Descriptor(made.media_type, made.digest, made.size, target)


def attestation(store: Store, manifest: Descriptor) -> Descriptor:
    """What BuildKit attaches to ``manifest``."""
    layer = store.put_bytes(b"{}" + manifest.digest.encode(), "application/vnd.in-toto+json").to_json()
    layer["annotations"] = {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
    config = store.put_json({"os": "unknown", "architecture": "unknown"}, "application/vnd.oci.image.config.v1+json")
    made = store.put_json({"schemaVersion": 2, "config": config.to_json(), "layers": [layer]}, MANIFEST_TYPE)
    said = {"vnd.docker.reference.digest": manifest.digest, "vnd.docker.reference.type": "attestation-manifest"}
    return Descriptor(
        MANIFEST_TYPE, made.digest, made.size, Platform("unknown", "unknown"), tuple(sorted(said.items()))
    )


def named(store: Store, name: str, *manifests: Descriptor, annotations: tuple[tuple[str, str], ...] = ()) -> Descriptor:
    """The index of ``manifests`` under a full name."""
    index = write_index(store, manifests, annotations)
    store.tag(name, index)
    return index


def cache_mount(store: Store, name: str, size: int = 4096) -> None:
    """A cache mount with a file of ``size`` bytes."""
    (store.caches / name / "tree").mkdir(parents=True)
    (store.caches / name / "tree/file").write_bytes(b"x" * size)
    (store.caches / name / "about.json").write_text(json.dumps({"id": f"id of {name}"}))


def age(store: Store, *keys: str, days: float = 1.0) -> None:
    """Have the records of ``keys``, or all files by which use is told, used ``days`` ago."""
    paths = [store.records / key[7:9] / f"{key[7:]}.json" for key in keys] or [
        *store.record_files(),
        *store.blobs.iterdir(),
        *store.caches.glob("*/about.json"),
    ]
    for path in paths:
        used = path.stat().st_mtime_ns - int(days * DAY)
        os.utime(path, ns=(used, used))


def inventory(store: Store) -> Inventory:
    """What is in ``store``, all of it measured."""
    return take_inventory(store, measure(store, 0.0))


def there(store: Store) -> set[str]:
    """The names of the snapshots and cache mounts that are there."""
    return {path.name for folder in (store.snapshots, store.caches) for path in Path(folder).iterdir()}
