"""Image names: the short form people write and the full one that the store keeps.

Source: distribution/reference grammar (Docker's "reference"): ``[host[:port]/]path[:tag][@digest]``.
"""

from __future__ import annotations

import re

from xxpy.errors import UsageError

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<host>(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?::[0-9]{{1,5}})?)/)?"
    rf"(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MOST_PORT = 65535
_HUB, _LIBRARY = "docker.io", "library"


def normalize_name(text: str) -> str:
    """``busybox`` as ``docker.io/library/busybox:latest``. Raises UsageError (``bad-reference``)."""
    first, slash, _rest = text.partition("/")
    # What stands before the first slash is a host only if it looks like one.
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    full = text if is_host else f"{_HUB}/{text if slash else f'{_LIBRARY}/{text}'}"
    match = _REFERENCE.fullmatch(full) if len(full) <= 512 else None
    port = match["host"].partition(":")[2] if match is not None else ""
    if match is None or (port and int(port) > _MOST_PORT):
        raise UsageError(
            f"{text[:100]!r} is no image name",
            remedy="a name is in lower case, as debian:trixie or registry.example/team/app:1.0",
            reason="bad-reference",
        )
    tag = match["tag"] or ("" if match["digest"] else "latest")
    name = f"{match['host']}/{match['path']}"
    return name + (f":{tag}" if tag else "") + (f"@{match['digest']}" if match["digest"] else "")


def tag_name(text: str) -> str:
    """The full name that an image is to get. Raises UsageError (``bad-reference``), for one with a digest too."""
    full = normalize_name(text)
    if "@" in full:
        raise UsageError(
            f"{text[:200]!r} has a digest: an image gets that from its content",
            remedy="give it a name and a tag, as app:1.0",
            reason="bad-reference",
        )
    return full


def short_name(full: str) -> str:
    """A full name as people write it: ``debian:trixie``."""
    name = full.removeprefix(f"{_HUB}/").removeprefix(f"{_LIBRARY}/")
    return name.removesuffix(":latest")


def tag_of(full: str) -> str:
    """The tag of a full name, ``latest`` if it has none."""
    name = full.rpartition("/")[2].partition("@")[0]
    return name.partition(":")[2] or "latest"
