"""Where an image may be read from: the store, an OCI layout, an archive, a registry. One Protocol for all.

Sources: OCI image-spec, image-index.md; BuildKit's docs/attestations/attestation-storage.md for the annotations of
attestations.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from xxpy.build.archive import Archive
from xxpy.build.contexts import LAYOUT
from xxpy.build.descriptor import Descriptor, is_digest, parse_json_object, platform_of
from xxpy.build.image import INDEX_TYPES
from xxpy.build.listing import meant
from xxpy.build.names import normalize_name, short_name
from xxpy.build.ocilayout import Layout, chosen_entry, copy_blob, parse_layout, read_blob, typed
from xxpy.build.store import Store
from xxpy.errors import SourceError, StoreError, UsageError

REFERENCE_TYPE, REFERENCE_DIGEST = "vnd.docker.reference.type", "vnd.docker.reference.digest"
"""Annotations of an index's entry that is about another entry: what it is, and of which manifest."""

REMOTE = "docker://"
"""What skopeo, too, has before the name of an image in its registry."""

_IN_FILES = ("oci:", "oci-archive:", "docker-archive:")
"""What skopeo has before the path of a layout or an archive."""
_DEEPEST = 4
_MOST_MANIFESTS = 500


class Source(Protocol):
    """An image that lies somewhere. What is read has the digest that was asked for, or is an error."""

    @property
    def name(self) -> str:
        """What people call it."""

    def entry(self) -> Descriptor:
        """The index or the manifest that it is."""

    def read(self, blob: Descriptor) -> bytes:
        """A blob of JSON. Raises StoreError (``blob-missing``, ``blob-too-large``, ``digest-mismatch``)."""

    def copy(self, blob: Descriptor, store: Store) -> None:
        """Have any blob in ``store``. Raises StoreError, as `read` does and where ``store`` cannot be written."""


@dataclass(frozen=True)
class StoreSource:
    """An image of the store itself."""

    store: Store
    name: str
    found: Descriptor

    def entry(self) -> Descriptor:
        """See `Source.entry`."""
        return self.found

    def read(self, blob: Descriptor) -> bytes:
        """See `Source.read`."""
        return self.store.read(blob.digest)

    def copy(self, blob: Descriptor, store: Store) -> None:
        """See `Source.copy`."""
        if not store.has(blob.digest):
            raise StoreError(
                f"the store {store.root} lacks the blob {blob.digest} of {self.name}",
                remedy="make or fetch the image again",
                reason="blob-missing",
            )


@dataclass(frozen=True)
class LayoutSource:
    """An image of an OCI layout in a folder."""

    layout: Layout

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return str(self.layout.folder)

    def entry(self) -> Descriptor:
        """See `Source.entry`."""
        return chosen_entry(self.layout)

    def read(self, blob: Descriptor) -> bytes:
        """See `Source.read`."""
        return read_blob(self.layout, blob)

    def copy(self, blob: Descriptor, store: Store) -> None:
        """See `Source.copy`."""
        copy_blob(store, self.layout, blob)


@contextlib.contextmanager
def opened(store: Store, text: str) -> Iterator[Source]:
    """What ``text`` names: an image of the store or a digest in it, else ``PATH[:TAG][@DIGEST]``, a folder or a file.

    The path may have ``oci:``, ``oci-archive:`` or ``docker-archive:`` before it, as with skopeo.
    ``docker://NAME`` is the image of a registry, and so is a NAME with a host that is none of these. Raises SourceError
    (``image-missing``, ``layout-missing``, ``bad-archive``, …), RegistryError, UsageError, StoreError.
    """
    known = None if text.startswith((LAYOUT, REMOTE, "/", "./", "../")) else _in_store(store, text)
    if known is not None:
        yield known
        return
    if text.startswith(REMOTE) or _in_registry(text):
        # Most images that are looked at are here.
        from xxpy.build.registry.source import RegistrySource

        yield RegistrySource(store, text.removeprefix(REMOTE))
        return
    layout = _place(text)
    if layout.folder.is_dir():
        yield LayoutSource(layout)
        return
    archive = Archive(layout)
    try:
        yield archive
    finally:
        archive.close()


def needs_store(text: str) -> bool:
    """Whether ``text`` can only be of the store: it is no path to what is there, and names no registry."""
    text = _without_transport(text)
    if text.startswith((LAYOUT, REMOTE, "/", "./", "../")) or Path(text).exists() or _in_registry(text):
        return False
    try:
        return not parse_layout(text).folder.exists()
    except (UsageError, SourceError):
        return True


def _in_store(store: Store, text: str) -> Source | None:
    if is_digest(text) and store.has(text):
        return StoreSource(store, text, typed(text, store.blob(text).stat().st_size, store.read(text)))
    try:
        names, found = meant(store, text)
    except SourceError:
        return None
    except UsageError as error:
        if error.reason == "id-ambiguous" and not Path(text).exists():
            raise
        return None
    if normalize_name(text) != names[0] and Path(text).exists():
        # What looks like an ID is a file's name.
        return None
    return StoreSource(store, short_name(names[0]), found)


def _in_registry(text: str) -> bool:
    """Whether ``text`` is a name that says its host, as in ``ghcr.io/a/b``, and there is no such path."""
    host, slash, _ = text.partition("/")
    says_host = bool(slash) and host not in ("", ".", "..") and (bool(set(host) & set(".:")) or host == "localhost")
    if not says_host or text.startswith(LAYOUT) or Path(text).exists() or Path(host).exists():
        return False
    with contextlib.suppress(UsageError):
        normalize_name(text)
        return True
    return False


def _without_transport(text: str) -> str:
    """``text`` without what skopeo has before a path, unless it is the name of a file itself."""
    if Path(text).exists():
        return text
    return next((text.removeprefix(each) for each in _IN_FILES if text.startswith(each)), text)


def _place(text: str) -> Layout:
    """The path that is meant; a name with a colon may be one itself."""
    text = _without_transport(text)
    whole = text.removeprefix(LAYOUT)
    layout = Layout(Path(whole), "", "") if Path(whole).exists() else parse_layout(text)
    if not layout.folder.exists():
        raise SourceError(
            f"there is no image {text[:200]} in the store, and no such file or folder",
            remedy="xx images lists what the store has; archives and layouts go by their path, others by docker://NAME",
            reason="image-missing",
        )
    return layout


@dataclass(frozen=True)
class Listing:
    """What a source holds: its ``entry``, the annotations of its index, its manifests, each with its platform.

    ``attached`` are the manifests that are about others: BuildKit's attestations.
    """

    entry: Descriptor
    annotations: tuple[tuple[str, str], ...]
    manifests: tuple[Descriptor, ...]
    attached: tuple[Descriptor, ...]


def listing(source: Source) -> Listing:
    """Read what ``source`` holds. Raises SourceError, StoreError."""
    entry = source.entry()
    annotations: tuple[tuple[str, str], ...] = ()
    if entry.media_type in INDEX_TYPES:
        body = parse_json_object(source.read(entry), f"the index {entry.digest}")
        annotations = Descriptor.from_json(entry.to_json() | {"annotations": body.get("annotations")}).annotations
    found = list(_manifests(source, entry, 0))
    if len(found) > _MOST_MANIFESTS:
        raise StoreError(f"{source.name} has more than {_MOST_MANIFESTS} manifests", reason="json-invalid")
    attached = [one for one in found if subject_of(one) or (one.platform and one.platform.os == "unknown")]
    return Listing(entry, annotations, tuple(one for one in found if one not in attached), tuple(attached))


def subject_of(manifest: Descriptor) -> str:
    """The digest of the manifest that ``manifest`` is about; empty if it is an image itself."""
    return dict(manifest.annotations).get(REFERENCE_DIGEST, "")


def _manifests(source: Source, entry: Descriptor, depth: int) -> Iterator[Descriptor]:
    if entry.media_type in INDEX_TYPES:
        listed = parse_json_object(source.read(entry), f"the index {entry.digest}").get("manifests")
        if not isinstance(listed, list) or depth > _DEEPEST or len(listed) > _MOST_MANIFESTS:
            raise StoreError(f"the index {entry.digest} has no proper list of manifests", reason="json-invalid")
        for each in listed:
            yield from _manifests(source, Descriptor.from_json(each), depth + 1)
    elif entry.platform is not None:
        yield entry
    else:
        config = parse_json_object(source.read(config_of(source, entry)), f"the config of {entry.digest}")
        platform = platform_of(*(str(config.get(key) or "") for key in ("os", "architecture", "variant")))
        yield replace(entry, platform=platform)


def config_of(source: Source, manifest: Descriptor) -> Descriptor:
    """The descriptor of a manifest's config. Raises StoreError."""
    body = parse_json_object(source.read(manifest), f"the manifest {manifest.digest}")
    return Descriptor.from_json(body.get("config"))
