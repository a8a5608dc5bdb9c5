"""What a user sees while a build runs: listeners for the engine's events, one for each kind of reader.

Modes are those of ``docker buildx build --progress``: ``tty`` for a person at a terminal, ``plain`` for logs,
``rawjson`` for programs, ``quiet`` and ``none`` for nothing, ``auto`` for tty at a terminal and plain elsewhere. All
write to the stream they are given; none ends a build because that stream is closed. Events may come from several
threads.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, TextIO

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
from xxpy.build.naming import Lines, StepName, harmless, step_names, steps_for_twins
from xxpy.build.plan import Plan
from xxpy.build.twins.compare import in_words
from xxpy.errors import UsageError

MODES = ("auto", "tty", "plain", "rawjson", "quiet", "none")
Clock = Callable[[], float]


@contextlib.contextmanager
def make_listener(mode: str, plan: Plan, stream: TextIO) -> Iterator[Listener]:
    """A listener for a build of ``plan`` that writes to ``stream``; what it shows last is written at the end.

    Raises UsageError (``progress-unknown``) for a mode that is not of `MODES`.
    """
    if mode not in MODES:
        raise UsageError(
            f"unknown kind of progress {mode!r}", remedy=f"Kinds: {', '.join(MODES)}.", reason="progress-unknown"
        )
    if mode == "auto":
        mode = "tty" if stream.isatty() else "plain"
    if mode == "tty":
        # rich takes 50 ms to import.
        from xxpy.build.progress_tty import tty_listener

        with tty_listener(plan, stream) as listener:
            yield listener
    elif mode == "plain":
        yield Plain(plan, stream)
    elif mode == "rawjson":
        yield RawJson(plan, stream)
    else:
        yield lambda _event: None


class _Writer:
    """Whole pieces of text to a stream that may not know every character, or may be closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._closed = False

    def write(self, text: str) -> None:
        if self._closed:
            return
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            # The reader is gone (`xx build 2>&1 | head`); the build goes on.
            self._closed = True


class Plain:
    """One line for each thing that happens, each with its step's number: ``#7 1.234 output``, ``#7 DONE 0.3s``."""

    def __init__(self, plan: Plan, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._names = step_names(plan)
        self._for_twins = steps_for_twins(plan)
        self._writer = _Writer(stream)
        self._clock = clock
        self._lock = threading.Lock()
        self._started: dict[Digest, float] = {}
        self._lines: dict[Digest, Lines] = {}
        self._headed: set[Digest] = set()
        self._extra = len(self._names)
        self._transfers: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._writer.write("".join(f"{line}\n" for line in self._lines_of(event)))

    def _lines_of(self, event: Event) -> Iterator[str]:
        if isinstance(event, Notice):
            yield f"NOTICE: {harmless(event.text)}"
            return
        if isinstance(event, Exporting):
            self._extra += 1
            yield f"#{self._extra} {harmless(event.text)}"
            return
        if isinstance(event, Transfer):
            if event.text not in self._transfers:
                self._extra += 1
                self._transfers[event.text] = self._extra
            yield f"#{self._transfers[event.text]} {harmless(str(event))}"
            return
        if isinstance(event, StepAdded):
            self._extra = max(self._extra, event.name.number)
            self._names[event.vertex] = event.name
            return
        name = self._names[event.vertex]
        if not isinstance(event, StepStarted) or not event.cached:
            yield from self._head(event.vertex, name)
        if isinstance(event, Compared):
            yield from (f"#{name.number} {harmless(line)}" for line in in_words(event.comparison))
            return
        if isinstance(event, StepStarted):
            self._started[event.vertex] = event.at
        elif isinstance(event, StepOutput):
            lines = self._lines.setdefault(event.vertex, Lines())
            yield from self._output(event.vertex, name, lines.feed(event.data))
        else:
            if event.vertex in self._lines:
                yield from self._output(event.vertex, name, self._lines.pop(event.vertex).end())
            yield f"#{name.number} {_ending(event, for_twins=event.vertex in self._for_twins)}"
            yield ""

    def _head(self, vertex: Digest, name: StepName) -> Iterator[str]:
        if vertex not in self._headed:
            self._headed.add(vertex)
            yield f"#{name.number} {name}"

    def _output(self, vertex: Digest, name: StepName, lines: list[str]) -> Iterator[str]:
        now = self._clock()
        seconds = now - self._started.get(vertex, now)
        return (f"#{name.number} {seconds:.3f} {line}" for line in lines)


def _ending(event: StepDone, *, for_twins: bool) -> str:
    if event.error:
        return f"{'NO TWINS' if for_twins else 'ERROR'}: {harmless(event.error.replace(chr(10), ' '))}"
    return "CACHED" if event.cached else f"DONE {event.seconds:.1f}s"


class RawJson:
    """One JSON object a line: ``event`` (``step-started``, ``step-output`` …) and the fields of that event.

    A step's first object has its name in ``step`` too. ``data`` is text; a byte that is not UTF-8 becomes U+FFFD.
    """

    def __init__(self, plan: Plan, stream: TextIO) -> None:
        self._names = step_names(plan)
        self._about = {digest: (step.vertex.label.line, step.how) for digest, step in plan.steps.items()}
        self._writer = _Writer(stream)
        self._lock = threading.Lock()
        self._decoders: dict[Digest, codecs.IncrementalDecoder] = {}
        self._named: set[Digest] = set()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, StepAdded):
                self._names[event.vertex] = event.name
                self._about[event.vertex] = (event.line, event.how)
                return
            self._writer.write(json.dumps(self._object(event)) + "\n")

    def _object(self, event: Event) -> dict[str, Any]:
        fields: dict[str, Any] = {"event": _KINDS[type(event)], **vars(event)}
        if isinstance(event, Compared):
            fields["comparison"] = asdict(event.comparison)
        if isinstance(event, StepOutput):
            if event.vertex not in self._decoders:
                self._decoders[event.vertex] = codecs.getincrementaldecoder("utf-8")("replace")
            fields["data"] = self._decoders[event.vertex].decode(event.data)
        if isinstance(event, StepDone) and event.vertex in self._decoders:
            fields["data"] = self._decoders.pop(event.vertex).decode(b"", final=True)
        if isinstance(event, (StepStarted, StepOutput, StepDone, Compared)) and event.vertex not in self._named:
            self._named.add(event.vertex)
            line, how = self._about[event.vertex]
            fields["step"] = asdict(self._names[event.vertex]) | {"line": line, "how": how.value}
        return fields


_KINDS: dict[type[Any], str] = {
    StepStarted: "step-started",
    StepOutput: "step-output",
    StepDone: "step-done",
    Compared: "compared",
    Exporting: "exporting",
    Transfer: "transfer",
    Notice: "notice",
}
