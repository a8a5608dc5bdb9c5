"""``--accelerate=verify``: whether a step made the same with twins as without, file by file.

What a step changed is a folder as overlayfs keeps it, whiteouts and opaque marks included. Times are not compared: they
are of the two runs.
"""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from xxpy.build.layers import OPAQUE

EXPECTED: Mapping[str, str] = {
    "var/cache/apt/*": "apt's caches have times and the layout of the machine that wrote them",
    "var/cache/ldconfig/aux-cache": "it has inode numbers and times",
    "var/log/*": "logs have times",
    "var/cache/debconf/*": "its files are in the order of a hash that is seeded anew each time",
    "var/cache/fontconfig/*": "its files have the times of folders",
    "etc/ssl/private/*": "keys are made of random numbers",
    "etc/ssl/certs/ssl-cert-snakeoil.pem": "a certificate of a random key",
    "etc/ssh/ssh_host_*": "keys are made of random numbers",
    "etc/shadow*": "passwords have the day and a random salt",
    "etc/machine-id": "it is random",
    "var/lib/dbus/machine-id": "it is random",
    "var/lib/systemd/*": "states of a run",
    "*/__pycache__/*.pyc": "where the source was made by the step, its time is part of it",
    "*/go-build/??/*-a": "an entry of Go's cache ends with the time it was made",
    "*/.cargo/.global-cache": "cargo's list of when it used what",
}
"""Files that no two runs of the same step make alike, by pattern of their path (fnmatch), with the reason."""

_TIMES: Mapping[str, slice] = {".pyc": slice(16, None), "-a": slice(None, -21)}
"""What must be the same all the same, by the path's end.

A .pyc begins with magic, flags, the source's time and size (PEP 552); an entry of Go's cache ends with 20 digits of
nanoseconds (cmd/go, cache.go).
"""


@dataclass(frozen=True)
class Difference:
    """A path that came out otherwise: ``what`` says how, ``expected`` why that had to be, empty if it had not."""

    path: str
    what: str
    expected: str = ""


@dataclass(frozen=True)
class Comparison:
    """What two runs of a step made: how many files and folders are alike, and those that are not."""

    same: int
    differences: tuple[Difference, ...]

    @property
    def unexpected(self) -> tuple[Difference, ...]:
        """Those that should have been the same."""
        return tuple(each for each in self.differences if not each.expected)

    @property
    def equal(self) -> bool:
        """Whether a result with twins may count as one without."""
        return not self.unexpected


def compare(one: Path, two: Path) -> Comparison:
    """Compare what a step changed with twins (``one``) and without (``two``). Raises OSError."""
    same = 0
    found = []
    for path in sorted({*_walk(one), *_walk(two)}):
        what = _difference(one / path, two / path)
        if what:
            found.append(Difference(f"/{path}", what, _expected(path, one, two)))
        else:
            same += 1
    return Comparison(same, tuple(found))


def in_words(comparison: Comparison) -> Iterator[str]:
    """What a comparison found, line by line: unexpected differences first, at most `_MOST_SHOWN` of each kind."""
    unexpected = comparison.unexpected
    expected = [each for each in comparison.differences if each.expected]
    verdict = "the same with twins as without" if comparison.equal else "NOT the same with twins as without"
    yield f"{verdict}: {comparison.same} files alike, {len(unexpected)} not, {len(expected)} never are"
    yield from (f"  {each.path} {each.what}" for each in unexpected[:_MOST_SHOWN])
    if len(unexpected) > _MOST_SHOWN:
        yield f"  … and {len(unexpected) - _MOST_SHOWN} more"
    yield from (f"  {each.path} {each.what}: {each.expected}" for each in expected[:_MOST_SHOWN])


_MOST_SHOWN = 20


def _walk(top: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            yield os.path.relpath(os.path.join(folder, name), top)


def _expected(path: str, one: Path, two: Path) -> str:
    for pattern, reason in EXPECTED.items():
        if fnmatchcase(path, pattern):
            kept = next((kept for end, kept in _TIMES.items() if path.endswith(end)), None)
            return reason if kept is None or _same_part(one / path, two / path, kept) else ""
    return ""


def _same_part(one: Path, two: Path, kept: slice) -> bool:
    try:
        return one.read_bytes()[kept] == two.read_bytes()[kept]
    except OSError:
        return False


def _difference(one: Path, two: Path) -> str:
    """How two paths differ; empty if they do not."""
    try:
        first = one.lstat()
    except FileNotFoundError:
        return "is there only without twins"
    try:
        second = two.lstat()
    except FileNotFoundError:
        return "is there only with twins"
    if stat.S_IFMT(first.st_mode) != stat.S_IFMT(second.st_mode):
        return "is of another type"
    if first.st_mode != second.st_mode:
        return f"has mode {stat.S_IMODE(first.st_mode):o} with twins, {stat.S_IMODE(second.st_mode):o} without"
    if (first.st_uid, first.st_gid) != (second.st_uid, second.st_gid):
        return "has another owner"
    if _attributes(one) != _attributes(two):
        return "has other extended attributes"
    if stat.S_ISLNK(first.st_mode):
        return "" if os.readlink(one) == os.readlink(two) else "leads elsewhere"
    if stat.S_ISREG(first.st_mode):
        if first.st_size != second.st_size:
            return f"has {first.st_size} bytes with twins, {second.st_size} without"
        return "" if filecmp.cmp(one, two, shallow=False) else "has other bytes"
    return "" if first.st_rdev == second.st_rdev else "is another device"


def _attributes(path: Path) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    # What overlayfs notes about where a file came from is of each overlay.
    kept = [name for name in names if not name.startswith("user.overlay.") or name == OPAQUE]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in kept}
