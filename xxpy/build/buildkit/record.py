"""What is noted of a build while BuildKit tells of it: our events, what each step took, and what failed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from xxpy.build.buildkit.failure import Failed
from xxpy.build.buildkit.status import LogTold, Told, VertexTold
from xxpy.build.buildkit.steps import Steps
from xxpy.build.events import Exporting, Listener, Notice, StepDone, StepOutput, StepStarted
from xxpy.build.graph import Digest
from xxpy.build.naming import Lines
from xxpy.build.outcome import StepOutcome

_TAIL = 4096
_LAST_LINES = 20
_CANCELED = ("context canceled", "Canceled")


@dataclass
class _Noted:
    """One step: when it began and ended by BuildKit's clock, in seconds, and the end of what it printed."""

    spans: dict[float, float | None] = field(default_factory=dict)
    cached: bool = False
    done: bool = False
    tail: bytes = b""

    @property
    def seconds(self) -> float:
        return sum(max(0.0, ended - began) for began, ended in self.spans.items() if ended is not None)


class Recorder:
    """Takes what BuildKit tells and tells ``listener``."""

    def __init__(self, steps: Steps, listener: Listener) -> None:
        self._steps = steps
        self._listener = listener
        self._noted: dict[Digest, _Noted] = {}
        self._of: dict[str, Digest] = {}
        self._said: set[str] = set()
        self._failed: Failed | None = None

    def take(self, told: Told) -> None:
        """One thing that was told."""
        if isinstance(told, LogTold):
            self._log(told)
            return
        found = self._steps.find(told.digest, told.name)
        if found is None:
            self._aside(told)
            return
        step, added = found
        if added is not None:
            self._listener(added)
        self._of[told.digest] = step
        if told.started is not None:
            self._step(step, told)

    def _log(self, told: LogTold) -> None:
        step = self._of.get(told.vertex)
        if step is not None:
            noted = self._noted.setdefault(step, _Noted())
            noted.tail = (noted.tail + told.data)[-_TAIL:]
            self._listener(StepOutput(step, told.data))

    def _aside(self, told: VertexTold) -> None:
        """What is no step: exporting, loading the context, starting the builder."""
        if told.error and not told.error.endswith(_CANCELED):
            self._failed = self._failed or Failed(told.error, None)
        if told.started is None or told.digest in self._said:
            return
        if told.name.startswith("exporting"):
            self._said.add(told.digest)
            self._listener(Exporting(f"BuildKit: {told.name}"))
        elif told.name.startswith("[internal] booting"):
            self._said.add(told.digest)
            self._listener(Notice(f"BuildKit: {told.name.removeprefix('[internal] ')}"))

    def _step(self, step: Digest, told: VertexTold) -> None:
        assert told.started is not None
        noted = self._noted.setdefault(step, _Noted())
        if not noted.spans and not told.cached:
            self._listener(StepStarted(step, time.monotonic()))
        noted.spans[told.started] = told.completed
        if told.completed is None or noted.done:
            return
        noted.done, noted.cached = True, told.cached
        if told.error.endswith(_CANCELED):
            # It fails because the build ends.
            return
        if told.error and self._failed is None:
            self._failed = Failed(told.error, self._steps.vertex(step), self._last_lines(step))
        seconds = 0.0 if told.cached else noted.seconds
        self._listener(StepDone(step, time.monotonic(), seconds, told.cached, told.error))

    def _last_lines(self, step: Digest) -> tuple[str, ...]:
        lines = Lines()
        return tuple([*lines.feed(self._noted[step].tail), *lines.end()][-_LAST_LINES:])

    def outcomes(self) -> dict[Digest, StepOutcome]:
        """What each step took."""
        return {
            step: StepOutcome(
                step,
                noted.cached,
                0.0 if noted.cached else noted.seconds,
                0.0 if noted.cached else noted.seconds,
                noted.tail.decode("utf-8", "replace"),
            )
            for step, noted in self._noted.items()
            if noted.done
        }

    @property
    def failed(self) -> Failed | None:
        """The first vertex that failed by itself."""
        return self._failed
