"""A small base image out of the distribution's busybox-static package, without running anything of it.

The names of the applets stand in the binary itself, as one table of texts (busybox, ``applets/applet_tables.c``:
``applet_names``, sorted, ended by an empty one), so a foreign busybox need not be asked for them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from xxpy.errors import SourceError

_FIRST = b"[\0[[\0"
_NAME = re.compile(rb"[A-Za-z0-9_.+\[-]{1,32}")
_FEWEST, _MOST = 50, 2000

_FOLDERS = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "var": 0o755,
    "var/tmp": 0o1777,
}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def applets(binary: bytes) -> list[str]:
    """The names that a busybox program goes by. Raises SourceError (``busybox-unknown``) if it holds no such table."""
    start = binary.find(_FIRST)
    while start >= 0:
        names = _texts(binary, start)
        if _FEWEST <= len(names) <= _MOST and "sh" in names:
            return names
        start = binary.find(_FIRST, start + 1)
    raise SourceError(
        "the busybox of the package has no table of applets",
        remedy="name another release, as in: xx base busybox:bookworm",
        reason="busybox-unknown",
    )


def _texts(binary: bytes, start: int) -> list[str]:
    names: list[str] = []
    while len(names) <= _MOST:
        end = binary.find(b"\0", start)
        if end <= start or not _NAME.fullmatch(binary[start:end]):
            break
        names.append(binary[start:end].decode())
        start = end + 1
    return names


def make_tree(binary: bytes, root: Path) -> None:
    """Fill the empty folder ``root``: the program, a link for each applet, and the few files that programs expect."""
    root.chmod(0o755)
    for folder, mode in _FOLDERS.items():
        (root / folder).mkdir()
        (root / folder).chmod(mode)
    for name, text in _FILES.items():
        (root / name).write_text(text)
    program = root / "bin" / "busybox"
    program.write_bytes(binary)
    program.chmod(0o755)
    for name in applets(binary):
        if name != "busybox":
            os.symlink("busybox", root / "bin" / name)
    os.symlink("../../bin/env", root / "usr/bin/env")
