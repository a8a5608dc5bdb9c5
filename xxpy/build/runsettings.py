"""What the command line says of every RUN: network, lines of /etc/hosts, /dev/shm and resource limits.

Flags and their forms are those of ``docker buildx build``. What is given enters the steps themselves and so their keys;
what is not leaves them as they are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from xxpy.build.graph import NetMode, Ulimit
from xxpy.errors import UsageError

NETWORKS = {"default": NetMode.UNSET, "none": NetMode.NONE, "host": NetMode.HOST}
"""Values of ``--network``, of a RUN and of the command line alike."""

LIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
"""Names of limits (getrlimit(2), without ``RLIMIT_``)."""

INSECURE = "security.insecure"
_HOST_NETWORK = "network.host"

HOST_GATEWAY = "host-gateway"
"""The address of ``--add-host`` that stands for the host: which one that is depends on the step's network."""

_MOST = (1 << 63) - 1
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


@dataclass(frozen=True)
class RunSettings:
    """For every RUN that does not say otherwise. ``insecure`` allows ``RUN --security=insecure``.

    The other fields are those of `ExecOp`.
    """

    network: NetMode = NetMode.UNSET
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    insecure: bool = False


def parse_network(text: str) -> NetMode:
    """Read ``--network``. Raises UsageError (``bad-network``)."""
    if text not in NETWORKS:
        raise UsageError(
            f"--network={text} is none of default, none, host",
            remedy="by default each step has a network of its own; host is this machine's, none has loopback alone",
            reason="bad-network",
        )
    return NETWORKS[text]


def parse_add_host(text: str) -> tuple[str, str]:
    """Read ``--add-host NAME:ADDRESS`` or ``NAME=ADDRESS``; an IPv6 address may be in brackets.

    Raises UsageError (``bad-add-host``).
    """
    match = re.fullmatch(r"([^:=]*)[:=](.*)", text)
    name, address = match.groups() if match else (text, "")
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        fine = bool(_HOST.fullmatch(name)) and "%" not in bare
        if fine and bare == HOST_GATEWAY:
            return name, bare
        return name, str(ipaddress.ip_address(bare if fine else ""))
    except ValueError:
        raise UsageError(
            f"--add-host {text!r} is no name with an address",
            remedy="write NAME:ADDRESS, as in db.test:10.0.0.2 or db.test=[::1]",
            reason="bad-add-host",
        ) from None


def parse_size(text: str, flag: str) -> int:
    """A number of bytes, with ``k``, ``m``, ``g`` … for powers of 1024, as Docker reads sizes; 0 for empty text.

    Raises UsageError (``bad-size``), in which ``flag`` is what was given it.
    """
    match = _SIZE.fullmatch(text)
    size = int(float(match[1]) * (1 << _UNITS[match[2].lower()])) if match else -1
    if match and "." not in match[1]:
        size = int(match[1]) << _UNITS[match[2].lower()]
    if text and not 0 <= size <= _MOST:
        raise UsageError(f"{flag}={text[:40]} is no size", remedy="write bytes, or 64k, 128m, 1g", reason="bad-size")
    return size if text else 0


def parse_ulimit(text: str) -> Ulimit:
    """Read ``--ulimit NAME=SOFT[:HARD]``; -1 is no limit. Raises UsageError (``bad-ulimit``)."""
    name, _, values = text.partition("=")
    soft_text, colon, hard_text = values.partition(":")
    if not colon:
        hard_text = soft_text
    fine = all(re.fullmatch(r"-1|[0-9]{1,19}", each) for each in (soft_text, hard_text))
    soft, hard = (int(soft_text), int(hard_text)) if fine else (0, 0)
    over = hard != -1 and (soft == -1 or soft > hard)
    if name not in LIMITS or not fine or over or max(soft, hard) > _MOST:
        raise UsageError(
            f"--ulimit {text!r} {'has a soft limit over its hard one' if fine and over else 'is no limit'}",
            remedy=f"write NAME=SOFT[:HARD], as in nofile=1024:2048; names: {', '.join(LIMITS)}",
            reason="bad-ulimit",
        )
    return Ulimit(name, soft, hard)


def parse_allow(given: Iterable[str]) -> bool:
    """Read ``--allow``: whether it has ``security.insecure``. ``network.host`` needs no permission here.

    Raises UsageError (``bad-allow``).
    """
    words = [word for text in given for word in text.split(",")]
    for word in words:
        if word not in (INSECURE, _HOST_NETWORK):
            raise UsageError(
                f"--allow {word!r} is nothing that can be allowed",
                remedy=f"it takes {INSECURE} and {_HOST_NETWORK}",
                reason="bad-allow",
            )
    return INSECURE in words
