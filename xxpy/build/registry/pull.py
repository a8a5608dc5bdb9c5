"""From a registry into the store: a manifest and its config at once, layers in parallel when they are needed.

Nothing is kept that has not the digest and the size it was asked for by. A name is given when all it stands for is
there. Sources: OCI distribution-spec, "Pull"; OCI image-spec, manifest.md and image-index.md; Docker's Image Manifest
V2, Schema 2.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from xxpy.build.convert import DOCKER_LAYERS, DOCKER_MANIFEST
from xxpy.build.descriptor import Descriptor, digest_of_bytes, is_digest, parse_json_object
from xxpy.build.events import Event, Notice
from xxpy.build.graph import digest_of
from xxpy.build.image import INDEX_TYPES, MANIFEST_TYPE, best_for, image_at, image_manifests, write_index
from xxpy.build.layoutindex import INDEX_TYPE
from xxpy.build.packers import LAYER_TYPES
from xxpy.build.registry.answers import MISMATCH, UNREACHABLE, WRONG, body_of, failed, refused
from xxpy.build.registry.client import TRIES, Client, Registries
from xxpy.build.registry.download import download
from xxpy.build.registry.reference import Reference
from xxpy.build.registry.transfer import Meter, move_all
from xxpy.build.store import Store
from xxpy.errors import RegistryError, SourceError, StoreError
from xxpy.platforms import Platform

MOST_MANIFEST = 4 << 20
"""Bytes of a manifest or an index, as the specification has it."""
MOST_CONFIG = 8 << 20
MOST_LAYER = 64 << 30

_MANIFEST_TYPES = (MANIFEST_TYPE, DOCKER_MANIFEST)
_ACCEPT = {"Accept": ", ".join((*_MANIFEST_TYPES, *INDEX_TYPES))}
_LAYER_TYPES = (*LAYER_TYPES.values(), *DOCKER_LAYERS.values())
Found = TypeVar("Found")
_OLD = "application/vnd.docker.distribution.manifest.v1"


@dataclass(frozen=True)
class Pulled:
    """One platform of an image whose layers may yet be missing. ``origin`` is the digest that the name stands for."""

    reference: Reference
    manifest: Descriptor
    origin: str


class Puller:
    """Pulls into ``store``; what a name stands for is asked once."""

    def __init__(self, store: Store, registries: Registries) -> None:
        self._store = store
        self._registries = registries
        self._tops: dict[Reference, Descriptor] = {}

    def platforms(self, reference: Reference) -> tuple[Platform, ...]:
        """Those that an image is there for. Raises as `look_up`."""
        return tuple(one.platform for one in self._manifests(reference) if one.platform is not None)

    def manifest(self, reference: Reference, one: Descriptor | None = None) -> Descriptor:
        """Have the manifest or index that ``reference`` stands for in the store, or ``one`` of its repository.

        Raises RegistryError, SourceError (``image-unsupported``).
        """
        return self._manifest(reference, one.digest if one else reference.target, one)

    def blob(self, reference: Reference, blob: Descriptor) -> None:
        """Have a blob of the repository in the store. Raises RegistryError, StoreError."""
        self._fetch_blob(reference, blob, Meter("", blob.size, lambda _event: None))

    def look_up(self, reference: Reference, platform: Platform) -> Pulled:
        """What ``reference`` is for ``platform``, manifest and config in the store.

        Raises RegistryError, and SourceError (``platform-missing``, ``image-unsupported``, ``foreign-layer``).
        """
        manifests = self._manifests(reference)
        found = best_for(manifests, platform)
        if found is None:
            has = ", ".join(str(one.platform) for one in manifests) or "none"
            raise SourceError(
                f"{reference.host} has no {platform} of {reference}; it has {has[:300]}",
                remedy="name one of these platforms, or another tag",
                reason="platform-missing",
            )
        self._have_manifest(reference, found)
        return Pulled(reference, found, self._tops[reference].digest)

    def fetch(self, pulled: Sequence[Pulled], listener: Callable[[Event], None]) -> None:
        """Have all layers of these in the store, then give them their names there. Raises RegistryError, StoreError."""
        self._registries.told = lambda text: listener(Notice(text))
        jobs: dict[str, Callable[[Meter], None]] = {}
        total = 0
        for each in pulled:
            for layer in image_at(self._store, each.manifest).layers:
                blob = layer.descriptor
                if blob.digest not in jobs and not self._store.holds(blob):
                    jobs[blob.digest] = functools.partial(self._fetch_blob, each.reference, blob)
                    total += blob.size
        if jobs:
            names = ", ".join(dict.fromkeys(str(each.reference) for each in pulled))
            move_all(list(jobs.values()), Meter(f"pulling {names}", total, listener))
        for each in pulled:
            self._name(each)

    def _name(self, pulled: Pulled) -> None:
        """Let the store's name stand for this platform too, beside those that came by the same lookup or were made."""
        name, own = pulled.reference.full, replace(pulled.manifest, annotations=())
        self._store.put_record(_origin_key(name, own.digest), {"origin": pulled.origin})
        for _ in range(TRIES):
            with self._store.lock("base"):
                entry = self._store.resolve(name)
                there = image_manifests(self._store, entry) if entry is not None else []
                others = [one for one in there if one.platform != own.platform]
                kept = [one for one in others if self._origin(name, one.digest) in ("", pulled.origin)]
                index = write_index(self._store, sorted([*kept, own], key=lambda each: str(each.platform)))
                try:
                    self._store.retag(name, index, entry)
                    return
                except StoreError as error:
                    if error.reason != "tag-changed":
                        raise
                    changed = error
        raise changed

    def _origin(self, name: str, digest: str) -> str:
        value = self._store.record(_origin_key(name, digest))
        return str(value.get("origin", "")) if value is not None else ""

    # -- manifests -----------------------------------------------------------------------------------------------

    def _manifests(self, reference: Reference) -> list[Descriptor]:
        """The image's manifests, each with its platform."""
        if reference not in self._tops:
            self._tops[reference] = self._manifest(reference, reference.target, None)
        top = self._tops[reference]
        if top.media_type not in INDEX_TYPES:
            self._have_manifest(reference, top)
        with _taken_for_an_image(reference):
            return image_manifests(self._store, top)

    def _have_manifest(self, reference: Reference, manifest: Descriptor) -> None:
        """Have a manifest and its config in the store, looked at."""
        if not self._store.holds(manifest):
            self._manifest(reference, manifest.digest, manifest)
        with _taken_for_an_image(reference):
            body = self._store.read_json(manifest.digest)
            layers = body.get("layers")
            for layer in layers if isinstance(layers, list) else ():
                _check_layer(reference, layer)
            self._have_config(reference, Descriptor.from_json(body.get("config")))
            image_at(self._store, manifest)

    def _have_config(self, reference: Reference, config: Descriptor) -> None:
        if config.size > MOST_CONFIG:
            raise _unsupported(reference, f"its config has more than {MOST_CONFIG} bytes")
        if not self._store.holds(config):
            self.blob(reference, config)

    def _manifest(self, reference: Reference, target: str, expected: Descriptor | None) -> Descriptor:
        """Have the index or manifest ``target`` in the store, from the first endpoint that gives a right one."""

        def one(client: Client) -> Descriptor:
            if expected is None and target == reference.tag and (kept := self._as_it_was(client, reference)):
                return kept
            data, given = _asked_manifest(client, reference, target)
            digest = digest_of_bytes(data)
            if target.startswith("sha256:") and digest != target:
                raise refused(client.host, f"gives {digest[:19]} for {reference.repository}@{target[:19]}", WRONG)
            if expected is not None and expected.size != len(data):
                raise refused(client.host, f"gives another size of {reference.repository}@{target[:19]}", WRONG)
            with _taken_for_an_image(reference):
                body = parse_json_object(data, "its manifest")
            return self._store.put_bytes(data, _kind(reference, body, given))

        return self._from_any(reference, one)

    def _as_it_was(self, client: Client, reference: Reference) -> Descriptor | None:
        """What a tag stands for, if the store has it from before. Docker Hub counts GET as a pull, and HEAD not."""
        if reference.digest or self._store.resolve(reference.full) is None:
            return None
        path = client.path(reference.repository, f"manifests/{reference.tag}")
        scope = client.scope(reference.repository)
        try:
            with client.ask("HEAD", path, scope, f"image {reference}", headers=_ACCEPT, tries=1) as answer:
                digest, given = answer.headers.get("Docker-Content-Digest", ""), answer.headers.get("Content-Type", "")
        except RegistryError as error:
            # What else goes wrong GET tells better: HEAD has no text.
            if error.reason == UNREACHABLE:
                raise
            return None
        if not is_digest(digest) or not self._store.has(digest):
            return None
        data = self._store.read(digest)
        with _taken_for_an_image(reference):
            return Descriptor(_kind(reference, parse_json_object(data, "its manifest"), given), digest, len(data))

    # -- blobs ---------------------------------------------------------------------------------------------------

    def _fetch_blob(self, reference: Reference, blob: Descriptor, meter: Meter) -> None:
        """Have a blob in the store. Another pull of it is waited for, in this process or another."""
        with self._store.lock(f"pull-{blob.digest}"):
            if self._store.holds(blob):
                meter.add(blob.size)
            else:
                get = functools.partial(download, self._store, repository=reference.repository, blob=blob, meter=meter)
                self._from_any(reference, get)
            remember_repository(self._store, reference, blob.digest)

    def _from_any(self, reference: Reference, get: Callable[[Client], Found]) -> Found:
        """What ``get`` gets of the first endpoint that serves it; of several that do not, the last one's error."""
        *mirrors, last = self._registries.clients(reference)
        problems = []
        for client in mirrors:
            try:
                return get(client)
            except SourceError as error:
                problems.append(error.message)
        try:
            return get(last)
        except RegistryError as error:
            if problems:
                error.message += "; its mirrors: " + "; ".join(problems)
            raise


def _asked_manifest(client: Client, reference: Reference, target: str) -> tuple[bytes, str]:
    """The bytes of a manifest or an index, and the type that the server says it has."""
    from requests.exceptions import RequestException

    path = client.path(reference.repository, f"manifests/{target}")
    for failures in range(1, TRIES + 1):
        with client.ask("GET", path, client.scope(reference.repository), f"image {reference}", headers=_ACCEPT) as got:
            try:
                data = body_of(got, MOST_MANIFEST)
                break
            except RequestException as error:
                problem = failed(client.host, error)
        if failures == TRIES:
            raise problem
        client.wait(failures, f"{problem.message} (the manifest of {reference})")
    said = got.headers.get("Docker-Content-Digest", "")
    if said.startswith("sha256:") and said != digest_of_bytes(data):
        what = f"gives a manifest of {reference} that has not the digest it says"
        raise refused(client.host, what, MISMATCH, "nothing of it is kept; tell who runs it")
    return data, got.headers.get("Content-Type", "").partition(";")[0].strip()


def _kind(reference: Reference, body: Mapping[str, Any], given: str) -> str:
    """The media type of a manifest or an index, which need not say it itself (OCI image-spec, "mediaType")."""
    kind = body.get("mediaType") or given
    if "mediaType" not in body and kind not in (*_MANIFEST_TYPES, *INDEX_TYPES):
        kind = INDEX_TYPE if "manifests" in body else MANIFEST_TYPE if "config" in body else str(kind)
    if str(kind).startswith(_OLD) or body.get("schemaVersion") == 1:
        raise _unsupported(reference, "its manifest is of Docker's schema 1")
    if kind not in (*_MANIFEST_TYPES, *INDEX_TYPES):
        raise _unsupported(reference, f"it is of type {str(kind)[:100]}")
    if (kind in INDEX_TYPES) != ("manifests" in body):
        raise _unsupported(reference, "it is not of the type that it says")
    return kind


def _check_layer(reference: Reference, layer: object) -> None:
    blob = Descriptor.from_json(layer)
    urls = layer.get("urls") if isinstance(layer, dict) else None
    if urls or "foreign" in blob.media_type or "nondistributable" in blob.media_type:
        raise SourceError(
            f"{reference} has a layer that lies elsewhere than in its registry",
            remedy="take an image without foreign layers: what they lead to is not fetched",
            reason="foreign-layer",
        )
    if blob.media_type not in _LAYER_TYPES:
        raise _unsupported(reference, f"it has a layer of type {blob.media_type}")
    if blob.size > MOST_LAYER:
        raise _unsupported(reference, f"it has a layer of {blob.size} bytes")


@contextlib.contextmanager
def _taken_for_an_image(reference: Reference) -> Iterator[None]:
    """What is damaged in the block's JSON is not the store's fault. Raises SourceError (``image-unsupported``)."""
    try:
        yield
    except StoreError as error:
        if error.reason not in ("json-invalid", "descriptor-invalid", "digest-invalid"):
            raise
        raise _unsupported(reference, error.message) from None


def _unsupported(reference: Reference, why: str) -> SourceError:
    return SourceError(
        f"{reference} is no image that can be taken: {why}",
        remedy="name an image of the OCI specification or of Docker's schema 2",
        reason="image-unsupported",
    )


def _origin_key(name: str, digest: str) -> str:
    """What the digest is remembered by that a name stood for when one of its manifests was pulled."""
    return digest_of(["pulled", name, digest])


def remember_repository(store: Store, reference: Reference, digest: str) -> None:
    """Note that a repository has a blob: pushed to another of the same registry, it is mounted from there."""
    store.put_record(_mount_key(reference.server, digest), {"repository": reference.repository})


def repository_with(store: Store, server: str, digest: str) -> str:
    """A repository of ``server`` that has a blob, empty if none is known."""
    value = store.record(_mount_key(server, digest))
    return str(value.get("repository", "")) if value is not None else ""


def _mount_key(server: str, digest: str) -> str:
    return digest_of(["in-registry", server, digest])
