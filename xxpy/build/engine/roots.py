"""The files of finished roots, read where they can be: overlays are mounted in namespaces of their own.

The worker sends what it reads; whoever called writes it, with the caller's own rights.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence

from xxpy.build.disk import storing
from xxpy.build.engine.namespace import Channel, id_maps, run_inside
from xxpy.build.engine.snapshots import Chain, view
from xxpy.build.engine.workfolder import work_folder
from xxpy.build.layers import content_of, entry_of, is_whiteout, sorted_tree
from xxpy.build.store import Store

Piece = int | tarfile.TarInfo | bytes
"""The number of the root that begins; a file's header; a piece of the content of the last header's file."""

_BATCH = 1 << 20
_HEADER = 512
"""Bytes that a header counts for in a batch."""


def read_roots(store: Store, chains: Sequence[Chain], epoch: int | None, take: Callable[[Piece], None]) -> None:
    """Give ``take`` all files of each root: sorted, a folder before what it holds, no time later than ``epoch``.

    Names are relative to the root. Sockets are left out. Raises what ``take`` raises, HostError, StoreError,
    Interrupted.
    """

    def taken(pieces: list[Piece]) -> None:
        for piece in pieces:
            take(piece)

    def work(channel: Channel) -> None:
        os.umask(0o022)
        os.chdir(store.snapshots)
        batch = _Batch(channel)
        with storing(store.root), work_folder(store) as folder:
            for number, chain in enumerate(chains):
                batch.add(number, _HEADER)
                with view(folder, chain) as root:
                    _send(os.fspath(root), epoch, batch)
            batch.send()

    run_inside(work, taken, id_maps())


class _Batch:
    """Pieces on their way, about a MiB at once: a message for each file would take longer than the files."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pieces: list[Piece] = []
        self._size = 0

    def add(self, piece: Piece, size: int) -> None:
        self._pieces.append(piece)
        self._size += size
        if self._size >= _BATCH:
            self.send()

    def send(self) -> None:
        self._channel.send(("value", self._pieces))
        self._pieces, self._size = [], 0


def _send(root: str, epoch: int | None, batch: _Batch) -> None:
    seen: dict[tuple[int, int], str] = {}
    for name, full in sorted_tree(root):
        info = os.lstat(full)
        # A root of one layer is that layer's folder, in which there may be some.
        entry = None if is_whiteout(info) else entry_of(name, full, info, seen, epoch)
        if entry is None:
            continue
        batch.add(entry, _HEADER)
        for data in content_of(full, entry.size):
            batch.add(data, len(data))
