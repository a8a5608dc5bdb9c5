"""The files of the results, as BuildKit's exporter ``tar`` writes them: read with care, and handed on piece by piece.

With several platforms each root is in a folder ``linux_arm_v7``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from xxpy.build.disk import storing
from xxpy.build.engine.roots import Piece
from xxpy.build.naming import harmless
from xxpy.build.trees import folder_name
from xxpy.errors import StoreError
from xxpy.platforms import Platform

_PIECE = 1 << 20


def read_tree(archive: Path, platforms: Sequence[Platform], epoch: int | None, take: Callable[[Piece], None]) -> None:
    """Give ``take`` what `engine.roots.read_roots` does, out of ``archive``.

    Raises StoreError (``buildkit-files``) for an archive in which a name leads out of its root.
    """
    reader = _Reader([f"{folder_name(each)}/" for each in platforms] if len(platforms) > 1 else [""], take)
    try:
        with storing(archive), tarfile.open(archive, "r:", errorlevel=2) as tar:
            for entry in tar:
                if not reader.begin(entry):
                    continue
                if epoch is not None and entry.mtime > epoch:
                    entry.mtime = epoch
                take(entry)
                content = tar.extractfile(entry) if entry.isreg() else None
                while content is not None and (data := content.read(_PIECE)):
                    take(data)
    except tarfile.TarError as error:
        raise _bad(str(error)) from error
    reader.end()


class _Reader:
    def __init__(self, prefixes: Sequence[str], take: Callable[[Piece], None]) -> None:
        self._prefixes = prefixes
        self._take = take
        self._root = -1
        self._kinds: dict[str, bool] = {}
        """Whether each name of the root is a folder."""

    def begin(self, entry: tarfile.TarInfo) -> bool:
        """Give an entry its name in its root, which may begin with it; false for the folder of a root itself."""
        name = entry.name.removeprefix("./").rstrip("/")
        number = next((at for at, each in enumerate(self._prefixes) if f"{name}/".startswith(each)), -1)
        if number < self._root or number < 0:
            raise _bad(f"{harmless(name)[:200]!r} is of no platform")
        while self._root < number:
            self._next()
        prefix = self._prefixes[number]
        name = f"{name}/".removeprefix(prefix).rstrip("/")
        if name in ("", "."):
            return False
        parent = name.rpartition("/")[0]
        parts = name.split("/")
        if not set(parts).isdisjoint({"", ".", ".."}) or name in self._kinds or not self._kinds.get(parent, not parent):
            raise _bad(f"{harmless(name)[:200]!r} has no place in it")
        if entry.islnk():
            entry.linkname = entry.linkname.removeprefix("./").removeprefix(prefix)
            if self._kinds.get(entry.linkname) is not False:
                raise _bad(f"{harmless(name)[:200]!r} is a link to what is not there")
        entry.name = name
        self._kinds[name] = entry.isdir()
        return True

    def end(self) -> None:
        """Roots that have no file are there too."""
        while self._root < len(self._prefixes) - 1:
            self._next()

    def _next(self) -> None:
        self._root += 1
        self._kinds = {}
        self._take(self._root)


def _bad(why: str) -> StoreError:
    return StoreError(
        f"the files that BuildKit has written cannot be read: {why}",
        remedy="build it again; if it stays so, take them from an image: -o type=oci,dest=FILE",
        reason="buildkit-files",
    )
