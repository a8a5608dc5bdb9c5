"""busybox: one program with many names, which tells how it was built: its settings are in it, packed (``bbconfig``).

Where it prefers its own applets, its shell is also uname and nproc, without starting a program, and what it starts of
itself goes by /proc/self/exe, which for a twin is the loader. Alpine's settings are others; they are read all the same.
"""

from __future__ import annotations

import bz2
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from xxpy.build.engine.rooted import inside
from xxpy.errors import XxError
from xxpy.platforms import Platform

_BLOCK = b"1AY&SY"
"""The magic number of a block of bzip2. Before it are "h" and a digit; a file's "BZ" is cut off (scripts/mkconfigs)."""
_MOST_FILE = 16 << 20
_MOST_TEXT = 1 << 20
_MOST_STREAMS = 64
_NEVER = (
    "FEATURE_PREFER_APPLETS",
    "FEATURE_SH_STANDALONE",
    "FEATURE_SH_NOFORK",
    "BUILD_LIBBUSYBOX",
    "FEATURE_INDIVIDUAL",
)
_PLACES = ('"/bin/busybox"', '"/usr/bin/busybox"')


def starts_programs(twin: Path, before: Path, path: str, target: Platform) -> bool:
    """Whether the busybox at ``path`` of the ``twin`` root starts applets as programs, by name. See `rules.Proof`.

    The one in ``before``, if it is there, has to have the very same settings.
    """
    settings = read_settings(twin, path)
    if not settings or any(settings.get(name) for name in _NEVER) or settings.get("BUSYBOX_EXEC_PATH") not in _PLACES:
        return False
    try:
        there = os.path.lexists(inside(before, path))
    except (OSError, XxError):
        return False
    return not there or read_settings(before, path) == settings


def read_settings(root: Path, path: str) -> Mapping[str, str]:
    """The settings that the busybox at ``path`` was built with, as ``.config`` has them, without ``CONFIG_``.

    What is not set is left out. Empty where they are not in it.
    """
    data = _read(root, path)
    at = -1
    for _ in range(_MOST_STREAMS):
        at = data.find(_BLOCK, at + 1)
        if at < 0:
            break
        try:
            text = bz2.BZ2Decompressor().decompress(b"BZ" + data[max(at - 2, 0) :], _MOST_TEXT)
        except (OSError, ValueError):
            continue
        lines = (line.partition("=") for line in text.decode(errors="replace").splitlines())
        found = {name.removeprefix("CONFIG_"): value for name, _, value in lines if name.startswith("CONFIG_")}
        if "BUSYBOX_EXEC_PATH" in found:
            return found
    return {}


def _read(root: Path, path: str) -> bytes:
    try:
        real = Path(inside(root, path))
        info = os.lstat(real)
        return real.read_bytes() if stat.S_ISREG(info.st_mode) and info.st_size <= _MOST_FILE else b""
    except (OSError, XxError):
        return b""
