"""``--accelerate=verify``: whether a step made the same with twins as without, file by file.

What a step changed is a folder as overlayfs keeps it, whiteouts and opaque marks included. Times are not compared: they
are of the two runs.
"""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.layers import OPAQUE
from xxpy.build.twins.expected import reason_for


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
            found.append(Difference(f"/{path}", what, reason_for(path, one, two)))
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
