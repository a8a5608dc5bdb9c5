"""The memory that a build of ours takes at most: sampled, because most of its processes are gone when it ends.

Every 50 ms the proportional set sizes (PSS, proc_pid_smaps(5)) of the command and of all that it started are added up.
What a RUN starts is left out: those processes have another root directory.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from xxpy.build.engine.sampling import descendants

_EVERY = 0.05


class Peak:
    """The greatest sum of bytes of ``pid`` and what it started while the block runs."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_EVERY):
            self.bytes = max(self.bytes, sum(map(proportional, own(self._pid))))


def own(pid: int) -> Iterator[int]:
    """``pid`` and its descendants that see this process's root directory."""
    here = os.stat("/")
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            there = os.stat(f"/proc/{each}/root/")
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                yield each


def proportional(pid: int) -> int:
    """The PSS of one process in bytes; 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
