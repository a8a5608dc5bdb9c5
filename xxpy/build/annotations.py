"""Annotations of an image: ``--annotation``, as ``docker buildx build`` takes it.

Sources: OCI image-spec, annotations.md; Docker's guide "Annotations" for the syntax ``TYPE[PLATFORM]:KEY=VALUE``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xxpy.errors import UsageError
from xxpy.platforms import Platform

MANIFEST, INDEX, MANIFEST_DESCRIPTOR, INDEX_DESCRIPTOR = KINDS = (
    "manifest",
    "index",
    "manifest-descriptor",
    "index-descriptor",
)
"""Where an annotation is written: a platform's manifest, the index, the index's entry for a manifest, the entry of the
index in the layout."""

_GIVEN = re.compile(r"(?P<kinds>[a-z,\[\]/0-9-]+):(?P<rest>.+)", re.DOTALL)
_KIND = re.compile(r"(?P<kind>[a-z-]+)(?:\[(?P<platform>[^\]]+)\])?")


@dataclass(frozen=True)
class Annotation:
    """``key`` and ``value`` where ``kind`` says; ``platform`` is None for every one."""

    kind: str
    key: str
    value: str
    platform: Platform | None = None


def parse_annotation(text: str) -> list[Annotation]:
    """Read ``KEY=VALUE`` (of the manifests) or ``TYPE[,TYPE…]:KEY=VALUE``, a TYPE of `KINDS`, as ``manifest[OS/ARCH]``.

    Raises UsageError (``bad-annotation``), PlatformError.
    """
    kinds, rest = MANIFEST, text
    given = _GIVEN.fullmatch(text)
    if given and all(match and match["kind"] in KINDS for match in map(_KIND.fullmatch, given["kinds"].split(","))):
        kinds, rest = given["kinds"], given["rest"]
    key, equals, value = rest.partition("=")
    if not key or not equals:
        raise UsageError(
            f"--annotation {text[:100]!r} has no {'value' if key else 'name'}",
            remedy=f"write KEY=VALUE or TYPE:KEY=VALUE, TYPE one of {', '.join(KINDS)}",
            reason="bad-annotation",
        )
    made = []
    for each in kinds.split(","):
        match = _KIND.fullmatch(each)
        assert match is not None
        platform = Platform.parse(match["platform"]) if match["platform"] else None
        made.append(Annotation(match["kind"], key, value, platform))
    return made


Pairs = tuple[tuple[str, str], ...]


def chosen(given: Sequence[Annotation], kind: str, platform: Platform | None = None) -> Pairs:
    """The keys and values for one place, sorted by key; of equal keys the last counts."""
    found = {each.key: each.value for each in given if each.kind == kind and each.platform in (None, platform)}
    return tuple(sorted(found.items()))
