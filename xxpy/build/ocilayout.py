"""Images of OCI layouts that ``--build-context`` names, copied into the store: each blob checked against its digest.

Source: OCI image-spec, image-layout.md and image-index.md; docker buildx build's reference, "--build-context".
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.bases import base_of
from xxpy.build.contexts import LAYOUT
from xxpy.build.descriptor import Descriptor, digest_of_bytes, hex_of, parse_json_object, platform_of
from xxpy.build.dockerfile.bases import BaseImage, Images
from xxpy.build.image import INDEX_TYPES, MANIFEST_TYPE, best_for, image_at
from xxpy.build.layoutindex import INDEX_TYPE, REF_NAME, read_index
from xxpy.build.names import tag_of
from xxpy.build.store import JSON_LIMIT, Store
from xxpy.errors import SourceError, StoreError, UsageError
from xxpy.platforms import Platform

_DEEPEST = 4
_AGAIN = "write the layout again"
_PLACE = re.compile(
    r"(?P<path>.+?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?", re.DOTALL
)


@dataclass(frozen=True)
class Layout:
    """``oci-layout://PATH[:TAG][@DIGEST]``: a folder, and which of its images."""

    folder: Path
    tag: str
    digest: str


def parse_layout(text: str) -> Layout:
    """Read the identifier of a layout. Raises UsageError (``bad-build-context``)."""
    match = _PLACE.fullmatch(text.removeprefix(LAYOUT))
    if match is None:
        raise UsageError(
            f"{text[:100]!r} names no layout",
            remedy="write oci-layout://FOLDER, with :TAG or @sha256:… where it has several images",
            reason="bad-build-context",
        )
    return Layout(Path(match["path"]), match["tag"] or "", match["digest"] or "")


class LayoutImages:
    """`Images` that also takes what ``oci-layout://…`` names; all other names go on to ``images``."""

    def __init__(self, store: Store, images: Images) -> None:
        self._store = store
        self._images = images
        self._known: dict[tuple[str, Platform], BaseImage] = {}

    def base(self, name: str, platform: Platform) -> BaseImage:
        """See `Images.base`. Raises besides StoreError (``digest-mismatch``, …) for a layout that is damaged."""
        if not name.startswith(LAYOUT):
            return self._images.base(name, platform)
        if (name, platform) not in self._known:
            manifest = copy_image(self._store, parse_layout(name), platform)
            self._known[(name, platform)] = base_of("oci-layout", image_at(self._store, manifest))
        return self._known[(name, platform)]


def copy_image(store: Store, layout: Layout, platform: Platform) -> Descriptor:
    """Have the image for ``platform`` in the store; its manifest.

    Raises SourceError (``layout-missing``, ``image-missing``, ``platform-missing``); StoreError for what is damaged.
    """
    manifests = _manifests(layout, chosen_entry(layout), 0)
    found = best_for(manifests, platform)
    if found is None:
        has = ", ".join(str(one.platform) for one in manifests if one.platform is not None) or "none"
        raise SourceError(
            f"the image in {layout.folder} has no {platform}; it has {has}",
            remedy="build it for that platform too",
            reason="platform-missing",
        )
    body = parse_json_object(read_blob(layout, found), f"the manifest {found.digest}")
    layers = body.get("layers")
    if not isinstance(layers, list):
        raise StoreError(f"the manifest {found.digest} has no list of layers", reason="json-invalid")
    for part in (body.get("config"), *layers):
        copy_blob(store, layout, Descriptor.from_json(part))
    return copy_blob(store, layout, found)


def chosen_entry(layout: Layout) -> Descriptor:
    """The entry of the layout's index that is meant. Raises SourceError (``layout-missing``, ``image-missing``)."""
    try:
        entries = read_index(layout.folder / "index.json", _AGAIN)
    except OSError as error:
        raise SourceError(
            f"{layout.folder} is no OCI layout: {error.strerror} (index.json)",
            remedy="name the folder that oci-layout and index.json are in",
            reason="layout-missing",
        ) from error
    return pick(entries, layout, lambda digest: _typed(layout, digest))


def pick(entries: Sequence[Descriptor], layout: Layout, typed: Callable[[str], Descriptor | None]) -> Descriptor:
    """That one of a layout's ``entries`` which is meant; ``typed`` looks for a digest that is not among them.

    Raises SourceError (``image-missing``), StoreError.
    """
    if layout.digest:
        found = [entry for entry in entries if entry.digest == layout.digest]
        if not found:
            # It may be one that an index of the layout refers to.
            other = typed(layout.digest)
            found = [other] if other is not None else []
    else:
        wanted = layout.tag or "latest"
        found = [entry for entry in entries if wanted in _tags(entry)]
        if not found and not layout.tag and len(entries) == 1:
            found = [*entries]
    if not found:
        has = ", ".join(sorted({tag for entry in entries for tag in _tags(entry)})) or "no tag"
        raise SourceError(
            f"the layout {layout.folder} has no image {layout.digest or layout.tag or 'latest'}; it has {has[:300]}",
            remedy="name one of them: FOLDER:TAG, or FOLDER@sha256:…",
            reason="image-missing",
        )
    return found[-1]


def _tags(entry: Descriptor) -> set[str]:
    name = dict(entry.annotations).get(REF_NAME, "")
    return {name, tag_of(name)} if name else set()


def _typed(layout: Layout, digest: str) -> Descriptor | None:
    path = _blob(layout, digest)
    if not path.is_file():
        return None
    size = path.stat().st_size
    return typed(digest, size, read_blob(layout, Descriptor("application/octet-stream", digest, size)))


def typed(digest: str, size: int, data: bytes) -> Descriptor:
    """The descriptor of an index or a manifest by what it says itself. Raises StoreError."""
    body = parse_json_object(data, f"the blob {digest}")
    # A manifest need not say what it is (OCI image-spec, manifest.md, "mediaType").
    kind = body.get("mediaType", INDEX_TYPE if "manifests" in body else MANIFEST_TYPE)
    return Descriptor.from_json({"mediaType": kind, "digest": digest, "size": size})


def _manifests(layout: Layout, entry: Descriptor, depth: int) -> list[Descriptor]:
    """The manifests that an entry stands for, each with its platform; an index may hold indexes."""
    if entry.media_type in INDEX_TYPES:
        listed = parse_json_object(read_blob(layout, entry), f"the index {entry.digest}").get("manifests")
        if not isinstance(listed, list) or depth > _DEEPEST:
            raise StoreError(f"the index {entry.digest} has no manifests", reason="json-invalid")
        inner = [Descriptor.from_json(each) for each in listed]
        return [one for each in inner for one in _manifests(layout, each, depth + 1)]
    if entry.platform is not None:
        return [entry] if entry.platform.os != "unknown" else []
    config = Descriptor.from_json(parse_json_object(read_blob(layout, entry), "the manifest").get("config"))
    body = parse_json_object(read_blob(layout, config), "the image's config")
    platform = platform_of(*(str(body.get(key) or "") for key in ("os", "architecture", "variant")))
    return [Descriptor(entry.media_type, entry.digest, entry.size, platform)]


def _blob(layout: Layout, digest: str) -> Path:
    return layout.folder / "blobs" / "sha256" / hex_of(digest)


def _open(layout: Layout, blob: Descriptor) -> int:
    path = _blob(layout, blob.digest)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", reason="blob-missing") from error
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_size != blob.size:
        os.close(fd)
        raise _damaged(path, f"it has {info.st_size} bytes, {blob.size} are expected")
    return fd


def read_blob(layout: Layout, blob: Descriptor) -> bytes:
    """A blob of JSON, checked. Raises StoreError (``blob-missing``, ``digest-mismatch``)."""
    with os.fdopen(_open(layout, blob), "rb") as file:
        data = file.read(JSON_LIMIT)
    if digest_of_bytes(data) != blob.digest:
        raise _damaged(_blob(layout, blob.digest), f"its content is {digest_of_bytes(data)}")
    return data


def copy_blob(store: Store, layout: Layout, blob: Descriptor) -> Descriptor:
    """Have a blob in the store. Raises as `read_blob` does."""
    if not store.has(blob.digest):
        with os.fdopen(_open(layout, blob), "rb") as file, store.writer() as out:
            while data := file.read(1 << 20):
                out.write(data)
            # What is not what it should be is kept under its own name, where nothing asks for it.
            written = out.commit(blob.media_type)
        if written.digest != blob.digest:
            raise _damaged(_blob(layout, blob.digest), f"its content is {written.digest}")
    return blob


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is damaged: {why}", remedy=_AGAIN, reason="digest-mismatch")
