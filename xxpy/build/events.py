"""What a build tells while it runs. The core emits these values; tty, plain and json progress are listeners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xxpy.build.graph import Digest
from xxpy.build.naming import StepName
from xxpy.build.plan import How
from xxpy.build.twins.compare import Comparison


@dataclass(frozen=True)
class StepAdded:
    """An engine has a step that the plan has not: what it is called, its line (0 for none) and where it runs.

    It comes before any other event of that step.
    """

    vertex: Digest
    name: StepName
    line: int
    how: How


@dataclass(frozen=True)
class StepStarted:
    """A vertex began to run; ``at`` is seconds of the monotonic clock, here and below.

    ``cached`` says that it does not run: its result is unpacked, which another's cache has.
    """

    vertex: Digest
    at: float
    cached: bool = False


@dataclass(frozen=True)
class StepOutput:
    """Bytes a RUN wrote to stdout or stderr, in order, not cut at lines."""

    vertex: Digest
    data: bytes


@dataclass(frozen=True)
class StepDone:
    """A vertex ended. ``cached`` steps did not run. ``seconds`` is what it took now; ``error`` is empty on success."""

    vertex: Digest
    at: float
    seconds: float
    cached: bool
    error: str = ""


@dataclass(frozen=True)
class Exporting:
    """The result is being written; ``text`` says what and where."""

    text: str


@dataclass(frozen=True)
class Compared:
    """A vertex was run with twins and without, and the two results compared."""

    vertex: Digest
    comparison: Comparison


@dataclass(frozen=True)
class Transfer:
    """Bytes go between the store and a registry: ``done`` of ``total``; ``text`` says what and names the transfer."""

    text: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.text}: {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB"


@dataclass(frozen=True)
class Notice:
    """Something the user should know that stops nothing."""

    text: str


Event = StepAdded | StepStarted | StepOutput | StepDone | Compared | Exporting | Transfer | Notice
Listener = Callable[[Event], None]
