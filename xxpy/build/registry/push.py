"""From the store into a registry: blobs first, then the manifests, the index last, so that no name leads to nothing.

Source: OCI distribution-spec, "Push": "Pushing a blob monolithically", "Mounting a blob from another repository".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote, urljoin

from xxpy.build.descriptor import Descriptor
from xxpy.build.engine.namespace import interruptible
from xxpy.build.events import Event, Notice
from xxpy.build.image import INDEX_TYPES
from xxpy.build.registry.answers import BROKEN, BUSY, FAILS, TIMEOUT, UNREACHABLE, WRONG, refused
from xxpy.build.registry.client import TRIES, Client, Registries
from xxpy.build.registry.pull import remember_repository, repository_with
from xxpy.build.registry.reference import Reference
from xxpy.build.registry.transfer import Meter, move_all
from xxpy.build.store import Store
from xxpy.errors import RegistryError, StoreError

_UPLOAD_AGAIN = (BROKEN, TIMEOUT, UNREACHABLE, FAILS, BUSY)
"""Reasons for which an upload begins again: where it has come to nobody knows."""


@dataclass(frozen=True)
class Push:
    """Where an image goes. ``by_digest`` gives it no tag; ``insecure`` is ``registry.insecure=true``."""

    reference: Reference
    by_digest: bool = False
    insecure: bool = False


def push_image(
    store: Store, top: Descriptor, pushes: Sequence[Push], registries: Registries, listener: Callable[[Event], None]
) -> None:
    """Push an index or a manifest with all it refers to.

    Raises StoreError (with the reasons of RegistryError: the output cannot be written), HostError, Interrupted.
    """
    registries.told = lambda text: listener(Notice(text))
    try:
        with interruptible():
            for push in pushes:
                _Pusher(store, push, registries).push(top, listener)
    except RegistryError as error:
        raise StoreError(error.message, remedy=error.remedy, reason=error.reason) from None


class _Pusher:
    def __init__(self, store: Store, push: Push, registries: Registries) -> None:
        self._store = store
        self._push = push
        self._repository = push.reference.repository
        self._client: Client = registries.own(push.reference, insecure=push.insecure)
        self._scope = self._client.scope(self._repository, "pull,push")

    def push(self, top: Descriptor, listener: Callable[[Event], None]) -> None:
        manifests = self._manifests(top)
        blobs: dict[str, Descriptor] = {}
        for manifest in manifests:
            body = self._store.read_json(manifest.digest)
            for part in (*body.get("layers", []), body["config"]):
                blob = Descriptor.from_json(part)
                blobs.setdefault(blob.digest, blob)
        meter = Meter(f"pushing {self._push.reference}", sum(blob.size for blob in blobs.values()), listener)
        largest_first = sorted(blobs.values(), key=lambda blob: -blob.size)
        move_all([functools.partial(self._have_blob, blob) for blob in largest_first], meter)
        for manifest in manifests if top.media_type in INDEX_TYPES else ():
            self._put_manifest(manifest, manifest.digest)
        target = top.digest if self._push.by_digest else self._push.reference.target
        self._put_manifest(top, target)

    def _manifests(self, top: Descriptor) -> list[Descriptor]:
        """All that an index lists, attestations too; a manifest itself."""
        if top.media_type not in INDEX_TYPES:
            return [top]
        listed = self._store.read_json(top.digest).get("manifests")
        return [Descriptor.from_json(each) for each in listed] if isinstance(listed, list) else []

    # -- blobs ---------------------------------------------------------------------------------------------------

    def _have_blob(self, blob: Descriptor, meter: Meter) -> None:
        """Have a blob in the repository: there already, mounted from another, or uploaded."""
        what = f"the blob {blob.digest[:19]} of {self._repository}"
        path = self._client.path(self._repository, f"blobs/{blob.digest}")
        with self._client.ask("HEAD", path, self._scope, what, expect=(200, 404)) as there:
            present = there.status_code == 200
        if present:
            meter.add(blob.size)
        elif self._store.holds(blob):
            self._upload_or_mount(blob, what, meter)
        else:
            raise StoreError(
                f"the store {self._store.root} lacks {what}",
                remedy="build or pull the image again",
                reason="blob-missing",
            )
        remember_repository(self._store, self._push.reference, blob.digest)

    def _upload_or_mount(self, blob: Descriptor, what: str, meter: Meter) -> None:
        source = repository_with(self._store, self._push.reference.server, blob.digest)
        source = source if source != self._repository else ""
        for failures in range(1, TRIES + 1):
            sent = _Counted(meter)
            try:
                self._upload(blob, what, sent, source)
                return
            except RegistryError as error:
                sent.take_back()
                # A login that may not read the other repository is no reason not to push.
                if (error.reason not in _UPLOAD_AGAIN and not source) or failures == TRIES:
                    raise
                source = ""
                self._client.wait(failures, f"{error.message} ({what})" if error.reason in _UPLOAD_AGAIN else "")

    def _upload(self, blob: Descriptor, what: str, sent: _Counted, source: str) -> None:
        """Upload a blob from its start, unless it can be mounted from the repository ``source``."""
        client, uploads = self._client, self._client.path(self._repository, "blobs/uploads/")
        scope = self._scope
        if source:
            scope = f"{scope} {client.scope(source)}"
            uploads += f"?mount={quote(blob.digest)}&from={quote(client.prefixed(source))}"
        with client.ask("POST", uploads, scope, f"an upload of {what}", expect=(201, 202)) as begun:
            location = begun.headers.get("Location", "")
            if begun.status_code == 201:
                sent.count(blob.size)
                return
        place = urljoin(begun.url, location)
        if not location or not place.startswith("https://" if client.root.startswith("https:") else "http"):
            raise refused(client.host, f"does not say where {what} goes", WRONG)
        place += f"{'&' if '?' in place else '?'}digest={quote(blob.digest)}"
        headers = {"Content-Type": "application/octet-stream"}
        path = self._store.blob(blob.digest)

        def body() -> Any:
            return sent.open(path.open("rb"), blob.size)

        with client.ask("PUT", place, self._scope, what, expect=(201,), headers=headers, body=body, tries=1) as done:
            self._agreed(done.headers.get("Docker-Content-Digest", ""), blob.digest, what)

    # -- manifests -----------------------------------------------------------------------------------------------

    def _put_manifest(self, manifest: Descriptor, target: str) -> None:
        what = f"the manifest {target} of {self._repository}"
        data = self._store.read(manifest.digest)
        path = self._client.path(self._repository, f"manifests/{target}")
        headers = {"Content-Type": manifest.media_type}
        # 201 is what the specification has: a page that says 200 to everything is no registry.
        expect = (201,)
        with self._client.ask(
            "PUT", path, self._scope, what, expect=expect, headers=headers, body=lambda: data
        ) as done:
            self._agreed(done.headers.get("Docker-Content-Digest", ""), manifest.digest, what)

    def _agreed(self, said: str, digest: str, what: str) -> None:
        if said.startswith("sha256:") and said != digest:
            remedy = "what stands between here and the registry changes what is sent: see whether that is a proxy"
            raise refused(self._client.host, f"has {said[:19]} as {what}", "digest-mismatch", remedy)


class _Counted:
    """A request's body out of a file, which counts what is read of it."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._sent = 0
        self._size = 0
        self._file: IO[bytes] | None = None

    def open(self, file: IO[bytes], size: int) -> Any:
        """Begin with a file of ``size`` bytes anew."""
        self.take_back()
        self._file, self._size = file, size
        # requests sends what has no length in chunks, which registries need not take.
        return self if size else b""

    def count(self, count: int) -> None:
        self._sent += count
        self._meter.add(count)

    def take_back(self) -> None:
        """What was sent does not count."""
        if self._file is not None:
            self._file.close()
            self._file = None
        sent, self._sent = self._sent, 0
        self._meter.add(-sent)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(1 << 18):
            yield data

    def read(self, size: int = -1) -> bytes:
        assert self._file is not None
        data = self._file.read(size)
        self.count(len(data))
        return data
