"""The images that a store has names for, as `xx images` lists them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from xxpy.build.descriptor import Descriptor, hex_of, is_digest
from xxpy.build.image import image_manifests
from xxpy.build.names import normalize_name, short_name
from xxpy.build.store import Store
from xxpy.errors import SourceError, StoreError, UsageError

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})")
_SHOWN = 5


@dataclass(frozen=True)
class NamedImage:
    """A name (full) and what it stands for. ``created`` is RFC 3339 as the image has it, ``size`` bytes of its blobs.

    ``problem`` says why an image cannot be read; of such a one nothing else is known.
    """

    name: str
    digest: str
    platforms: tuple[str, ...] = ()
    created: str = ""
    size: int = 0
    problem: str = ""


def named_images(store: Store) -> Iterator[NamedImage]:
    """Every image that has a name, sorted by names. Raises StoreError if the index cannot be read."""
    for name, entry in store.images():
        try:
            yield _read(store, name, entry)
        except StoreError as error:
            yield NamedImage(name, entry.digest, problem=error.message)


def _read(store: Store, name: str, entry: Descriptor) -> NamedImage:
    manifests = image_manifests(store, entry)
    blobs = {entry.digest: entry.size}
    created = ""
    for manifest in manifests:
        body = store.read_json(manifest.digest)
        layers = body.get("layers")
        config = Descriptor.from_json(body.get("config"))
        blobs |= {manifest.digest: manifest.size, config.digest: config.size}
        for each in layers if isinstance(layers, list) else ():
            layer = Descriptor.from_json(each)
            blobs[layer.digest] = layer.size
        created = max(created, str(store.read_json(config.digest).get("created") or "")[:40])
    platforms = tuple(str(one.platform) for one in manifests)
    return NamedImage(name, entry.digest, platforms, created, sum(blobs.values()))


def meant(store: Store, text: str) -> tuple[list[str], Descriptor]:
    """The image that ``text`` names: by a name, else by its ID, a digest or the first six hex digits of it and more.

    With it all its names (full); by a name, that one alone. Raises UsageError (``bad-reference``, ``id-ambiguous``),
    SourceError (``image-missing``), StoreError.
    """
    full = "" if is_digest(text) else normalize_name(text)
    images = store.images()
    if (found := dict(images).get(full)) is not None:
        return [full], found
    if match := _ID.fullmatch(text):
        those = [(name, entry) for name, entry in images if hex_of(entry.digest).startswith(match[1])]
        if len({entry.digest for _, entry in those}) > 1:
            raise UsageError(
                f"{text} is the ID of several images: {', '.join(short_name(name) for name, _ in those[:_SHOWN])}",
                remedy="write more of it: xx images -q shows all digits",
                reason="id-ambiguous",
            )
        if those:
            return [name for name, _ in those], those[0][1]
    raise SourceError(
        f"there is no image {short_name(full) if full else text} in the store",
        remedy="xx images lists what it has; xx pull fetches from a registry, xx build -t makes",
        reason="image-missing",
    )


def only_name(store: Store, text: str, remedy: str) -> str:
    """The name of what ``text`` names as `meant` has it; ``remedy`` is for an ID whose image has several names.

    Raises UsageError, SourceError, StoreError.
    """
    names, _ = meant(store, text)
    if len(names) > 1:
        raise UsageError(
            f"{text} is the ID of an image with several names: {', '.join(map(short_name, names[:_SHOWN]))}",
            remedy=remedy,
            reason="id-ambiguous",
        )
    return names[0]


def remove_names(store: Store, names: Collection[str]) -> None:
    """Forget ``names`` (full); either all or, if there is one that does not exist, none.

    Raises SourceError (``image-missing``), StoreError.
    """
    there = dict(store.images())
    for name in names:
        if name not in there:
            raise SourceError(
                f"there is no image {short_name(name)} in the store",
                remedy="xx images lists what it has",
                reason="image-missing",
            )
    store.untag(names)
