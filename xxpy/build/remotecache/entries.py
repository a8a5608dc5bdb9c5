"""What a cache says: by cache key which layers a step's result is made of, and where each layer is. JSON, and back.

The config of a cache (media type `CONFIG_TYPE`):

    {"version": 1,
     "results": [{"key": "sha256:…", "chain": ["sha256:…", …], "seconds": 1.5, "used": 1700000000}, …],
     "layers": [{"diffID": "sha256:…", "epoch": 1700000000}, …]}

``chain`` has diff IDs (OCI image-spec, config.md) from the lowest up; ``used`` is when a build that had this step last
added to the cache, in seconds since 1970. The manifest's layers are those of ``layers``, in the same order; those of
base images are left out, because who builds has the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xxpy.build.descriptor import Descriptor, hex_of
from xxpy.build.graph import Digest
from xxpy.errors import StoreError

CONFIG_TYPE = "application/vnd.xx.cache.config.v1+json"
INLINE_KEY = "vnd.xx.cache.v1"
"""What holds an inline cache in an image's config."""
VERSION = 1
"""Raised when what was written before must not be read."""

_MOST_RESULTS = 20_000
_MOST_CHAIN = 1000


@dataclass(frozen=True)
class Result:
    """What a step made: the diff IDs of its layers from the lowest up, and the seconds it took.

    ``used`` is when it was in a build that added to the cache, in seconds since 1970, 0 where that is not known.
    """

    chain: tuple[Digest, ...]
    seconds: float
    used: int = 0


@dataclass(frozen=True)
class Packed:
    """A layer as the cache has it. ``epoch`` is the SOURCE_DATE_EPOCH that it was packed with, None for none."""

    descriptor: Descriptor
    epoch: int | None = None


@dataclass(frozen=True)
class Entries:
    """``results`` by cache key, ``layers`` by diff ID: those that are in no base image."""

    results: Mapping[Digest, Result] = field(default_factory=dict)
    layers: Mapping[Digest, Packed] = field(default_factory=dict)

    def over(self, other: Entries) -> Entries:
        """Both, and of what both have, this one's."""
        return Entries({**other.results, **self.results}, {**other.layers, **self.layers})

    def within(self, other: Entries) -> bool:
        """Whether ``other`` has all of this."""
        return self.results.keys() <= other.results.keys()

    def config(self) -> dict[str, Any]:
        """The config of a cache with these."""
        return {
            "version": VERSION,
            "results": [
                {"key": key, "chain": list(result.chain), "seconds": result.seconds, "used": result.used}
                for key, result in sorted(self.results.items())
            ],
            "layers": [
                {"diffID": diff_id} | ({} if packed.epoch is None else {"epoch": packed.epoch})
                for diff_id, packed in sorted(self.layers.items())
            ],
        }

    def descriptors(self) -> list[Descriptor]:
        """The layers of the manifest."""
        return [packed.descriptor for _, packed in sorted(self.layers.items())]


class OtherVersion(Exception):
    """What is there is no cache that this version reads; the text says what it is."""


class NoCache(OtherVersion):
    """What is there is no cache of ours at all, and not to be replaced by one."""


def read_entries(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> Entries:
    """The entries of a cache. Raises OtherVersion; StoreError (``cache-invalid``) for what makes no sense."""
    if config.get("version") != VERSION:
        raise OtherVersion(f"its version is {str(config.get('version'))[:20]!r}, this program reads {VERSION!r}")
    results, layers, given = config.get("results"), config.get("layers"), manifest.get("layers")
    if not isinstance(results, list) or not isinstance(layers, list) or not isinstance(given, list):
        raise _invalid("it has no lists of results and layers")
    if len(results) > _MOST_RESULTS or len(layers) != len(given):
        raise _invalid(
            f"it has {len(results)} results, and {len(layers)} layers of which the manifest has {len(given)}"
        )
    pairs = zip(layers, given, strict=True)
    packed = dict(_layer(said, Descriptor.from_json(descriptor)) for said, descriptor in pairs)
    return Entries(dict(_result(each) for each in results), packed)


def _layer(said: object, descriptor: Descriptor) -> tuple[Digest, Packed]:
    if not isinstance(said, dict):
        raise _invalid("a layer is no object")
    epoch = said.get("epoch")
    return _digest(said.get("diffID")), Packed(descriptor, epoch if isinstance(epoch, int) else None)


def _result(said: object) -> tuple[Digest, Result]:
    if not isinstance(said, dict):
        raise _invalid("a result is no object")
    chain, seconds, used = said.get("chain"), said.get("seconds"), said.get("used", 0)
    if not isinstance(chain, list) or len(chain) > _MOST_CHAIN or not isinstance(seconds, (int, float)):
        raise _invalid("a result has no list of layers, or no seconds")
    if not isinstance(used, int):
        raise _invalid("a result was used at no time")
    return _digest(said.get("key")), Result(tuple(_digest(each) for each in chain), max(0.0, float(seconds)), used)


# -- inline ----------------------------------------------------------------------------------------------------------


def inline_json(results: Iterable[tuple[Digest, int]], epoch: int | None) -> dict[str, Any]:
    """What an image's config says of its own steps: key, and how many of its layers are the result.

    No times: the same steps have to give the same image.
    """
    said: dict[str, Any] = {"version": VERSION, "results": [list(each) for each in results]}
    return said if epoch is None else said | {"epoch": epoch}


def read_inline(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> Entries:
    """The entries of an image with an inline cache; none of one without. Raises as `read_entries` does."""
    said = config.get(INLINE_KEY)
    if said is None:
        return Entries()
    if not isinstance(said, dict) or said.get("version") != VERSION:
        raise OtherVersion("its inline cache is of another version")
    rootfs, given, results = config.get("rootfs"), manifest.get("layers"), said.get("results")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not isinstance(given, list) or not isinstance(results, list):
        raise _invalid("it has no lists of results and layers")
    if len(diff_ids) != len(given) or len(results) > _MOST_RESULTS:
        raise _invalid("its layers are not those of its config")
    chain = tuple(_digest(each) for each in diff_ids)
    epoch = said.get("epoch")
    packed = [Packed(Descriptor.from_json(each), epoch if isinstance(epoch, int) else None) for each in given]
    return Entries(dict(_inline(each, chain) for each in results), dict(zip(chain, packed, strict=True)))


def _inline(said: object, chain: tuple[Digest, ...]) -> tuple[Digest, Result]:
    if not isinstance(said, list) or len(said) != 2:
        raise _invalid("a result is no list of two")
    key, count = said
    if not isinstance(count, int) or not 0 <= count <= len(chain):
        raise _invalid("a result has more layers than the image")
    return _digest(key), Result(chain[:count], 0.0)


def _digest(value: object) -> Digest:
    text = str(value)
    hex_of(text)
    return text


def _invalid(why: str) -> StoreError:
    return StoreError(f"invalid cache: {why}", reason="cache-invalid")
