"""An image in another form: layers compressed otherwise, Docker's media types, further annotations.

Only what differs is written, as blobs of the store beside the first ones; configs and so the images' ids stay the same.
Sources: OCI image-spec, layer.md and media-types.md; Docker's Image Manifest V2, Schema 2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from xxpy.build.annotations import INDEX, INDEX_DESCRIPTOR, MANIFEST, MANIFEST_DESCRIPTOR, Pairs, chosen
from xxpy.build.descriptor import Descriptor
from xxpy.build.graph import digest_of
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE, image_at, image_manifests
from xxpy.build.layers import Layer, plain_pieces
from xxpy.build.layoutindex import INDEX_TYPE
from xxpy.build.outputs import GZIP, UNCOMPRESSED, ZSTD, Format
from xxpy.build.packers import LAYER_TYPES, LEVEL, packer
from xxpy.build.store import Store
from xxpy.platforms import Platform

DOCKER_LAYERS = {
    GZIP: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    UNCOMPRESSED: "application/vnd.docker.image.rootfs.diff.tar",
}
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"


def converted(store: Store, index: Descriptor, form: Format, bases: Mapping[Platform, int]) -> Descriptor:
    """The image ``index`` as ``form`` wants it; ``index`` itself where it is so already.

    ``bases`` counts the layers of each platform's base image, the lowest: they keep their compression unless forced.
    Raises StoreError.
    """
    if form == Format():
        return index
    manifests = [
        _manifest(store, one, form, bases.get(one.platform, 0) if one.platform else 0)
        for one in image_manifests(store, index)
    ]
    body = store.read_json(index.digest)
    body["mediaType"] = INDEX_TYPE if form.oci else _DOCKER_INDEX
    body["manifests"] = [one.to_json() for one in manifests]
    _annotate(body, chosen(form.annotations, INDEX))
    written = store.put_json(body, body["mediaType"])
    said = dict(index.annotations) | dict(chosen(form.annotations, INDEX_DESCRIPTOR))
    return dataclasses.replace(written, annotations=tuple(sorted(said.items())))


def _manifest(store: Store, one: Descriptor, form: Format, kept: int) -> Descriptor:
    image = image_at(store, one)
    body = store.read_json(one.digest)
    layers = [_layer(store, layer, form, own=place >= kept) for place, layer in enumerate(image.layers)]
    body["mediaType"] = MANIFEST_TYPE if form.oci else DOCKER_MANIFEST
    body["config"] = body["config"] | {"mediaType": CONFIG_TYPE if form.oci else DOCKER_CONFIG}
    body["layers"] = [layer.to_json() for layer in layers]
    _annotate(body, chosen(form.annotations, MANIFEST, one.platform))
    written = store.put_json(body, body["mediaType"])
    said = dict(one.annotations) | dict(chosen(form.annotations, MANIFEST_DESCRIPTOR, one.platform))
    return dataclasses.replace(written, platform=one.platform, annotations=tuple(sorted(said.items())))


def _annotate(body: dict[str, Any], said: Pairs) -> None:
    if said:
        body["annotations"] = {**body.get("annotations", {}), **dict(said)}


def _layer(store: Store, layer: Layer, form: Format, *, own: bool) -> Descriptor:
    """The layer's blob in that form; the one that is there if it is right."""
    now = layer.descriptor
    have = compression_of(now.media_type)
    types = LAYER_TYPES if form.oci else DOCKER_LAYERS
    # A level alone says gzip; a forced nothing does too, as with BuildKit.
    wanted = form.compression or (GZIP if form.force or form.level is not None else have)
    if not (own or form.force):
        wanted = have
    if wanted not in types:
        wanted = GZIP
    level = form.level if (own or form.force) and form.level != LEVEL else None
    if wanted == have and (level is None or wanted == UNCOMPRESSED):
        return dataclasses.replace(now, media_type=types[wanted])
    key = digest_of(["recompressed", now.digest, wanted, level])
    known = store.record(key)
    if known is not None:
        found = Descriptor.from_json(known.get("layer"))
        if store.has(found.digest):
            return dataclasses.replace(found, media_type=types[wanted])
    made = _recompressed(store, layer, wanted, level)
    store.put_record(key, {"layer": made.to_json()})
    return dataclasses.replace(made, media_type=types[wanted])


def oci_layer(layer: Layer) -> Layer:
    """A layer with OCI's media type: a manifest of OCI's does not name Docker's."""
    kind = LAYER_TYPES[compression_of(layer.descriptor.media_type)]
    return dataclasses.replace(layer, descriptor=dataclasses.replace(layer.descriptor, media_type=kind))


def compression_of(media_type: str) -> str:
    """One of `COMPRESSIONS`, by the end of a layer's media type."""
    if media_type.endswith(("+gzip", ".gzip")):
        return GZIP
    return ZSTD if media_type.endswith("+zstd") else UNCOMPRESSED


def _recompressed(store: Store, layer: Layer, wanted: str, level: int | None) -> Descriptor:
    now = layer.descriptor
    with store.writer() as out:
        packed = packer(out, wanted, level)
        for data in plain_pieces(store.blob(now.digest), now.media_type, layer.diff_id):
            packed.write(data)
        packed.end()
        return out.commit(LAYER_TYPES[wanted])
