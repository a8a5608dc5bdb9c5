"""Images in an archive, read where they lie: an OCI layout in a tar, and what ``docker save`` wrote before version 25.

The headers are read once; blobs are then read from their places, each checked against its digest. Nothing is unpacked,
and nothing that a header says is believed beyond the file's own length.
Sources: OCI image-spec, image-layout.md; Docker's Image Specification v1.2, for ``manifest.json``; POSIX pax.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from typing import Any

from xxpy.build.descriptor import Descriptor, canonical_json, digest_of_bytes
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE
from xxpy.build.layoutindex import index_entries
from xxpy.build.ocilayout import Layout, pick, typed
from xxpy.build.outputs import GZIP, UNCOMPRESSED
from xxpy.build.packers import LAYER_TYPES
from xxpy.build.store import JSON_LIMIT, Store
from xxpy.errors import SourceError, StoreError

_MOST_ENTRIES = 20_000
_MOST_HEADER = 1 << 20
_PIECE = 1 << 20
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}

Place = tuple[int, int]
"""Where a file's content begins in the archive, and how long it is, in bytes."""


class Archive:
    """A `Source`: the image ``wanted`` in an archive, whose file stays open until `close`."""

    def __init__(self, wanted: Layout) -> None:
        """Raises SourceError (``archive-missing``, ``archive-packed``, ``bad-archive``), StoreError."""
        self.name = str(wanted.folder)
        self._wanted = wanted
        try:
            self._fd = os.open(wanted.folder, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(
                f"cannot read {self.name}: {error.strerror}",
                remedy="name an archive, a folder or an image of the store (xx images)",
                reason="archive-missing",
            ) from error
        try:
            self._files = self._listed()
            self._blobs = {
                f"sha256:{name.removeprefix('blobs/sha256/')}": place
                for name, place in self._files.items()
                if name.startswith("blobs/sha256/")
            }
            self._made: dict[str, bytes] = {}
            """What the archive has not and stands for something in it: manifests of docker's own format."""
            self._entry = self._found()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Nothing can be read from now on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def entry(self) -> Descriptor:
        """See `Source.entry`."""
        return self._entry

    def read(self, blob: Descriptor) -> bytes:
        """See `Source.read`."""
        made = self._made.get(blob.digest)
        if made is not None:
            return made
        if blob.size > JSON_LIMIT:
            raise StoreError(f"the blob {blob.digest} has more than {JSON_LIMIT} bytes", reason="blob-too-large")
        data = b"".join(self._pieces(self._place(blob)))
        if digest_of_bytes(data) != blob.digest:
            raise self._damaged(blob, f"its content is {digest_of_bytes(data)}")
        return data

    def copy(self, blob: Descriptor, store: Store) -> None:
        """See `Source.copy`."""
        if store.has(blob.digest):
            return
        if blob.digest in self._made:
            store.put_bytes(self._made[blob.digest], blob.media_type)
            return
        place = self._place(blob)
        with store.writer() as out:
            for data in self._pieces(place):
                out.write(data)
            if out.digest != blob.digest:
                raise self._damaged(blob, f"its content is {out.digest}")
            out.commit(blob.media_type)

    # -- reading -------------------------------------------------------------------------------------------------

    def _listed(self) -> dict[str, Place]:
        """The regular files of the archive; of two of one name the later, as with any tar."""
        with _Headers(os.dup(self._fd)) as file:
            info = os.fstat(self._fd)
            if not stat.S_ISREG(info.st_mode):
                raise self._bad("it is no file")
            size, magic = info.st_size, os.pread(self._fd, 6, 0)
            packed = next((name for start, name in _PACKED.items() if magic.startswith(start)), "")
            if packed:
                raise SourceError(
                    f"{self.name} is packed by {packed}, so nothing in it has a place of its own",
                    remedy="unpack it first, as in: gunzip FILE.tar.gz",
                    reason="archive-packed",
                )
            found: dict[str, Place] = {}
            try:
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    for count, entry in enumerate(tar):
                        if count >= _MOST_ENTRIES:
                            raise self._bad(f"it has more than {_MOST_ENTRIES} entries")
                        if not entry.isreg() or entry.issparse():
                            continue
                        if entry.size < 0 or entry.offset_data + entry.size > size:
                            raise self._bad(f"it ends within {entry.name[:100]!r}")
                        found[posixpath.normpath(entry.name)] = (entry.offset_data, entry.size)
            except (tarfile.TarError, OSError, ValueError, OverflowError, EOFError) as error:
                raise self._bad(str(error)) from error
        return found

    def _found(self) -> Descriptor:
        if "index.json" in self._files:
            entries = index_entries(self._json("index.json"), f"index.json of {self.name}", "write the archive again")
            return pick(entries, self._wanted, self._typed)
        if "manifest.json" in self._files:
            return self._docker_image()
        raise self._bad("it has neither an index.json nor a manifest.json")

    def _typed(self, digest: str) -> Descriptor | None:
        if digest not in self._blobs:
            return None
        blob = Descriptor("application/octet-stream", digest, self._blobs[digest][1])
        return typed(digest, blob.size, self.read(blob))

    def _json(self, name: str) -> bytes:
        place = self._files.get(posixpath.normpath(name))
        if place is None or place[1] > JSON_LIMIT:
            raise self._bad(f"it has no {name[:100]!r}" if place is None else f"{name[:100]!r} is too large")
        return b"".join(self._pieces(place))

    def _place(self, blob: Descriptor) -> Place:
        place = self._blobs.get(blob.digest)
        if place is None:
            raise StoreError(
                f"{self.name} lacks the blob {blob.digest}", remedy="write the archive again", reason="blob-missing"
            )
        if place[1] != blob.size:
            raise self._damaged(blob, f"it has {place[1]} bytes, {blob.size} are expected")
        return place

    def _pieces(self, place: Place) -> Iterator[bytes]:
        offset, left = place
        while left:
            data = os.pread(self._fd, min(left, _PIECE), offset)
            if not data:
                raise self._bad("it became shorter while it was read")
            offset, left = offset + len(data), left - len(data)
            yield data

    # -- docker's own format -------------------------------------------------------------------------------------

    def _docker_image(self) -> Descriptor:
        """A manifest made of what ``manifest.json`` says; layers are named by their digests in the config."""
        try:
            listed = json.loads(self._json("manifest.json"))
        except (ValueError, RecursionError) as error:
            raise self._bad(f"manifest.json is not JSON: {error}") from error
        images = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        image = self._docker_chosen(images)
        name = str(image.get("Config"))
        data = self._json(name)
        config = Descriptor(CONFIG_TYPE, digest_of_bytes(data), len(data))
        self._blobs[config.digest] = self._files[posixpath.normpath(name)]
        names = image.get("Layers")
        try:
            diff_ids = json.loads(data)["rootfs"]["diff_ids"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise self._bad("the image's config names no layers") from error
        if not isinstance(names, list) or not isinstance(diff_ids, list) or len(names) != len(diff_ids):
            raise self._bad("it has other layers than its config says")
        layers = [self._docker_layer(str(each), diff_id) for each, diff_id in zip(names, diff_ids, strict=True)]
        body = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config.to_json(), "layers": layers}
        made = canonical_json(body)
        self._made[digest_of_bytes(made)] = made
        return Descriptor(MANIFEST_TYPE, digest_of_bytes(made), len(made))

    def _docker_layer(self, name: str, diff_id: object) -> dict[str, Any]:
        place = self._files.get(posixpath.normpath(name))
        if place is None:
            raise self._bad(f"it has no {name[:100]!r}")
        # Its config knows the digest of a layer that is not compressed; for others it has to be read.
        packed = os.pread(self._fd, 2, place[0]) == b"\x1f\x8b"
        digest = self._digest(place) if packed else diff_id
        layer = Descriptor.from_json(
            {"mediaType": LAYER_TYPES[GZIP if packed else UNCOMPRESSED], "digest": digest, "size": place[1]}
        )
        self._blobs[layer.digest] = place
        return layer.to_json()

    def _digest(self, place: Place) -> str:
        state = hashlib.sha256()
        for data in self._pieces(place):
            state.update(data)
        return f"sha256:{state.hexdigest()}"

    def _docker_chosen(self, images: list[dict[str, Any]]) -> dict[str, Any]:
        def named(image: dict[str, Any]) -> set[str]:
            tags = image.get("RepoTags")
            return {str(each) for each in tags} if isinstance(tags, list) else set()

        wanted = self._wanted.tag
        found = [one for one in images if any(tag == wanted or tag.endswith(f":{wanted}") for tag in named(one))]
        if not wanted and len(images) == 1:
            found = images
        if len(found) != 1 or self._wanted.digest:
            has = ", ".join(sorted(tag for one in images for tag in named(one))) or "none with a tag"
            raise SourceError(
                f"{self.name} has not just one image {self._wanted.digest or wanted}; it has {has[:300]}",
                remedy="name one of them: FILE:TAG",
                reason="image-missing",
            )
        return found[0]

    def _bad(self, why: str) -> SourceError:
        return SourceError(
            f"{self.name} is no archive of an image: {why}",
            remedy="name what `xx build -o type=oci,dest=FILE` or `docker save` has written",
            reason="bad-archive",
        )

    def _damaged(self, blob: Descriptor, why: str) -> StoreError:
        return StoreError(
            f"the blob {blob.digest} of {self.name} is damaged: {why}",
            remedy="write the archive again",
            reason="digest-mismatch",
        )


class _Headers(io.FileIO):
    """A file as tarfile reads headers from it: seeking over contents, and never reading much at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        """See `io.FileIO.read`. Raises tarfile.ReadError."""
        if size is None or not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a header of more than {_MOST_HEADER} bytes")
        return super().read(size) or b""
