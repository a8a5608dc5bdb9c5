"""A cache in a registry: a manifest under a tag, beside images or in their place.

A registry knows no "add": who writes a tag replaces what it stood for. So what is there is read, added to and written,
and read again a little later, until what was added is in it: whoever wrote in between had read before.
"""

from __future__ import annotations

import contextlib
import functools
import random
import time
from collections.abc import Callable
from typing import Any

from xxpy.build.descriptor import Descriptor
from xxpy.build.events import Event
from xxpy.build.image import INDEX_TYPES, MANIFEST_TYPE
from xxpy.build.registry.answers import MISSING
from xxpy.build.registry.client import Client, Registries
from xxpy.build.registry.pull import Puller
from xxpy.build.registry.push import Push, push_image, written_to
from xxpy.build.registry.reference import Reference, parse_reference
from xxpy.build.remotecache.aging import Addition
from xxpy.build.remotecache.entries import CONFIG_TYPE, Entries, OtherVersion
from xxpy.build.remotecache.places import entries_of, manifest_of, require_no_image
from xxpy.build.remotecache.spec import Cache
from xxpy.build.store import Store
from xxpy.errors import RegistryError, StoreError, XxError

_ROUNDS = 20
_LOOKS = 2
_LEAST_WAIT = 0.5
"""Seconds before what was written is looked at: longer than others take from reading the tag to writing it."""


class _Own(Registries):
    """A registry without its mirrors: those may be late."""

    def __init__(self, registries: Registries, insecure: bool) -> None:
        self._registries = registries
        self._insecure = insecure

    def clients(self, reference: Reference) -> list[Client]:
        """See `Registries.clients`."""
        return [self._registries.own(reference, insecure=self._insecure)]


class RegistryPlace:
    """A `Place` in a registry; ``store`` gets what is read."""

    def __init__(
        self,
        cache: Cache,
        store: Store,
        registries: Registries,
        listener: Callable[[Event], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reference = parse_reference(cache.place)
        self._insecure = cache.insecure
        self._store = store
        self._registries = registries
        self._listener = listener
        self._pause = pause

    def read(self) -> Entries:
        """See `Place.read`."""
        puller = self._puller()
        top = self._top(puller)
        return Entries() if top is None else entries_of(top, functools.partial(self._json, puller))

    def _top(self, puller: Puller) -> Descriptor | None:
        try:
            return puller.manifest(self._reference)
        except RegistryError as error:
            if error.reason == MISSING:
                return None
            raise

    def _json(self, puller: Puller, one: Descriptor) -> dict[str, Any]:
        if one.media_type in (MANIFEST_TYPE, *INDEX_TYPES):
            puller.manifest(self._reference, one)
        else:
            puller.blob(self._reference, one)
        return self._store.read_json(one.digest)

    def fetch(self, layer: Descriptor, store: Store) -> None:
        """See `Place.fetch`."""
        self._puller().blob(self._reference, layer)

    def add(self, addition: Addition, store: Store) -> int:
        """See `Place.add`."""
        with written_to():
            return self._add(addition)

    def _add(self, addition: Addition) -> int:
        entries = addition.entries
        puller = self._puller()
        if top := self._top(puller):
            require_no_image(top, functools.partial(self._json, puller), str(self._reference))
        # The layers first: between reading the tag and writing it there should be no time.
        self._push(entries, by_digest=True)
        for _ in range(_ROUNDS):
            began = time.monotonic()
            self._push_with(addition, self._there())
            wait = _LEAST_WAIT + 2 * (time.monotonic() - began)
            if all(self._stays(entries, wait * random.uniform(1, 2)) for _ in range(_LOOKS)):
                return sum(layer.size for layer in entries.descriptors())
        raise StoreError(
            f"others write to the cache {self._reference} all the time: what was added does not stay",
            remedy="give them caches of their own: --cache-from takes several",
            reason="cache-busy",
        )

    def _stays(self, entries: Entries, seconds: float) -> bool:
        self._pause(seconds)
        return entries.within(self._there())

    def _there(self) -> Entries:
        """What there is to add to; what this version cannot read is to be replaced."""
        with contextlib.suppress(OtherVersion):
            try:
                return self.read()
            except StoreError as error:
                if error.reason not in ("cache-invalid", "json-invalid", "descriptor-invalid", "digest-invalid"):
                    raise
        return Entries()

    def _push_with(self, addition: Addition, there: Entries) -> None:
        """Push what is there with the addition; that alone where layers of the others are lost."""
        try:
            self._push(addition.to(there))
        except XxError as error:
            if error.reason != "blob-missing":
                raise
            self._push(addition.to(Entries()))

    def _push(self, entries: Entries, *, by_digest: bool = False) -> None:
        config = self._store.put_json(entries.config(), CONFIG_TYPE)
        manifest = self._store.put_json(manifest_of(config, entries), MANIFEST_TYPE)
        push = Push(self._reference, by_digest, self._insecure)
        push_image(self._store, manifest, [push], self._registries, self._listener if by_digest else _untold)

    def _puller(self) -> Puller:
        # What a name stands for is asked once by each.
        return Puller(self._store, _Own(self._registries, self._insecure))


def _untold(event: Event) -> None:
    """What has been told of is not told of again."""
