"""``--cache-to`` and ``--cache-from`` as ``docker buildx build`` takes them: values and checks, no reading or writing.

Source: Docker's documentation of cache storage backends.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field

from xxpy.build.descriptor import is_digest
from xxpy.build.names import normalize_name
from xxpy.build.outputs import BOOLEANS
from xxpy.build.runsettings import parse_size
from xxpy.errors import UsageError

LOCAL, REGISTRY, INLINE = "local", "registry", "inline"
MIN, MAX = "min", "max"
KEEP = "keep-storage"

_TO = {
    LOCAL: ("dest", "tag", "mode", KEEP, "ignore-error", "oci-mediatypes", "image-manifest"),
    REGISTRY: ("ref", "mode", KEEP, "ignore-error", "oci-mediatypes", "image-manifest", "registry.insecure"),
    INLINE: (),
}
_FROM = {LOCAL: ("src", "tag", "digest"), REGISTRY: ("ref", "registry.insecure")}
_ELSEWHERE = ("gha", "s3", "azblob")
_FORM = ("compression", "compression-level", "force-compression")


@dataclass(frozen=True)
class Cache:
    """One ``--cache-to`` or ``--cache-from``.

    ``text`` is as it was given. ``place`` is a folder (``local``) or a full name (``registry``), empty for ``inline``.
    ``tag`` names one of the caches in a folder, ``digest`` one manifest there. ``mode``, ``ignore_error`` and ``keep``
    are of ``--cache-to`` alone: the last is the bytes that its layers may take, None for any number.
    """

    kind: str
    place: str
    tag: str = "latest"
    digest: str = ""
    mode: str = MIN
    ignore_error: bool = False
    insecure: bool = False
    keep: int | None = None
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        """As it was given."""
        return self.text


def parse_cache_to(text: str) -> Cache:
    """Read ``type=local,dest=DIR[,mode=max]``, ``type=registry,ref=NAME``, ``type=inline``, or ``NAME``.

    Raises UsageError: ``bad-cache``, ``cache-unsupported``, ``bad-reference``.
    """
    return _parse("--cache-to", text, _TO, "dest")


def parse_cache_from(text: str) -> Cache:
    """Read ``type=local,src=DIR``, ``type=registry,ref=NAME`` or ``NAME``. Raises as `parse_cache_to` does."""
    return _parse("--cache-from", text, _FROM, "src")


def handed_cache(flag: str, text: str) -> Cache:
    """What BuildKit gets as it is, with as much as has to be known of it here: type, folder and errors that may pass.

    Raises UsageError (``bad-cache``) for what is no line of CSV.
    """
    fields = _fields(flag, text)
    passes = fields.get("ignore-error", "").lower()
    return Cache(fields.get("type", ""), fields.get("dest", ""), ignore_error=BOOLEANS.get(passes, False), text=text)


def _parse(flag: str, text: str, kinds: Mapping[str, tuple[str, ...]], folder: str) -> Cache:
    fields = _fields(flag, text)
    kind = fields.pop("type", "")
    if kind not in kinds:
        _refuse_kind(flag, text, kind, kinds)
    for key in fields:
        if key not in kinds[kind]:
            known = f"type={kind} takes: {', '.join(kinds[kind]) or 'nothing more'}"
            if key in _FORM:
                raise _unsupported(flag, text, f"{key}= is not supported", "layers are kept as the images have them")
            raise _bad(flag, text, f"{key}= is not known", known)
    if fields.get("digest") and not is_digest(fields["digest"]):
        raise _bad(flag, text, f"digest={fields['digest'][:80]} is none", "write digest=sha256:…, all 64 hex digits")
    mode = fields.get("mode", MIN)
    if mode not in (MIN, MAX):
        raise _bad(flag, text, f"mode={mode} is not known", "mode=min keeps what the images are made of, max all steps")
    if not all(_boolean(flag, text, fields, key, True) for key in ("oci-mediatypes", "image-manifest")):
        raise _unsupported(flag, text, "a cache is an OCI image manifest", "leave that parameter out")
    needed = {LOCAL: folder, REGISTRY: "ref", INLINE: ""}[kind]
    place = fields.get(needed, "") if needed else ""
    if needed and not place:
        raise _bad(flag, text, f"{needed}= is missing", f"write {flag} type={kind},{needed}=…")
    return Cache(
        kind,
        normalize_name(place) if kind == REGISTRY else place,
        fields.get("tag") or "latest",
        fields.get("digest", ""),
        mode,
        _boolean(flag, text, fields, "ignore-error", False),
        _boolean(flag, text, fields, "registry.insecure", False),
        parse_size(fields[KEEP], f"{flag} {KEEP}") if fields.get(KEEP) else None,
        text,
    )


def _fields(flag: str, text: str) -> dict[str, str]:
    try:
        row = next(csv.reader([text]), [])
    except csv.Error as error:
        raise _bad(flag, text, f"it is no line of CSV ({error})", f"write {flag} type=local,…") from error
    if len(row) == 1 and "=" not in row[0]:
        return {"type": REGISTRY, "ref": row[0]}
    fields = {}
    for part in row:
        key, equals, value = part.partition("=")
        if not equals:
            raise _bad(flag, text, f"{part!r} is no KEY=VALUE", f"write {flag} type=TYPE,KEY=VALUE")
        fields[key.strip().lower()] = value
    return fields


def _refuse_kind(flag: str, text: str, kind: str, kinds: Mapping[str, tuple[str, ...]]) -> None:
    types = f"types: {', '.join(kinds)}"
    if kind in _ELSEWHERE:
        raise _unsupported(flag, text, f"a cache of type {kind} is not supported", types)
    raise _bad(flag, text, f"there is no cache of type {kind}" if kind else "type= is missing", types)


def _boolean(flag: str, text: str, fields: Mapping[str, str], key: str, usual: bool) -> bool:
    value = fields.get(key)
    if value is None:
        return usual
    if value.lower() not in BOOLEANS:
        raise _bad(flag, text, f"{key}={value} is neither true nor false", f"write {key}=true or {key}=false")
    return BOOLEANS[value.lower()]


def _bad(flag: str, text: str, problem: str, remedy: str) -> UsageError:
    return UsageError(f"{flag} {text}: {problem}", remedy=remedy, reason="bad-cache")


def _unsupported(flag: str, text: str, problem: str, remedy: str) -> UsageError:
    return UsageError(f"{flag} {text}: {problem}", remedy=remedy, reason="cache-unsupported")
