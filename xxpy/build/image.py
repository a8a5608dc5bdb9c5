"""Images in the store: manifests, configs and indexes, written and looked up by name and platform.

Source: OCI image-spec, manifest.md, config.md and image-index.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xxpy.build.descriptor import Descriptor, platform_of
from xxpy.build.layers import Layer
from xxpy.build.layoutindex import INDEX_TYPE
from xxpy.build.names import normalize_name, short_name
from xxpy.build.store import Store
from xxpy.errors import SourceError, StoreError
from xxpy.platforms import Platform

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
INDEX_TYPES = (INDEX_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json")
_MOST_LAYERS = 400
_ARM_VARIANTS = ("v8", "v7", "v6", "v5")


@dataclass(frozen=True)
class Image:
    """One platform's image: its manifest's descriptor, its config as JSON has it, its layers from the lowest up."""

    platform: Platform
    manifest: Descriptor
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]


def read_image(store: Store, name: str, platform: Platform) -> Image:
    """The image ``name`` for ``platform``.

    Raises SourceError: ``image-missing``, ``platform-missing``; StoreError for an image that is damaged.
    """
    full = normalize_name(name)
    entry = store.resolve(full)
    if entry is None:
        raise SourceError(
            f"there is no image {short_name(full)} in the store",
            remedy=_how_to_have(short_name(full), platform),
            reason="image-missing",
        )
    manifests = image_manifests(store, entry)
    found = best_for(manifests, platform)
    if found is not None:
        return image_at(store, found)
    has = ", ".join(str(one.platform) for one in manifests if one.platform is not None) or "none"
    raise SourceError(
        f"the image {short_name(full)} has no {platform}; it has {has}",
        remedy=_how_to_have(short_name(full), platform),
        reason="platform-missing",
    )


def _how_to_have(name: str, platform: Platform) -> str:
    kind, _, tag = name.partition(":")
    if platform.os == "linux" and (kind == "busybox" or (kind in ("debian", "ubuntu") and tag)):
        return f"make it: xx base {name} --platform {platform}"
    if kind in ("debian", "ubuntu"):
        return f"name a release, as {kind}:{'trixie' if kind == 'debian' else 'noble'}, and make it: xx base NAME"
    return f"build it here (xx build -t {name} …), or give it by --build-context {name}=oci-layout://FOLDER"


def image_manifests(store: Store, entry: Descriptor) -> list[Descriptor]:
    """The manifests that a tagged descriptor stands for, each with its platform."""
    if entry.media_type in INDEX_TYPES:
        manifests = store.read_json(entry.digest).get("manifests")
        if not isinstance(manifests, list):
            raise StoreError(f"the index {entry.digest} has no manifests", reason="json-invalid")
        found = [Descriptor.from_json(each) for each in manifests]
        return [one for one in found if one.platform is not None and one.platform.os != "unknown"]
    if entry.platform is not None:
        return [entry]
    platform = image_at(store, entry).platform
    return [Descriptor(entry.media_type, entry.digest, entry.size, platform)]


def best_for(manifests: Sequence[Descriptor], platform: Platform) -> Descriptor | None:
    """That of ``manifests`` which is for ``platform``, or for an older variant of it; None if none is."""
    for wanted in _acceptable(platform):
        for one in manifests:
            if one.platform == wanted:
                return one
    return None


def _acceptable(platform: Platform) -> list[Platform]:
    """``platform`` and then what also runs there, best first: an older variant of the same architecture."""
    found = [platform]
    if platform.arch == "arm" and platform.variant in _ARM_VARIANTS:
        older = _ARM_VARIANTS[_ARM_VARIANTS.index(platform.variant) + 1 :]
        found += [Platform.of(platform.os, "arm", variant) for variant in older]
    elif platform.variant:
        found.append(Platform.of(platform.os, platform.arch, ""))
    return found


def image_at(store: Store, manifest: Descriptor) -> Image:
    """The image of one manifest. Raises StoreError."""
    body = store.read_json(manifest.digest)
    layers, config_at = body.get("layers"), body.get("config")
    if not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
        raise StoreError(f"the manifest {manifest.digest} has no proper list of layers", reason="json-invalid")
    config = store.read_json(Descriptor.from_json(config_at).digest)
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
        raise StoreError(f"the image {manifest.digest} has other layers than its config says", reason="json-invalid")
    for diff_id in diff_ids:
        store.blob(str(diff_id))
    platform = platform_of(*(str(config.get(key) or "") for key in ("os", "architecture", "variant")))
    pairs = zip(layers, diff_ids, strict=True)
    return Image(
        platform, manifest, config, tuple(Layer(Descriptor.from_json(each), str(diff)) for each, diff in pairs)
    )


def write_image(
    store: Store,
    platform: Platform,
    config: Mapping[str, Any],
    layers: Sequence[Layer],
    history: Sequence[Mapping[str, Any]],
    created: str,
    annotations: Sequence[tuple[str, str]] = (),
    *,
    more: Mapping[str, Any] | None = None,
) -> Descriptor:
    """Write config and manifest of one platform.

    ``created`` is RFC 3339, ``config`` the config's own ``config``, ``more`` what is to stand beside it.
    """
    body: dict[str, Any] = {
        "architecture": platform.arch,
        "os": platform.os,
        "created": created,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [dict(entry) for entry in history],
    }
    if platform.variant:
        body["variant"] = platform.variant
    described = store.put_json(body | dict(more or {}), CONFIG_TYPE)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described.to_json(),
        "layers": [layer.descriptor.to_json() for layer in layers],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    written = store.put_json(manifest, MANIFEST_TYPE)
    return Descriptor(written.media_type, written.digest, written.size, platform)


def write_index(
    store: Store, manifests: Sequence[Descriptor], annotations: Sequence[tuple[str, str]] = ()
) -> Descriptor:
    """Write the index of several platforms' images."""
    body: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [one.to_json() for one in manifests],
    }
    if annotations:
        body["annotations"] = dict(annotations)
    return store.put_json(body, INDEX_TYPE)


def image_size(store: Store, manifest: Descriptor) -> int:
    """Bytes of an image's manifest, config and layers, as they lie compressed."""
    body = store.read_json(manifest.digest)
    parts = [Descriptor.from_json(body["config"]), *(Descriptor.from_json(each) for each in body["layers"])]
    return manifest.size + sum(part.size for part in parts)
