"""What a worker tells: steps that ran as they run, steps that were there in the order of the Dockerfile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from xxpy.build.engine.cache import Record
from xxpy.build.events import Event, StepDone
from xxpy.build.graph import Digest
from xxpy.build.outcome import StepOutcome


class InOrder:
    """Hands events on to ``tell``. That one of the steps ``order`` was cached is held back until those before it are.

    What caches of others have is unpacked by several threads at once, which end in any order.
    """

    def __init__(self, order: Iterable[Digest], tell: Callable[[Event], None]) -> None:
        self._order = deque(order)
        self._ordered = frozenset(self._order)
        self._held: dict[Digest, StepDone] = {}
        self._tell = tell
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Hand on or hold back. Any thread may call."""
        if not isinstance(event, StepDone) or event.error or event.vertex not in self._ordered:
            self._tell(event)
            return
        with self._lock:
            self._held[event.vertex] = event
            while self._order and self._order[0] in self._held:
                self._tell(self._held.pop(self._order.popleft()))

    def end(self) -> None:
        """Hand on what is still held back: the build has ended, and what it waited for does not come."""
        with self._lock:
            for digest in self._order:
                if digest in self._held:
                    self._tell(self._held.pop(digest))


def cached_steps(records: Mapping[Digest, Record]) -> dict[Digest, StepOutcome]:
    """What is told in the end of the steps that ``records`` answer."""
    return {digest: StepOutcome(digest, True, 0.0, record.seconds, record.tail) for digest, record in records.items()}
