"""A cache in a folder: an OCI image layout (OCI image-spec, image-layout.md), in whose index each cache has a tag."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xxpy.build.descriptor import Descriptor, canonical_json, digest_of_bytes, hex_of, parse_json_object
from xxpy.build.destination import ELSEWHERE, output_file
from xxpy.build.disk import storing
from xxpy.build.image import INDEX_TYPES, MANIFEST_TYPE
from xxpy.build.layoutindex import LAYOUT_FILE, REF_NAME, index_json, read_index
from xxpy.build.ocilayout import Layout, copy_blob, read_blob
from xxpy.build.outputs import LAYOUT_S
from xxpy.build.remotecache.aging import Addition
from xxpy.build.remotecache.entries import CONFIG_TYPE, Entries, OtherVersion
from xxpy.build.remotecache.places import entries_of, manifest_of, require_no_image
from xxpy.build.remotecache.spec import Cache
from xxpy.build.store import Store
from xxpy.errors import StoreError

_PIECE = 1 << 20
_DISK_S = "lost+found"
"""What a disk's own folder has."""


class LocalPlace:
    """A `Place` in a folder."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._layout = Layout(Path(cache.place), cache.tag, cache.digest)

    def read(self) -> Entries:
        """See `Place.read`."""
        found = Entries()
        for entry in self._meant(self._index()):
            found = found.over(self._entries(entry))
        return found

    def fetch(self, layer: Descriptor, store: Store) -> None:
        """See `Place.fetch`."""
        copy_blob(store, self._layout, layer)

    def add(self, addition: Addition, store: Store) -> int:
        """See `Place.add`. Layers that no cache in the folder has any more are removed."""
        folder = self._layout.folder
        self.require_own()
        with storing(folder, ELSEWHERE):
            blobs = folder / "blobs" / "sha256"
            blobs.mkdir(parents=True, exist_ok=True)
            layers = addition.entries.descriptors()
            new = sum(self._put_file(layer, store.blob(layer.digest)) for layer in layers)
            with _locked(folder):
                # What was there before may have been removed since.
                new += sum(self._put_file(layer, store.blob(layer.digest)) for layer in layers)
                index = self._index()
                old = self._meant(index)
                before = self._readable(old)
                all_of_it = addition.to(before)
                config = self._put(canonical_json(all_of_it.config()), CONFIG_TYPE)
                manifest = self._put(canonical_json(manifest_of(config, all_of_it)), MANIFEST_TYPE)
                named = Descriptor(MANIFEST_TYPE, manifest.digest, manifest.size, None, ((REF_NAME, self._cache.tag),))
                self._replace(folder / "oci-layout", LAYOUT_FILE)
                others = [one for one in index if one not in old]
                self._replace(folder / "index.json", index_json([*others, named]))
                self._forget(old, {config.digest, manifest.digest, *(one.digest for one in others)})
                self._forget_layers(_digests(before) - _digests(all_of_it), [*others, named])
        return new

    def require_own(self) -> None:
        """Refuse to add to a folder that holds something else. Raises StoreError (``cache-is-none``)."""
        folder = self._layout.folder
        if (folder / "xx-store").exists():
            raise StoreError(
                f"{folder} is a store of xx, no place for a cache", remedy=ELSEWHERE, reason="cache-is-none"
            )
        names = sorted(os.listdir(folder)) if os.access(folder, os.R_OK) else []
        # What was being written when the machine stopped begins with a dot.
        if other := next((name for name in names if name not in (*LAYOUT_S, _DISK_S) and name[0] != "."), ""):
            raise StoreError(
                f"{folder} holds {other}, and so is more than a cache",
                remedy="name a folder of its own: dest=DIR",
                reason="cache-is-none",
            )
        for entry in self._meant(self._index()):
            try:
                require_no_image(entry, self._json, f"the tag {self._cache.tag} in {folder}")
            except StoreError as error:
                # What is damaged is begun anew.
                if error.reason == "cache-is-none":
                    raise

    def _index(self) -> list[Descriptor]:
        try:
            return read_index(self._layout.folder / "index.json", "name another folder, or remove this one")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(
                f"cannot read {self._layout.folder}: {error.strerror}", reason="cache-unreadable"
            ) from error

    def _meant(self, index: list[Descriptor]) -> list[Descriptor]:
        """The entries of ``index`` that are this cache."""
        if self._cache.digest:
            return [one for one in index if one.digest == self._cache.digest]
        return [one for one in index if dict(one.annotations).get(REF_NAME, "latest") == self._cache.tag]

    def _entries(self, entry: Descriptor) -> Entries:
        return entries_of(entry, self._json)

    def _json(self, one: Descriptor) -> dict[str, Any]:
        return parse_json_object(read_blob(self._layout, one), f"the blob {one.digest}")

    def _readable(self, old: list[Descriptor]) -> Entries:
        """What there is to add to; what this version cannot read is to be replaced."""
        found = Entries()
        for entry in old:
            with contextlib.suppress(OtherVersion, StoreError):
                found = found.over(self._entries(entry))
        return found

    def _forget(self, old: list[Descriptor], kept: set[str]) -> None:
        """Remove the manifests and configs that nothing refers to any more; layers may be of others."""
        for entry in old:
            with contextlib.suppress(OSError, StoreError):
                if entry.media_type in INDEX_TYPES or entry.digest in kept:
                    continue
                manifest = parse_json_object(read_blob(self._layout, entry), "the manifest")
                config = Descriptor.from_json(manifest.get("config"))
                for digest in {entry.digest, config.digest} - kept:
                    self._blob(digest).unlink()

    def _forget_layers(self, digests: set[str], index: Sequence[Descriptor]) -> None:
        """Remove the layers that nothing in ``index`` has; none if that cannot be told."""
        with contextlib.suppress(OSError, StoreError):
            for digest in digests - self._layers_of(index) if digests else ():
                self._blob(digest).unlink(missing_ok=True)

    def _layers_of(self, index: Sequence[Descriptor]) -> set[str]:
        found: set[str] = set()
        todo = list(index)
        while todo:
            one = todo.pop()
            inner = one.media_type in INDEX_TYPES
            listed = self._json(one).get("manifests" if inner else "layers")
            named = [Descriptor.from_json(each) for each in listed] if isinstance(listed, list) else []
            if inner:
                todo += named
            else:
                found.update(each.digest for each in named)
        return found

    def _blob(self, digest: str) -> Path:
        return self._layout.folder / "blobs" / "sha256" / hex_of(digest)

    def _put(self, data: bytes, media_type: str) -> Descriptor:
        digest = digest_of_bytes(data)
        self._replace(self._blob(digest), data)
        return Descriptor(media_type, digest, len(data))

    def _put_file(self, layer: Descriptor, source: Path) -> int:
        """The bytes that were written: none where the layer is there."""
        target = self._blob(layer.digest)
        if target.exists() and target.stat().st_size == layer.size:
            return 0
        with source.open("rb") as file, output_file(str(target), own=False) as out:
            shutil.copyfileobj(file, out, _PIECE)
        return layer.size

    def _replace(self, path: Path, data: bytes) -> None:
        with output_file(str(path), own=False) as out:
            out.write(data)


def _digests(entries: Entries) -> set[str]:
    return {each.digest for each in entries.descriptors()}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others that add out of ``folder`` (flock(2)), and leave no file for it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
