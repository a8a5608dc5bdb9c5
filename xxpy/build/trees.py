"""Exporters of root filesystems: ``local``, a folder with a root's files, and ``tar``, the same as one archive.

Several platforms get a folder each, ``linux_arm_v7``, as with buildx.
Sources: Docker's reference "Local and tar exporters".
"""

from __future__ import annotations

import copy
import os
import tarfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from xxpy.build.destination import output_file
from xxpy.build.engine import Job
from xxpy.build.engine.roots import Piece, read_roots
from xxpy.build.events import Listener, Notice
from xxpy.build.outcome import Outcome
from xxpy.build.outputs import Output
from xxpy.build.store import Store
from xxpy.build.tarwriter import TarWriter
from xxpy.build.treefolder import FolderSink, merged_folder
from xxpy.errors import UsageError
from xxpy.platforms import Platform

Read = Callable[[Callable[[Piece], None]], None]
"""Gives what it is called with the files of all roots."""


class Sink(Protocol):
    """What takes the files: a header, then the content in pieces."""

    def entry(self, entry: tarfile.TarInfo) -> None: ...

    def content(self, data: bytes) -> None: ...

    def end(self) -> None: ...


def export_trees(read: Read, platforms: Sequence[Platform], output: Output, notice: Callable[[str], None]) -> None:
    """Write the files of the roots of ``platforms``, which ``read`` gives as `engine.roots.read_roots` does.

    What cannot be written as it is in the image is told to ``notice``.

    Raises UsageError (``platforms-overlap``, ``output-in-the-way``), StoreError, HostError, Interrupted.
    """
    if output.tar:
        with output_file(output.dest) as file:
            _fill(read, platforms, output, TarWriter(file))
        return
    with merged_folder(output.dest) as folder:
        sink = FolderSink(folder, owners=os.geteuid() == 0)
        _fill(read, platforms, output, sink)
    for text in sink.notices():
        notice(f"{output.dest}: {text}")


def export_results(store: Store, job: Job, outcome: Outcome, output: Output, listener: Listener) -> None:
    """Write the files of what our own engine has solved. Raises as `export_trees` does."""
    results = job.plan.graph.results
    chains = [outcome.roots.get(result.root, ()) for result in results]
    read = partial(read_roots, store, chains, job.epoch)
    export_trees(read, [each.platform for each in results], output, lambda text: listener(Notice(text)))


def _fill(read: Read, platforms: Sequence[Platform], output: Output, sink: Sink) -> None:
    read(_Placed(platforms, output.splits(len(platforms)), sink).take)
    sink.end()


def folder_name(platform: Platform) -> str:
    """``linux_arm_v7``."""
    return str(platform).replace("/", "_")


class _Placed:
    """Gives the files of each root their place in the output."""

    def __init__(self, platforms: Sequence[Platform], split: bool, sink: Sink) -> None:
        self._platforms = platforms
        self._split = split
        self._sink = sink
        self._prefix = ""
        self._number = 0
        # Where several roots share a folder: whose each name is, and whether it is a folder.
        self._seen: dict[str, tuple[int, bool]] | None = {} if len(platforms) > 1 and not split else None

    def take(self, piece: Piece) -> None:
        """See `read_roots`."""
        if isinstance(piece, bytes):
            self._sink.content(piece)
        elif isinstance(piece, int):
            self._begin(piece)
        elif self._seen is None or self._is_new(piece, self._seen):
            placed = piece
            if self._prefix:
                placed = copy.copy(piece)
                placed.name = self._prefix + piece.name
                placed.linkname = self._prefix + piece.linkname if piece.islnk() else piece.linkname
            self._sink.entry(placed)

    def _begin(self, number: int) -> None:
        self._number = number
        if self._split:
            folder = tarfile.TarInfo(folder_name(self._platforms[number]))
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            self._sink.entry(folder)
            self._prefix = f"{folder.name}/"

    def _is_new(self, entry: tarfile.TarInfo, seen: dict[str, tuple[int, bool]]) -> bool:
        first, was_folder = seen.setdefault(entry.name, (self._number, entry.isdir()))
        if first == self._number:
            return True
        if was_folder and entry.isdir():
            return False
        raise UsageError(
            f"platform-split=false: {entry.name} of {self._platforms[first]} would be overwritten by that of "
            f"{self._platforms[self._number]}",
            remedy="leave platform-split=false out, or give the file another name for each platform",
            reason="platforms-overlap",
        )
