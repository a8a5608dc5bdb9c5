"""What no two runs of the same step make alike, whatever runs its programs: by path, with the reason."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from xxpy.errors import XxError
from xxpy.verify.binary import is_archive, members
from xxpy.verify.source import Source, open_regular


def _anything(one: Path, two: Path) -> bool:
    return True


def _same_part(part: slice, one: Path, two: Path) -> bool:
    return _read(one)[part] == _read(two)[part]


def _same_but_digits(one: Path, two: Path) -> bool:
    return _DIGITS.sub(b"", _read(one)) == _DIGITS.sub(b"", _read(two))


def _same_lines(one: Path, two: Path) -> bool:
    return sorted(_read(one).splitlines()) == sorted(_read(two).splitlines())


def _same_but_minute(one: Path, two: Path) -> bool:
    """Whether both have one size and differ in the two bytes of a number below 1440 at most."""
    first, second = _read(one), _read(two)
    differ = [at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]]
    return len(first) == len(second) and differ != [] and differ[-1] - differ[0] < _MINUTE


def _same_json(one: Path, two: Path) -> bool:
    try:
        return bool(json.loads(_read(one)) == json.loads(_read(two)))
    except (ValueError, RecursionError):
        return False


def _there_in_one(one: Path, two: Path) -> bool:
    return one.exists() != two.exists()


def _same_code(one: Path, two: Path) -> bool:
    """Whether two Rust libraries differ in rustc's metadata alone, and that not in size."""
    first, second = (_members(path.with_suffix(".rlib")) for path in (one, two))
    size = len(first.pop(_METADATA, b""))
    return size > 0 and size == len(second.pop(_METADATA, b"")) and first == second


_MINUTE = 2
_METADATA = "lib.rmeta"
_DIGITS = re.compile(rb"[0-9]+")


def _members(archive: Path) -> dict[str, bytes]:
    """Name and content of each member; none of what is no archive."""
    try:
        descriptor, size = open_regular(archive)
    except XxError:
        return {}
    try:
        source = Source(descriptor, size, "the library")
        return {name: part.head(part.size) for name, part in members(source)} if is_archive(source) else {}
    except (OSError, XxError):
        return {}
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@dataclass(frozen=True)
class Reason:
    """Why a file differs, in words, if ``holds`` says of both files that it is no more than that."""

    why: str
    holds: Callable[[Path, Path], bool] = _anything


EXPECTED: Mapping[str, Reason] = {
    "var/cache/apt/*": Reason("apt's caches have times and the layout of the machine that wrote them"),
    "var/cache/ldconfig/aux-cache": Reason("it has inode numbers and times"),
    "var/log/apt/history.log": Reason("it has times", _same_but_digits),
    "var/log/dpkg.log": Reason("it has times", _same_but_digits),
    "var/log/alternatives.log": Reason("it has times", _same_but_digits),
    "var/log/*": Reason("logs have times"),
    "var/cache/debconf/*": Reason("its files are in the order of a hash that is seeded anew each time"),
    "var/cache/fontconfig/*": Reason("its files have the times of folders"),
    "var/lib/texmf/web2c/lua*/*.fmt": Reason("formats have Lua's tables in the order of a hash that is seeded anew"),
    "var/lib/texmf/web2c/tex/*.fmt": Reason("it has the minute when it was made", _same_but_minute),
    # \time, and which language.def there was by then: fmtutil goes through a hash of perl's.
    "var/lib/texmf/web2c/*.fmt": Reason(
        "formats have the minute, and are made in the order of a hash that is seeded anew"
    ),
    "var/lib/texmf/web2c/*.base": Reason("it has the minute when it was made", _same_but_minute),
    "var/lib/texmf/web2c/*.log": Reason("logs have times"),
    "var/lib/texmf/ls-R": Reason("its lines are in the order of the folders", _same_lines),
    "etc/ssl/private/*": Reason("keys are made of random numbers"),
    "etc/ssl/certs/ssl-cert-snakeoil.pem": Reason("a certificate of a random key"),
    "etc/ssh/ssh_host_*": Reason("keys are made of random numbers"),
    "etc/shadow*": Reason("passwords have the day and a random salt"),
    "etc/machine-id": Reason("it is random"),
    "var/lib/dbus/machine-id": Reason("it is random"),
    "var/lib/systemd/*": Reason("states of a run"),
    # PEP 552: a .pyc begins with magic, flags, and the time and size of its source.
    "*/__pycache__/*.pyc": Reason(
        "where the source was made by the step, its time is part of it", partial(_same_part, slice(16, None))
    ),
    # cmd/go, cache.go: an entry ends with 20 digits of nanoseconds and a line feed.
    "*/go-build/??/*-a": Reason(
        "an entry of Go's cache ends with the time it was made", partial(_same_part, slice(None, -21))
    ),
    "*/go-build/trim.txt": Reason("the time when Go last looked through its cache"),
    "*/.config/go/telemetry/*": Reason("Go's own counters name the machine of each tool, and have times"),
    "*/.cargo/.global-cache": Reason("cargo's list of when it used what"),
    "*/.fingerprint/*": Reason("cargo's fingerprints have the times of files"),
    "*/target/.rustc_info.json": Reason("cargo writes it in the order of a hash that is seeded anew", _same_json),
    "*/target/*.d": Reason("cargo tells by a hash that is seeded anew whether to write it again", _there_in_one),
    "*/lib*.rlib": Reason(
        "rustc lists what a function needs of the processor in the order of a hash, which is the machine's; "
        "the code is the same",
        _same_code,
    ),
    "*/lib*.rmeta": Reason("as the library beside it", _same_code),
}
"""By pattern of the path (fnmatch); the first that fits counts."""


def reason_for(path: str, one: Path, two: Path) -> str:
    """Why ``path``, without a slash before it, differs below ``one`` and ``two``; empty if it should not."""
    reason = next((reason for pattern, reason in EXPECTED.items() if fnmatchcase(path, pattern)), None)
    return reason.why if reason is not None and reason.holds(one / path, two / path) else ""
