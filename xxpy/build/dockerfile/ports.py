"""EXPOSE: words to ports of the image's config.

Source: Dockerfile reference, "EXPOSE". What ``docker run -p`` takes (``IP:HOST:CONTAINER``) is taken too, as BuildKit
does, and the container's ports of it are kept.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from xxpy.errors import DockerfileError

_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Exposed:
    """One word of EXPOSE: ``ports`` as the config has them (``80/tcp``), each of a range on its own.

    ``protocol`` is as written. ``mapped`` says that an address or a port of the host stands before it.
    """

    ports: tuple[str, ...]
    protocol: str
    mapped: bool


def exposed(word: str) -> Exposed:
    """Read one word. Raises DockerfileError (``bad-port``), without a place."""
    host, _, container = word.rpartition(":")
    address, _, outer = host.rpartition(":")
    number, slash, protocol = container.partition("/")
    wanted = protocol.lower() or "tcp"
    inner = _range(number)
    fine = inner is not None and wanted in _PROTOCOLS and (not host or _mapping(address, outer, len(inner)))
    if not fine or inner is None or (slash and not protocol and not number):
        raise DockerfileError(
            f"{word[:60]!r} is no port", remedy="write 8080, 8080/udp or 8000-8010", reason="bad-port"
        )
    return Exposed(tuple(f"{port}/{wanted}" for port in inner), protocol, bool(host))


def _mapping(address: str, outer: str, inside: int) -> bool:
    ports = _range(outer)
    # A range of the host may stand before one port of the container: one of it is taken.
    if ports is None or (len(ports) != inside and inside != 1):
        return False
    try:
        return not address or bool(ipaddress.ip_address(address.removeprefix("[").removesuffix("]")))
    except ValueError:
        return False


def _range(text: str) -> range | None:
    first, dash, last = text.partition("-")
    ends = (first, last if dash else first)
    if not all(end.isascii() and end.isdigit() and len(end) < 6 and int(end) < 65536 for end in ends):
        return None
    found = range(int(ends[0]), int(ends[1]) + 1)
    return found if len(found) else None
