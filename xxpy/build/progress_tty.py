"""Progress for a person at a terminal: finished steps scroll by, the running ones stay below with their last lines.

rich's Live redraws the lower part in one write for each frame, so nothing flickers; the steps that are done are
written above it once and never again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from xxpy.build.events import (
    Compared,
    Event,
    Exporting,
    Listener,
    Notice,
    StepAdded,
    StepDone,
    StepOutput,
    StepStarted,
    Transfer,
)
from xxpy.build.graph import Digest
from xxpy.build.naming import Lines, harmless, step_names, steps_for_twins
from xxpy.build.plan import How, Plan
from xxpy.build.twins.compare import in_words

FRAMES_PER_SECOND = 5
MOST_OUTPUT_LINES = 6
_LEFT = 12
"""Columns that a step's name has at least; on a terminal too narrow for that, its state is left out."""


class _Running:
    """A step that has begun, with the end of what it printed."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.lines = Lines()
        self.last: deque[str] = deque(maxlen=MOST_OUTPUT_LINES)

    def feed(self, data: bytes) -> None:
        self.last.extend(line for line in self.lines.feed(data) if line.strip())

    def tail(self, count: int) -> list[str]:
        partial = self.lines.partial
        lines = [*self.last, partial] if partial.strip() else list(self.last)
        return lines[-count:] if count > 0 else []


class Screen:
    """The state of the build as a rich renderable: a header line, then the running steps, never more than fits."""

    def __init__(self, plan: Plan) -> None:
        self._names = step_names(plan)
        self._hows = {digest: step.how for digest, step in plan.steps.items()}
        self._for_twins = steps_for_twins(plan)
        self._lock = threading.Lock()
        self._running: dict[Digest, _Running] = {}
        self._begun = time.monotonic()
        self._exporting = ""
        self._done = self._cached = self._failed = 0
        self.ended = ""

    def take(self, event: Event) -> Row | Text | None:
        """Note an event; the line that it leaves for good, if it does."""
        with self._lock:
            if isinstance(event, StepAdded):
                self._names[event.vertex], self._hows[event.vertex] = event.name, event.how
            elif isinstance(event, StepStarted):
                self._running[event.vertex] = _Running(event.at)
            elif isinstance(event, StepOutput):
                if event.vertex in self._running:
                    self._running[event.vertex].feed(event.data)
            elif isinstance(event, StepDone):
                return self._finish(event)
            elif isinstance(event, Exporting):
                self._exporting = harmless(event.text)
            elif isinstance(event, Transfer):
                whole = event.done >= event.total
                self._exporting = "" if whole else harmless(str(event))
                return Text(f"=> {harmless(str(event))}", style="green") if whole else None
            elif isinstance(event, Compared):
                style = "green" if event.comparison.equal else "bold red"
                return Text("\n".join(map(harmless, in_words(event.comparison))), style=style)
            elif isinstance(event, Notice):
                return Text(f"notice: {harmless(event.text)}", style="yellow")
            return None

    def _finish(self, event: StepDone) -> Row:
        self._running.pop(event.vertex, None)
        self._done += 1
        if event.error and event.vertex in self._for_twins:
            return self._line(event.vertex, "no twins", event.seconds, "yellow")
        if event.error:
            self._failed += 1
            return self._line(event.vertex, "FAILED", event.seconds, "bold red")
        if event.cached:
            self._cached += 1
            return self._line(event.vertex, "cached", None, "blue")
        return self._line(event.vertex, self._how(event.vertex), event.seconds, "green")

    def _how(self, vertex: Digest) -> str:
        return "emulated" if self._hows[vertex] is How.EMULATED else ""

    def _line(self, vertex: Digest, state: str, seconds: float | None, style: str) -> Row:
        right = " ".join(part for part in (state, "" if seconds is None else _seconds(seconds)) if part)
        return Row(str(self._names[vertex]), right, style)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            height = max(options.size.height - 1, 2)
            yield self._header()
            if self.ended:
                return
            shown = list(self._running.items())[: height - 1]
            room = (height - 1 - len(shown)) // max(len(shown), 1)
            for vertex, running in shown:
                yield self._line(vertex, self._how(vertex), time.monotonic() - running.at, "bold")
                for text in running.tail(min(room, MOST_OUTPUT_LINES)):
                    yield _cut(f"   {text}", "dim")

    def _header(self) -> Text:
        total, seconds = len(self._names), _seconds(time.monotonic() - self._begun)
        words = [f"{self.ended or 'Building'} {self._done}/{total}", f"{self._cached} cached"]
        if self._failed:
            words.append(f"{self._failed} failed")
        if self._running and not self.ended:
            words.append(f"{len(self._running)} running")
        if self._exporting and not self.ended:
            words.append(self._exporting)
        return _cut(", ".join([*words, seconds]), "bold cyan")


@dataclass(frozen=True)
class Row:
    """A step's name, cut to the terminal's width, with its state at the right edge."""

    name: str
    right: str
    style: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = Text(f"=> {self.name}", style=self.style, no_wrap=True, end="")
        room = options.max_width - len(self.right) - 1
        if room < _LEFT:
            text.truncate(options.max_width, overflow="ellipsis")
        else:
            text.truncate(room, overflow="ellipsis", pad=True)
            text.append(f" {self.right}")
        yield text
        yield Text("")


def _cut(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 600 else f"{int(value) // 60}m{int(value) % 60:02d}s"


@contextlib.contextmanager
def tty_listener(plan: Plan, stream: TextIO) -> Iterator[Listener]:
    """A listener that draws on the terminal ``stream`` until the block ends."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    screen = Screen(plan)
    live = Live(
        screen, console=console, refresh_per_second=FRAMES_PER_SECOND, redirect_stdout=False, redirect_stderr=False
    )

    def listen(event: Event) -> None:
        line = screen.take(event)
        if line is not None:
            with contextlib.suppress(OSError):
                console.print(line, crop=True)

    live.start()
    try:
        yield listen
    except BaseException:
        screen.ended = "Stopped after"
        raise
    else:
        screen.ended = "Done"
    finally:
        with contextlib.suppress(OSError):
            live.stop()
