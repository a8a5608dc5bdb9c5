"""HEALTHCHECK: flags and command to what Docker's image specification has of it.

Source: Dockerfile reference, "HEALTHCHECK"; Docker image specification v1.2, ``Healthcheck``; Go's documentation of
time.ParseDuration for how times are written.
"""

from __future__ import annotations

import re

from xxpy.build.dockerfile.flags import Flags
from xxpy.build.dockerfile.instructions import Instruction
from xxpy.build.dockerfile.scope import Scope
from xxpy.build.graph import Healthcheck
from xxpy.errors import DockerfileError

_TIMES = ("interval", "timeout", "start-period", "start-interval")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_LEAST = 10**6
_MOST = (1 << 63) - 1


def read_healthcheck(at: Instruction, scope: Scope) -> Healthcheck:
    """The health check of ``at``. Raises DockerfileError: ``bad-healthcheck``, ``bad-duration``, ``bad-flag``."""
    place = f"{scope.path}:{at.range.start}"
    flags = Flags(at, scope, allowed=(*_TIMES, "retries"), later=())
    kind, *command = at.args
    kind = kind.upper()
    if kind == "NONE" and not command:
        return Healthcheck(("NONE",))
    if kind != "CMD" or not command:
        problem = "NONE takes nothing after it" if kind == "NONE" else "needs a command" if kind == "CMD" else ""
        raise DockerfileError(
            f"HEALTHCHECK {problem or f'has no form {kind[:40]}'}",
            remedy="write HEALTHCHECK [FLAGS] CMD COMMAND, or HEALTHCHECK NONE",
            reason="bad-healthcheck",
            place=place,
        )
    interval, timeout, start_period, start_interval = (_time(flags, name, place) for name in _TIMES)
    test = ("CMD" if at.json else "CMD-SHELL", *command)
    retries = _retries(flags.get("retries"), place)
    return Healthcheck(test, interval, timeout, start_period, start_interval, retries)


def _time(flags: Flags, name: str, place: str) -> int:
    text = flags.get(name)
    value = duration(text) if text else 0
    if value is None or value < 0 or 0 < value < _LEAST:
        raise DockerfileError(
            f"--{name}={text[:40]} is no time of at least 1ms",
            remedy="write it as 30s, 1m30s or 500ms",
            reason="bad-duration",
            place=place,
        )
    return value


def _retries(text: str, place: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise DockerfileError(
            f"--retries={text[:40]} is no number", remedy="write it as --retries=3", reason="bad-flag", place=place
        )
    return int(text)


def duration(text: str) -> int | None:
    """Nanoseconds of ``1m30s`` and its like, None for what is no duration of Go's."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None or not (part[1] or part[2]):
            return None
        scale = _NANOSECONDS[part[3]]
        total += int(part[1] or 0) * scale
        if fraction := (part[2] or "")[:20]:
            total += int(fraction) * scale // 10 ** len(fraction)
        if total > _MOST:
            return None
        at = part.end()
    return sign * total if rest else None
