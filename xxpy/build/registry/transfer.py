"""Blobs on their way: several at once, counted in bytes, and all given up with the first that fails."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence

from xxpy.build.events import Event, Transfer

AT_ONCE = 4
"""Blobs that are moved at the same time."""

_EVERY = 1.0
_PATIENCE = 2.0


class Abandoned(Exception):
    """Raised in the threads of a transfer that has failed elsewhere."""


class Meter:
    """Counts the bytes of one transfer and tells of them, at most once a second, at its begin and at its end."""

    def __init__(self, text: str, total: int, listener: Callable[[Event], None]) -> None:
        self._text = text
        self._total = total
        self._listener = listener
        self._done = self._most = 0
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self._abandoned = threading.Event()
        listener(Transfer(text, 0, total))

    def add(self, count: int) -> None:
        """Count bytes, fewer where some have to be moved again. Raises Abandoned."""
        if self._abandoned.is_set():
            raise Abandoned
        with self._lock:
            self._done += count
            now = time.monotonic()
            # What has to be moved again is no news until it is further than before.
            if now - self._told < _EVERY or not self._most < self._done < self._total:
                return
            self._told, self._most = now, self._done
            done = self._done
        self._listener(Transfer(self._text, done, self._total))

    def abandon(self) -> None:
        """Have whoever counts another byte give up."""
        self._abandoned.set()

    def end(self) -> None:
        """Tell that all is done."""
        self._listener(Transfer(self._text, self._total, self._total))


def move_all(jobs: Sequence[Callable[[Meter], None]], meter: Meter, at_once: int = AT_ONCE) -> None:
    """Run ``jobs``, several at once; the first error ends them all and is raised.

    The threads are not waited for where a signal ends the block: one may wait for a server.
    """
    todo: queue.SimpleQueue[Callable[[Meter], None]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    for job in jobs:
        todo.put(job)

    def work() -> None:
        with contextlib.suppress(queue.Empty, Abandoned):
            while True:
                job = todo.get_nowait()
                try:
                    job(meter)
                except Abandoned:
                    raise
                except BaseException as error:
                    ended.put(error)
                    return
                ended.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(at_once, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            error = ended.get()
            if error is not None:
                raise error
    except BaseException:
        meter.abandon()
        until = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0))
        raise
    meter.end()
