"""Images between our store and BuildKit: bases that the store has are handed on, what was built is taken in.

BuildKit reads a base as an OCI layout on this machine (``--build-context NAME=oci-layout://…``). The layout is a folder
of the build's own that shows the store's blobs, because buildx writes into a layout that it reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xxpy.build.annotations import Annotation
from xxpy.build.buildkit.command import METADATA, OCI
from xxpy.build.buildkit.rewrite import without_host_ca
from xxpy.build.descriptor import Descriptor, parse_json_object
from xxpy.build.disk import storing
from xxpy.build.dockerfile.bases import BaseImage, Images
from xxpy.build.dockerfile.front import IMAGE
from xxpy.build.engine.images import index_of
from xxpy.build.graph import Graph, ImageConfig, SourceOp
from xxpy.build.hostca import HostCa
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE, image_size
from xxpy.build.layoutindex import LAYOUT_FILE, index_json
from xxpy.build.names import normalize_name, short_name
from xxpy.build.ocilayout import Layout, copy_image
from xxpy.build.outcome import ImageOutcome
from xxpy.build.store import JSON_LIMIT, Store
from xxpy.errors import SourceError, StoreError
from xxpy.platforms import Platform

_BUILTIN = normalize_name("xx").removesuffix("latest") + "builtin-"


class AnyImages:
    """`Images` in which every image is there: what the store lacks, BuildKit will look for.

    Such a one has a name and no config, which is enough to know a build's steps by.
    """

    def __init__(self, images: Images) -> None:
        self._images = images

    def base(self, name: str, platform: Platform) -> BaseImage:
        """See `Images.base`."""
        try:
            return self._images.base(name, platform)
        except SourceError as error:
            if error.reason not in ("image-missing", "platform-missing"):
                raise
            full = normalize_name(name)
            digest = "sha256:" + hashlib.sha256(f"{full} {platform}".encode()).hexdigest()
            return BaseImage(full, digest, ImageConfig())


def handed_images(store: Store, graph: Graph) -> dict[str, Descriptor]:
    """The images of the store that a build takes, by the name that FROM has for them.

    One that the store has not for every platform that is asked for is left to BuildKit.
    """
    wanted: dict[str, list[str]] = {}
    for vertex in graph:
        if isinstance(vertex.op, SourceOp) and vertex.op.identifier.startswith(IMAGE):
            name, _, manifest = vertex.op.identifier.removeprefix(IMAGE).rpartition("@")
            wanted.setdefault(name, []).append(manifest)
    found = {}
    for name, manifests in wanted.items():
        entry = store.resolve(name)
        if entry is not None and all(map(store.has, manifests)):
            found["xx" if name.startswith(_BUILTIN) else short_name(name)] = entry
    return found


def write_layout(store: Store, images: Mapping[str, Descriptor], folder: Path) -> dict[str, str]:
    """Show ``images`` as an OCI layout in the new folder ``folder``; each name with its ``oci-layout://…``."""
    with storing(folder):
        folder.mkdir()
        (folder / "blobs").symlink_to(store.blobs.parent.absolute())
        (folder / "oci-layout").write_bytes(LAYOUT_FILE)
        (folder / "index.json").write_bytes(index_json(list(images.values())))
    return {name: f"oci-layout://{folder}@{entry.digest}" for name, entry in images.items()}


def read_metadata(work: Path) -> dict[str, Any]:
    """What BuildKit has written to ``--metadata-file``; empty if nothing. Raises StoreError (``json-invalid``)."""
    path = work / METADATA
    try:
        with path.open("rb") as file:
            return parse_json_object(file.read(JSON_LIMIT), "BuildKit's metadata")
    except FileNotFoundError:
        return {}


def take_images(
    store: Store, work: Path, platforms: Sequence[Platform], annotations: Sequence[Annotation], host_ca: HostCa
) -> tuple[str, tuple[ImageOutcome, ...]]:
    """Take what BuildKit has written into the store, every blob checked; the digest of our index, and its images.

    Raises StoreError (``digest-mismatch``, …), SourceError (``platform-missing``).
    """
    digest = read_metadata(work).get("containerimage.digest")
    if not isinstance(digest, str):
        raise StoreError(
            "BuildKit does not say which image it has made",
            remedy="take buildx 0.13 or newer",
            reason="buildkit-image",
        )
    images = []
    for platform in platforms:
        manifest = copy_image(store, Layout(work / OCI, "", digest), platform)
        if host_ca.bundle is not None:
            manifest = _cleaned(store, manifest, host_ca)
        images.append(ImageOutcome(platform, manifest.digest, image_size(store, manifest)))
    return index_of(store, images, tuple(annotations)).digest, tuple(images)


def _cleaned(store: Store, manifest: Descriptor, host_ca: HostCa) -> Descriptor:
    """The same image with a history that knows nothing of the host's certificates."""
    body = store.read_json(manifest.digest)
    config = store.read_json(Descriptor.from_json(body.get("config")).digest)
    body["config"] = store.put_json(without_host_ca(config, host_ca), CONFIG_TYPE).to_json()
    return store.put_json(body, MANIFEST_TYPE)
