"""From the store into a registry: blobs first, then the manifests, the index last, so that no name leads to nothing.

Source: OCI distribution-spec, "Push".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from xxpy.build.descriptor import Descriptor
from xxpy.build.engine.namespace import interruptible
from xxpy.build.events import Event, Notice
from xxpy.build.image import INDEX_TYPES
from xxpy.build.registry.client import Client, Registries
from xxpy.build.registry.pull import remember_repository, repository_with
from xxpy.build.registry.reference import Reference
from xxpy.build.registry.transfer import Meter, move_all
from xxpy.build.registry.upload import require_agreed, upload
from xxpy.build.store import Store
from xxpy.errors import RegistryError, StoreError


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
    with written_to(), interruptible():
        for push in pushes:
            _Pusher(store, push, registries).push(top, listener)


@contextmanager
def written_to() -> Iterator[None]:
    """Of a registry that is written to, an error is one of what could not be written: StoreError, with its reasons."""
    try:
        yield
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
            source = repository_with(self._store, self._push.reference.server, blob.digest)
            source = source if source != self._repository else ""
            upload(self._store, self._client, self._repository, blob, source, meter)
        else:
            raise StoreError(
                f"the store {self._store.root} lacks {what}",
                remedy="build or pull the image again",
                reason="blob-missing",
            )
        remember_repository(self._store, self._push.reference, blob.digest)

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
            require_agreed(self._client.host, done.headers.get("Docker-Content-Digest", ""), manifest, what)
