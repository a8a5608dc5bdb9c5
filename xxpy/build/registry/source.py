"""An image where it lies in a registry, as a `Source`: manifests and configs are fetched when they are read."""

from __future__ import annotations

from xxpy.build.convert import DOCKER_MANIFEST
from xxpy.build.descriptor import Descriptor
from xxpy.build.image import INDEX_TYPES, MANIFEST_TYPE
from xxpy.build.registry.client import Registries
from xxpy.build.registry.pull import Puller
from xxpy.build.registry.reference import parse_reference
from xxpy.build.store import Store

_MANIFEST_TYPES = (*INDEX_TYPES, MANIFEST_TYPE, DOCKER_MANIFEST)


class RegistrySource:
    """The image ``name`` of its registry; what is read of it comes into ``store``."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._reference = parse_reference(name)
        self._puller = Puller(store, Registries())

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return str(self._reference)

    def entry(self) -> Descriptor:
        """See `Source.entry`. Raises RegistryError."""
        return self._puller.manifest(self._reference)

    def read(self, blob: Descriptor) -> bytes:
        """See `Source.read`. Raises RegistryError."""
        self.copy(blob, self._store)
        return self._store.read(blob.digest)

    def copy(self, blob: Descriptor, store: Store) -> None:
        """See `Source.copy`. Raises RegistryError."""
        if self._store.holds(blob):
            return
        if blob.media_type in _MANIFEST_TYPES:
            self._puller.manifest(self._reference, blob)
        else:
            self._puller.blob(self._reference, blob)
