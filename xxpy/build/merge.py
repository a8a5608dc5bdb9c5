"""One image index out of several sources: what machines have built apart, each for platforms of its own.

Sources: OCI image-spec, image-index.md; BuildKit's docs/attestations/attestation-storage.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from xxpy.build.annotations import INDEX, INDEX_DESCRIPTOR, Annotation, chosen
from xxpy.build.descriptor import Descriptor, parse_json_object
from xxpy.build.image import INDEX_TYPES, write_index
from xxpy.build.remotecache.entries import CONFIG_TYPE
from xxpy.build.sources import Listing, Source, listing, subject_of
from xxpy.build.store import Store
from xxpy.errors import SourceError, UsageError


@dataclass
class _Merged:
    manifests: dict[str, Descriptor] = field(default_factory=dict)
    """By platform."""
    attached: dict[str, Descriptor] = field(default_factory=dict)
    """By digest."""
    origins: dict[str, Source] = field(default_factory=dict)
    """What each of these digests is taken from."""


def check_annotations(given: Sequence[Annotation]) -> None:
    """Refuse what would be written into a manifest, and so make it another. Raises UsageError (``bad-annotation``)."""
    for one in given:
        if one.kind not in (INDEX, INDEX_DESCRIPTOR):
            raise UsageError(
                f"--annotation {one.key}: the manifests that are merged stay as they are",
                remedy=f"write {INDEX}:{one.key}=VALUE",
                reason="bad-annotation",
            )


def merge(store: Store, sources: Sequence[Source], annotations: Sequence[Annotation]) -> Descriptor:
    """Write the index of all that ``sources`` hold, with their blobs, to ``store``; its descriptor.

    An annotation of the sources' indexes is kept where all have it alike. Raises SourceError (``platform-twice``,
    ``nothing-to-merge``), StoreError.
    """
    listings = [listing(source) for source in sources]
    merged = _Merged()
    for source, found in zip(sources, listings, strict=True):
        _add(merged, source, found)
    if not merged.manifests:
        raise SourceError("no source holds an image", remedy="name images with manifests", reason="nothing-to-merge")
    manifests = [merged.manifests[name] for name in sorted(merged.manifests)]
    there = {one.digest for one in manifests}
    attached = [one for _, one in sorted(merged.attached.items()) if subject_of(one) in there]
    for one in (*manifests, *attached):
        _copy(merged.origins[one.digest], one, store)
    said = _kept(listings) | dict(chosen(annotations, INDEX))
    written = write_index(store, [*manifests, *attached], tuple(sorted(said.items())))
    return replace(written, annotations=chosen(annotations, INDEX_DESCRIPTOR))


def _add(merged: _Merged, source: Source, found: Listing) -> None:
    for one in found.manifests:
        platform = str(one.platform)
        other = merged.manifests.get(platform)
        if other is not None and other.digest != one.digest:
            raise SourceError(
                f"{platform} is in {merged.origins[other.digest].name} ({other.digest[:19]}) "
                f"and in {source.name} ({one.digest[:19]}), and the two differ",
                remedy="leave that platform out of one of them",
                reason="platform-twice",
            )
        if other is None:
            merged.manifests[platform] = one
            merged.origins[one.digest] = source
    for one in found.attached:
        merged.attached.setdefault(one.digest, one)
        merged.origins.setdefault(one.digest, source)


def _copy(source: Source, manifest: Descriptor, store: Store) -> None:
    """Have a manifest and what it refers to in ``store``, itself last."""
    body = parse_json_object(source.read(manifest), f"the manifest {manifest.digest}")
    if Descriptor.from_json(body.get("config")).media_type == CONFIG_TYPE:
        raise SourceError(
            f"{source.name} is a cache of --cache-to, no image", remedy="name an image", reason="image-unsupported"
        )
    layers = body.get("layers")
    parts = [body.get("config"), *(layers if isinstance(layers, list) else ())]
    for part in parts:
        source.copy(Descriptor.from_json(part), store)
    source.copy(manifest, store)


def _kept(listings: Sequence[Listing]) -> dict[str, str]:
    indexes = [dict(each.annotations) for each in listings if each.entry.media_type in INDEX_TYPES]
    first = indexes[0] if indexes else {}
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in indexes)}
