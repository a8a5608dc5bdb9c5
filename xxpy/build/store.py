"""Store: content-addressed blobs, image names and cache records on disk, safe under concurrent and killed builds.

The root is an OCI image layout (OCI image-spec, image-layout.md), so that other tools read it as it is. Whatever is
written goes to a temporary name first and is renamed when whole: a file under its own name is never half-written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xxpy.build.descriptor import (
    Descriptor,
    canonical_json,
    digest_of_bytes,
    hex_of,
    parse_json_object,
)
from xxpy.build.disk import storing
from xxpy.build.layoutindex import LAYOUT_FILE, REF_NAME, index_json, read_index
from xxpy.build.locks import lock_path, locked
from xxpy.build.temporary import Temporary, sweep
from xxpy.errors import StoreError

VERSION = "1"
"""Version of the layout below the root, written to the file ``xx-store``."""

JSON_LIMIT = 8 << 20
"""Bytes of a JSON blob (manifest, index, config, record) that are read at most."""

PRUNE = "prune"
"""The lock that is shared for the moment in which a build marks a file as used, and held alone to remove one."""


class BlobWriter:
    """A blob that is written piece by piece. Without `commit` nothing of it stays."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        with storing(self._store.root):
            self._file = Temporary(self._store.tmp)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.discard()

    def write(self, data: bytes) -> int:
        """Append ``data``. Raises StoreError (``disk-full``)."""
        with storing(self._store.root):
            self._file.write(data)
        self._hash.update(data)
        self._size += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        """Of what has been written so far."""
        return "sha256:" + self._hash.hexdigest()

    def commit(self, media_type: str) -> Descriptor:
        """Give the blob its name; after this nothing can be written."""
        descriptor = Descriptor(media_type, self.digest, self._size)
        with storing(self._store.root):
            if not self._store.holds(descriptor):
                self._file.publish(self._store.blob(descriptor.digest), sync=True)
            self._file.discard()
        return descriptor


class Store:
    """One directory with all blobs, names, records, snapshots and locks of its user's builds.

    ``oci-layout``, ``index.json`` and ``blobs/`` are an OCI image layout, in whose index each name is the annotation
    ``org.opencontainers.image.ref.name``. Beside them: ``records/`` what the cache knows, ``snapshots/`` unpacked
    trees, ``caches/`` the contents of cache mounts, ``locks/``, ``tmp/`` what is being written, ``files/`` what the
    engine keeps as plain files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs" / "sha256"
        self.records = root / "records"
        self.snapshots = root / "snapshots"
        self.caches = root / "caches"
        self.locks = root / "locks"
        self.tmp = root / "tmp"
        self.files = root / "files"

    @classmethod
    def open(cls, root: Path) -> Store:
        """The store at ``root``, made or completed where something is missing, cleared of what killed writers left.

        Raises StoreError: ``store-version`` (another layout version), ``store-foreign`` (a directory of something
        else), ``store-unwritable``, ``disk-full``.
        """
        # Whoever works in the store changes its folder.
        root = root.absolute()
        store = cls(root)
        if root.exists() and not root.is_dir():
            remedy = "name an empty or a new directory"
            raise StoreError(f"{root} is no store of xx, but a file", remedy=remedy, reason="store-foreign")
        with storing(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            store._claim()
            folders = (store.blobs, store.records, store.snapshots, store.caches, store.locks, store.tmp, store.files)
            for directory in folders:
                directory.mkdir(parents=True, exist_ok=True)
            sweep(store.tmp)
            if not (root / "oci-layout").exists():
                store._replace(root / "oci-layout", LAYOUT_FILE, sync=False)
        if not (root / "index.json").exists():
            with store.lock("index"), storing(root):
                if not (root / "index.json").exists():
                    store._write_index([])
        return store

    @classmethod
    def find(cls, root: Path) -> Store:
        """As `open`, where there is a store. Raises as that, and StoreError (``store-missing``)."""
        try:
            absent = not os.listdir(root)
        except OSError:
            absent = not os.path.lexists(root)
        if absent:
            raise StoreError(
                f"there is no store at {root}",
                remedy="see --store and XX_STORE; xx build, xx base, xx image and xx pull make a store",
                reason="store-missing",
            )
        return cls.open(root)

    def _claim(self) -> None:
        marker = self.root / "xx-store"
        try:
            version = marker.read_text(errors="replace").strip()
        except FileNotFoundError:
            # Another process may be here too: its temporary file is none of a stranger's.
            names = sorted(
                name for name in os.listdir(self.root) if not name.startswith("xx-store") and name != "lost+found"
            )
            if names and not marker.exists():
                raise StoreError(
                    f"{self.root} is not a store of xx: it holds {names[0]!r} and no file xx-store",
                    remedy="Name an empty or a new directory.",
                    reason="store-foreign",
                ) from None
            temporary = self.root / f"xx-store-{secrets.token_hex(8)}"
            temporary.write_text(VERSION + "\n")
            os.rename(temporary, marker)
            return
        if version != VERSION:
            raise StoreError(
                f"the store {self.root} has layout version {version[:20]!r}, this program reads version {VERSION!r}",
                remedy="Use the version of xx that made it, or name another directory.",
                reason="store-version",
            )

    def put_bytes(self, data: bytes, media_type: str) -> Descriptor:
        """Keep ``data`` as a blob. The same bytes are one blob, however often they are put."""
        descriptor = Descriptor(media_type, digest_of_bytes(data), len(data))
        if not self.holds(descriptor):
            with storing(self.root):
                self._replace(self.blob(descriptor.digest), data, sync=True)
        return descriptor

    def put_json(self, value: Any, media_type: str) -> Descriptor:
        """Keep JSON-able data as a blob in its canonical text."""
        return self.put_bytes(canonical_json(value), media_type)

    def writer(self) -> BlobWriter:
        """A context manager for a blob whose bytes come one after the other."""
        return BlobWriter(self)

    def blob(self, digest: str) -> Path:
        """Where the blob is, or would be. Raises StoreError (``digest-invalid``)."""
        return self.blobs / hex_of(digest)

    def has(self, digest: str) -> bool:
        """Whether the blob is there, which counts as its being used; its content is not read."""
        return self._use(self.blob(digest))

    def _use(self, path: Path) -> bool:
        """Mark a file as used now; whether it is there. From then on it stays while this process is `using` the store.

        The time of last use is the file's time of modification: nothing here is ever changed in place.
        """
        try:
            with self.shared_lock(PRUNE):
                os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, StoreError):
            # Somebody else's file, as after a build by sudo, or a store for reading: it can be read all the same.
            return os.path.exists(path)
        return True

    def holds(self, descriptor: Descriptor) -> bool:
        """As `has`, for a blob that has that size too."""
        path = self.blob(descriptor.digest)
        return self._use(path) and path.stat().st_size == descriptor.size

    def require(self, blob: Descriptor) -> None:
        """Refuse to go on without a blob, or with one of another size.

        Raises StoreError (``blob-missing``, ``digest-mismatch``).
        """
        if not self._use(path := self.blob(blob.digest)):
            raise self._lacking(blob.digest)
        if (size := path.stat().st_size) != blob.size:
            raise _damaged(path, f"it has {size} bytes, {blob.size} are expected")

    def _lacking(self, digest: str) -> StoreError:
        return StoreError(
            f"the store {self.root} lacks the blob {digest}",
            remedy="Make or fetch the image again.",
            reason="blob-missing",
        )

    def read(self, digest: str, limit: int = JSON_LIMIT) -> bytes:
        """A blob of at most ``limit`` bytes, checked. Raises StoreError.

        Reasons: ``blob-missing``, ``blob-too-large``, ``digest-mismatch``.
        """
        path = self.blob(digest)
        self._use(path)
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            raise self._lacking(digest) from None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}", reason="store-failed") from error
        if len(data) > limit:
            raise StoreError(f"the blob {digest} has more than {limit} bytes", reason="blob-too-large")
        if digest_of_bytes(data) != digest:
            raise _damaged(path, f"its content is {digest_of_bytes(data)}")
        return data

    def read_json(self, digest: str) -> dict[str, Any]:
        """A blob as a JSON object. Raises as `read` and `parse_json_object` do."""
        return parse_json_object(self.read(digest), f"the blob {digest}")

    def tag(self, name: str, descriptor: Descriptor) -> None:
        """Let ``name`` (normalised) stand for a blob; the last call wins."""
        with self.lock("index"):
            self._tag(name, descriptor)

    def retag(self, name: str, descriptor: Descriptor, before: Descriptor | None) -> None:
        """As `tag`, if ``name`` still stands for ``before`` (None for nothing). Raises StoreError (``tag-changed``)."""
        with self.lock("index"):
            now = self.resolve(name)
            if (now and now.digest) != (before and before.digest):
                raise StoreError(
                    f"the name {name} was given to another image meanwhile: {now.digest if now else 'it is gone'}",
                    remedy="look at what it stands for now (xx inspect), and give the same command again",
                    reason="tag-changed",
                )
            self._tag(name, descriptor)

    def untag(self, names: Collection[str]) -> None:
        """Forget ``names`` (normalised); their blobs stay until they are pruned."""
        with self.lock("index"), storing(self.root):
            self._write_index([one for one in self._index() if dict(one.annotations).get(REF_NAME) not in names])

    def _tag(self, name: str, descriptor: Descriptor) -> None:
        annotations = tuple(sorted((dict(descriptor.annotations) | {REF_NAME: name}).items()))
        entry = Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, descriptor.platform, annotations)
        others = [each for each in self._index() if dict(each.annotations).get(REF_NAME) != name]
        with storing(self.root):
            self._write_index([*others, entry])

    def resolve(self, name: str) -> Descriptor | None:
        """What a normalised name stands for. Raises StoreError if ``index.json`` cannot be read."""
        return dict(self.images()).get(name)

    def images(self) -> list[tuple[str, Descriptor]]:
        """All names with what they stand for, sorted by name."""
        found = []
        for entry in self._index():
            annotations = dict(entry.annotations)
            name = annotations.pop(REF_NAME, "")
            if name:
                kept = tuple(annotations.items())
                found.append((name, Descriptor(entry.media_type, entry.digest, entry.size, entry.platform, kept)))
        return sorted(found, key=lambda pair: pair[0])

    def _index(self) -> list[Descriptor]:
        path = self.root / "index.json"
        remedy = f"names are lost, results are not: remove {path}, and give the names again"
        try:
            return read_index(path, remedy)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}", reason="store-failed") from error

    def _write_index(self, entries: list[Descriptor]) -> None:
        self._replace(self.root / "index.json", index_json(entries), sync=True)

    def _replace(self, path: Path, data: bytes, *, sync: bool) -> None:
        file = Temporary(self.tmp)
        try:
            file.write(data)
            file.publish(path, sync=sync)
        finally:
            file.discard()

    def put_file(self, name: str, data: bytes) -> None:
        """Keep a small file in ``files/``. Not synced: whoever reads it does without what is not whole."""
        with storing(self.root):
            self._replace(self.files / name, data, sync=False)

    def put_record(self, key: str, value: Mapping[str, Any]) -> None:
        """Remember JSON-able data under ``key``, ``sha256:…``. Not synced to disk: `record` knows a torn one."""
        text = canonical_json(dict(value))
        record = {"key": key, "value": dict(value), "sum": digest_of_bytes(text)}
        path = self._record(key)
        with storing(self.root):
            path.parent.mkdir(exist_ok=True)
            self._replace(path, canonical_json(record), sync=False)

    def record(self, key: str) -> dict[str, Any] | None:
        """What was last put under ``key``; None if nothing was, or if the file is not whole or is of another key.

        What it refers to stays from now on while this process is `using` the store.
        """
        if not self._use(self._record(key)):
            return None
        try:
            record = parse_json_object(self._record(key).read_bytes(), key)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self._record(key)}: {error.strerror}", reason="store-failed") from error
        except StoreError:
            return None
        value = record.get("value")
        if record.get("key") != key or not isinstance(value, dict):
            return None
        return value if record.get("sum") == digest_of_bytes(canonical_json(value)) else None

    def record_files(self) -> Iterator[Path]:
        """The files of all records."""
        for folder in list(os.scandir(self.records)):
            with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                yield from (Path(entry.path) for entry in list(os.scandir(folder)) if entry.name.endswith(".json"))

    def _record(self, key: str) -> Path:
        name = hex_of(key)
        return self.records / name[:2] / f"{name}.json"

    def lock(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """Keep all other processes and threads out of ``name``, waiting until they are. Not reentrant.

        The kernel frees the lock when the process dies (flock(2)); a child forked meanwhile holds it too.
        """
        return locked(self.locks, name, fcntl.LOCK_EX)

    def shared_lock(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """As `lock`, beside others that share it, and waiting for none but who has it alone."""
        return locked(self.locks, name, fcntl.LOCK_SH)

    def try_lock(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """As `lock`, without waiting: the block gets False if another holds it."""
        return locked(self.locks, name, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def drop_lock(self, name: str) -> None:
        """Remove the file of a lock that nobody has; whoever wants it next makes another."""
        with self.try_lock(name) as ours:
            if ours:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(lock_path(self.locks, name))


def _damaged(path: Path, how: str) -> StoreError:
    return StoreError(
        f"{path} is damaged: {how}",
        remedy=f"Delete it (rm {path}) and make or fetch the image again.",
        reason="digest-mismatch",
    )
