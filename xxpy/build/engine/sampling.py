"""How long the programs of an emulated step run: looked up in /proc many times a second, as a profiler does.

Exact figures would need a parent that waits for each program, and a step would see it. What lives for less than the
time between two looks counts as often as it is met, so sums are right where there are many.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

INTERVAL = 0.05
"""Seconds between two looks."""
_TICKS = os.sysconf("SC_CLK_TCK")
_MOST = 4096
"""Processes of one look."""


class Sampler:
    """Counts, while it is entered, the processor seconds of a step's programs.

    ``log`` is a file that the step sees as ``place``/log/NAME, which tells its processes from those of others; QEMU is
    ``place``/qemu there, and all else below ``place`` that runs is a twin.
    """

    def __init__(self, log: Path, place: str) -> None:
        self._device = log.stat().st_dev
        self._place = place
        self._known: dict[tuple[int, str], int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.twins = 0.0
        self.emulated: Counter[str] = Counter()
        """Milliseconds by the program's path, as it was started."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._done.wait(INTERVAL):
            now = time.monotonic()
            seen: dict[tuple[int, str], int] = {}
            for pid in descendants(os.getpid()):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    self._look(pid, now - last, seen)
            self._known, last = seen, now

    def _look(self, pid: int, since: float, seen: dict[tuple[int, str], int]) -> None:
        program = os.readlink(f"/proc/{pid}/exe")
        if not program.startswith(f"{self._place}/"):
            return
        if not self._is_of_the_step(pid):
            return
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if program == f"{self._place}/qemu":
            # qemu -0 NAME PATH …: see dispatcher.c.
            program = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 4)[3])
        # proc_pid_stat(5): utime and stime are the 14th and 15th field, of which two are before the ")".
        ticks = int(fields[11]) + int(fields[12])
        key = (pid, program)
        seen[key] = ticks
        met = since if fields[0] == b"R" else 0.0
        seconds = (ticks - self._known[key]) / _TICKS if key in self._known else met
        if program.startswith(f"{self._place}/"):
            self.twins += seconds
        else:
            self.emulated[program] += round(seconds * 1000)

    def _is_of_the_step(self, pid: int) -> bool:
        return os.stat(f"/proc/{pid}/root{self._place}/log").st_dev == self._device


def descendants(pid: int) -> Iterator[int]:
    """The processes below ``pid``, as far as they can be told (proc_tid_children(5))."""
    waiting = [pid]
    for parent in waiting:
        with contextlib.suppress(OSError, ValueError):
            for task in os.listdir(f"/proc/{parent}/task"):
                waiting += map(int, Path(f"/proc/{parent}/task/{task}/children").read_bytes().split())
        if len(waiting) > _MOST:
            break
    yield from waiting[1:]
