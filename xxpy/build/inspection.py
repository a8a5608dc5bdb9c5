"""What `xx inspect` tells of an image: its platforms, configs, layers with their steps, and what is attached to it.

Sources: OCI image-spec, config.md ("history"); in-toto attestation framework for ``predicate-type``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xxpy.build.convert import DOCKER_CONFIG
from xxpy.build.descriptor import Descriptor, parse_json_object
from xxpy.build.image import CONFIG_TYPE, best_for
from xxpy.build.inventory import layer_snapshots
from xxpy.build.sources import REFERENCE_TYPE, Listing, Source, StoreSource, listing, subject_of
from xxpy.errors import SourceError, StoreError
from xxpy.platforms import Platform

OURS = "xx build"
_BUILDKIT = "buildkit."
_PREDICATE = "in-toto.io/predicate-type"
_MOST_LAYERS = 1000


@dataclass(frozen=True)
class LayerFacts:
    """One layer: ``step`` is the instruction that made it, as the image's history has it, ``by`` what ran it.

    ``snapshot`` is the one of this store that the layer was packed from; each is empty where it is not known.
    """

    blob: Descriptor
    step: str = ""
    by: str = ""
    snapshot: str = ""


@dataclass(frozen=True)
class ImageFacts:
    """One platform's image; ``config`` is the whole of it, as JSON has it, ``size`` of manifest, config and layers.

    Of what is no image ``artifact`` is the type: the manifest's ``artifactType``, else the media type of its config, as
    a cache has one (OCI image-spec, manifest.md, "guidelines for artifact usage"); its ``config`` is left out.
    """

    manifest: Descriptor
    config: Mapping[str, Any]
    layers: tuple[LayerFacts, ...]
    annotations: Mapping[str, str]
    size: int
    artifact: str = ""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The ``config`` within the config: what a container starts with."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Attached:
    """A manifest that is about another one: ``kind`` as its annotation says, ``subject`` that one's digest."""

    manifest: Descriptor
    kind: str
    subject: str
    predicates: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """All that is told of one image."""

    name: str
    listing: Listing
    images: tuple[ImageFacts, ...]
    attached: tuple[Attached, ...]


def inspect(source: Source, platform: Platform | None = None) -> Facts:
    """Read an image, or that of its platforms which serves for ``platform``.

    Raises SourceError (``platform-missing``), StoreError for what is damaged.
    """
    found = listing(source)
    chosen = list(found.manifests)
    if platform is not None:
        one = best_for(chosen, platform)
        if one is None:
            has = ", ".join(str(each.platform) for each in chosen) or "none"
            raise SourceError(
                f"the image {source.name} has no {platform}; it has {has}",
                remedy="name one of those",
                reason="platform-missing",
            )
        chosen = [one]
    snapshots = layer_snapshots(source.store) if isinstance(source, StoreSource) else {}
    images = tuple(_image(source, one, snapshots) for one in chosen)
    digests = {one.digest for one in chosen}
    attached = tuple(_attached(source, one) for one in found.attached if platform is None or subject_of(one) in digests)
    return Facts(source.name, found, images, attached)


def _image(source: Source, manifest: Descriptor, snapshots: Mapping[str, str]) -> ImageFacts:
    body = parse_json_object(source.read(manifest), f"the manifest {manifest.digest}")
    described = Descriptor.from_json(body.get("config"))
    config = parse_json_object(source.read(described), f"the config {described.digest}")
    blobs = _layers(body, manifest)
    steps = _steps(config, len(blobs))
    layers = tuple(
        LayerFacts(blob, *step, snapshots.get(blob.digest, "")) for blob, step in zip(blobs, steps, strict=True)
    )
    said = Descriptor.from_json(manifest.to_json() | {"annotations": body.get("annotations")}).annotations
    size = manifest.size + described.size + sum(blob.size for blob in blobs)
    if described.media_type not in (CONFIG_TYPE, DOCKER_CONFIG):
        kind = body.get("artifactType")
        artifact = kind if isinstance(kind, str) and kind else described.media_type
        return ImageFacts(manifest, {}, layers, dict(said), size, artifact)
    return ImageFacts(manifest, config, layers, dict(said), size)


def _layers(body: Mapping[str, Any], manifest: Descriptor) -> list[Descriptor]:
    layers = body.get("layers")
    if not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
        raise StoreError(f"the manifest {manifest.digest} has no proper list of layers", reason="json-invalid")
    return [Descriptor.from_json(each) for each in layers]


def _steps(config: Mapping[str, Any], count: int) -> list[tuple[str, str]]:
    """The instruction of each of ``count`` layers and what ran it; nothing if the history does not tell of each."""
    history = config.get("history")
    entries = [each for each in history if isinstance(each, dict)] if isinstance(history, list) else []
    filled = [each for each in entries if not each.get("empty_layer")]
    if len(filled) != count:
        return [("", "")] * count
    return [(str(each.get("created_by") or ""), _ran(str(each.get("comment") or ""))) for each in filled]


def _ran(comment: str) -> str:
    if comment == OURS:
        return OURS
    return "BuildKit" if comment.startswith(_BUILDKIT) else ""


def _attached(source: Source, manifest: Descriptor) -> Attached:
    body = parse_json_object(source.read(manifest), f"the manifest {manifest.digest}")
    found = (dict(blob.annotations).get(_PREDICATE, "") for blob in _layers(body, manifest))
    kind = dict(manifest.annotations).get(REFERENCE_TYPE, "")
    return Attached(manifest, kind, subject_of(manifest), tuple(each for each in found if each))
