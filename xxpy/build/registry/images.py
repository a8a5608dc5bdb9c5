"""FROM an image of the store, or else of its registry."""

from __future__ import annotations

from collections.abc import Callable

from xxpy.build.bases import StoreImages, base_of
from xxpy.build.dockerfile.bases import BaseImage
from xxpy.build.engine.namespace import interruptible
from xxpy.build.events import Listener
from xxpy.build.graph import Graph, SourceOp
from xxpy.build.image import image_at
from xxpy.build.names import normalize_name, short_name
from xxpy.build.registry.answers import MISSING, UNAUTHORIZED, UNREACHABLE
from xxpy.build.registry.pull import Pulled, Puller
from xxpy.build.registry.reference import parse_reference
from xxpy.build.store import Store
from xxpy.errors import RegistryError, SourceError
from xxpy.platforms import Platform

_NOT_THERE = (MISSING, UNAUTHORIZED, UNREACHABLE)


class RegistryImages:
    """`Images` of a store, and of registries for what the store has not; with ``anew`` names are looked up again.

    Manifests and configs come with the lookup, layers by `fetch`. ``notice`` is told where the store has to do.
    """

    def __init__(self, store: Store, puller: Puller, notice: Callable[[str], None], *, anew: bool = False) -> None:
        self._store = store
        self._kept = StoreImages(store)
        self._puller = puller
        self._notice = notice
        self._anew = anew
        self._known: dict[tuple[str, Platform], BaseImage] = {}
        self._pulled: dict[str, Pulled] = {}

    def base(self, name: str, platform: Platform) -> BaseImage:
        """See `Images.base`. Raises besides RegistryError and StoreError for what a registry gives."""
        full = normalize_name(name)
        if (full, platform) not in self._known:
            self._known[(full, platform)] = self._base(full, platform)
        return self._known[(full, platform)]

    def _base(self, full: str, platform: Platform) -> BaseImage:
        try:
            kept = self._kept.base(full, platform)
        except SourceError as lacking:
            if lacking.reason not in ("image-missing", "platform-missing"):
                raise
            try:
                return self._looked_up(full, platform)
            except SourceError as error:
                raise _both(lacking, error) from None
        # What a digest names is the same everywhere.
        if not self._anew or "@" in full:
            return kept
        try:
            return self._looked_up(full, platform)
        except RegistryError as error:
            if error.reason not in _NOT_THERE:
                raise
            self._notice(f"NOTICE: --pull: {short_name(full)} is taken from the store: {error.message}")
            return kept

    def _looked_up(self, full: str, platform: Platform) -> BaseImage:
        pulled = self._puller.look_up(parse_reference(full), platform)
        self._pulled[pulled.manifest.digest] = pulled
        return base_of(full, image_at(self._store, pulled.manifest))

    def fetch(self, graph: Graph, listener: Listener) -> None:
        """Have the layers of all that ``graph`` takes from registries in the store. Raises RegistryError, StoreError,
        Interrupted."""
        sources = [vertex.op.identifier for vertex in graph if isinstance(vertex.op, SourceOp)]
        digests = dict.fromkeys(identifier.rpartition("@")[2] for identifier in sources)
        wanted = [self._pulled[digest] for digest in digests if digest in self._pulled]
        if wanted:
            with interruptible():
                self._puller.fetch(wanted, listener)


def _both(lacking: SourceError, error: SourceError) -> SourceError:
    """What neither the store nor a registry has; another error of the registry's is told alone."""
    if error.reason not in _NOT_THERE:
        return error
    remedy = error.remedy if error.reason == UNAUTHORIZED else lacking.remedy
    return SourceError(f"{lacking.message}, and {error.message}", remedy=remedy, reason=lacking.reason)
