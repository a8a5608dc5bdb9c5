"""Where a cache is kept, for those who read it and those who add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from xxpy.build.convert import DOCKER_CONFIG
from xxpy.build.descriptor import Descriptor
from xxpy.build.image import CONFIG_TYPE as IMAGE_TYPE
from xxpy.build.image import INDEX_TYPES, MANIFEST_TYPE
from xxpy.build.remotecache.aging import Addition
from xxpy.build.remotecache.entries import CONFIG_TYPE, Entries, NoCache, read_entries, read_inline
from xxpy.build.store import Store
from xxpy.errors import StoreError

_DEEPEST = 4
_MOST_MANIFESTS = 200
_BUILDKIT_S = "application/vnd.buildkit.cacheconfig."
"""What the media type of BuildKit's own caches begins with."""


class Place(Protocol):
    """A folder or a registry with one cache."""

    def read(self) -> Entries:
        """What is there; nothing where there is no cache yet.

        Raises OtherVersion for a cache of others, XxError where the place cannot be read or is damaged.
        """

    def fetch(self, layer: Descriptor, store: Store) -> None:
        """Have the blob of a layer in ``store``, checked against its digest. Raises XxError."""

    def add(self, addition: Addition, store: Store) -> int:
        """Add what has its layers as blobs of ``store`` to what is there. The bytes of layers that were new.

        Others may add at the same time; nothing of theirs is lost. What is there of another version is replaced.
        Raises XxError.
        """


def entries_of(entry: Descriptor, read: Callable[[Descriptor], Mapping[str, Any]]) -> Entries:
    """The entries of a cache, or of an image with an inline one; ``read`` gives a blob of JSON.

    Raises OtherVersion, StoreError.
    """
    found, is_cache = _entries_of(entry, read, 0)
    if not is_cache and not found.results:
        raise NoCache("it is an image without a cache in it, which --cache-to type=inline puts there")
    return found


def _entries_of(entry: Descriptor, read: Callable[[Descriptor], Mapping[str, Any]], depth: int) -> tuple[Entries, bool]:
    """The entries, and whether they are of a cache and not of images."""
    body = read(entry)
    if entry.media_type in INDEX_TYPES:
        listed = body.get("manifests")
        inner = [Descriptor.from_json(each) for each in listed] if isinstance(listed, list) else []
        if depth > _DEEPEST or len(inner) > _MOST_MANIFESTS:
            raise StoreError(f"the index {entry.digest} has too much in it", reason="cache-invalid")
        if any(one.media_type.startswith(_BUILDKIT_S) for one in inner):
            raise NoCache("it is a cache of BuildKit's")
        found, is_cache = Entries(), False
        for one in inner:
            if one.platform is None or one.platform.os != "unknown":
                more, of_cache = _entries_of(one, read, depth + 1)
                found, is_cache = found.over(more), is_cache or of_cache
        return found, is_cache
    config = Descriptor.from_json(body.get("config"))
    if config.media_type == CONFIG_TYPE:
        return read_entries(body, read(config)), True
    if config.media_type.startswith(_BUILDKIT_S):
        raise NoCache("it is a cache of BuildKit's")
    if config.media_type not in (IMAGE_TYPE, DOCKER_CONFIG):
        raise NoCache(f"it is of type {config.media_type[:100]}")
    return read_inline(body, read(config)), False


def require_no_image(entry: Descriptor, read: Callable[[Descriptor], Mapping[str, Any]], place: str) -> None:
    """Refuse to put a cache in the place of what is none of ours. Raises StoreError (``cache-is-none``)."""
    what = ""
    if entry.media_type in INDEX_TYPES or Descriptor.from_json(read(entry).get("config")).media_type != CONFIG_TYPE:
        what = "an image, or another's cache"
    if what:
        raise StoreError(
            f"{place} holds {what}, which --cache-to would overwrite",
            remedy="name another tag or folder for the cache",
            reason="cache-is-none",
        )


def manifest_of(config: Descriptor, entries: Entries) -> dict[str, object]:
    """The manifest of a cache (OCI image-spec, manifest.md)."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in entries.descriptors()],
    }
