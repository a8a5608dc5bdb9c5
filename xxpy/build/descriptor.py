"""Descriptors and the JSON of OCI images, read with suspicion: what another tool wrote may hold anything."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from xxpy.errors import PlatformError, StoreError
from xxpy.platforms import Platform

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_ANNOTATIONS = 256


def canonical_json(value: Any) -> bytes:
    """The one text of JSON-able data: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def is_digest(text: str) -> bool:
    """Whether it is ``sha256:`` and 64 hex digits in lower case."""
    return _DIGEST.fullmatch(text) is not None


def digest_of_bytes(data: bytes) -> str:
    """``sha256:`` and the 64 hex digits of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def parse_json_object(data: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object. Raises StoreError (``json-invalid``) naming ``what`` when it is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{what} is not JSON: {error}", reason="json-invalid") from error
    if not isinstance(value, dict):
        raise StoreError(f"{what} is not a JSON object", reason="json-invalid")
    return value


@dataclass(frozen=True)
class Descriptor:
    """A reference to a blob (OCI image-spec, descriptor.md). ``size`` is in bytes, ``digest`` always sha256."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The descriptor as JSON's own types; what is empty is left out."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform is not None:
            value["platform"] = platform_json(self.platform)
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value

    @classmethod
    def from_json(cls, value: object) -> Descriptor:
        """Read what another tool may have written. Raises StoreError (``descriptor-invalid``)."""
        if not isinstance(value, dict):
            raise _bad_descriptor("it is not an object")
        media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
            raise _bad_descriptor(f"mediaType is {_shown(media_type)}")
        if not isinstance(digest, str) or not is_digest(digest):
            raise _bad_descriptor(f"digest is {_shown(digest)}, expected sha256: and 64 hex digits")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 53:
            raise _bad_descriptor(f"size is {_shown(size)}")
        return cls(media_type, digest, size, _platform(value.get("platform")), _annotations(value.get("annotations")))


def _bad_descriptor(why: str) -> StoreError:
    return StoreError(f"invalid descriptor: {why}", reason="descriptor-invalid")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def _annotations(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > _ANNOTATIONS:
        raise _bad_descriptor(f"annotations are no object of at most {_ANNOTATIONS} entries")
    if not all(isinstance(text, str) for text in value.values()):
        raise _bad_descriptor("an annotation is not text")
    return tuple(sorted(value.items()))


def platform_json(platform: Platform) -> dict[str, str]:
    """A platform as OCI indexes and configs write it."""
    value = {"architecture": platform.arch, "os": platform.os}
    return value | {"variant": platform.variant} if platform.variant else value


def _platform(value: object) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _bad_descriptor(f"platform is {_shown(value)}")
    parts = [value.get("os", ""), value.get("architecture", ""), value.get("variant", "")]
    if not all(isinstance(part, str) and len(part) <= 64 for part in parts):
        raise _bad_descriptor(f"platform is {_shown(value)}")
    return platform_of(*parts)


def platform_of(os_name: str, arch: str, variant: str = "") -> Platform:
    """A platform out of an image: normalised, or as it stands when nothing here knows it.

    Indexes hold foreign ones: ``unknown/unknown`` is where BuildKit puts attestations.
    """
    try:
        return Platform.of(os_name, arch, variant)
    except PlatformError:
        return Platform(os_name, arch, variant)


def hex_of(digest: str) -> str:
    """The 64 hex digits of a digest. Raises StoreError (``digest-invalid``)."""
    if not is_digest(digest):
        raise StoreError(f"{digest[:100]!r} is not a digest (sha256: and 64 hex digits)", reason="digest-invalid")
    return digest.removeprefix("sha256:")
