"""How people are told of a step: its number, whose it is, and a text that is safe to print.

Progress and reports name steps by this module, so that ``#7 [linux/arm64 stage-1 2/3]`` is the same step in both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xxpy.build.graph import Digest
from xxpy.build.plan import Plan, Step
from xxpy.platforms import Platform

ALL = "all platforms"
TWINS = "twins"
"""What steps are grouped under that no image takes from: other steps find their twins in them."""

# Escape sequences of ECMA-48: CSI, the string-carrying ones (OSC, DCS, SOS, PM, APC), and the short ones.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"
    r"|\x1b[ -/]*[0-~]"
)
# Characters that reorder the text around them (Unicode TR36, "bidirectional text spoofing").
_REORDER = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_TAB_STOP = 8


@dataclass(frozen=True)
class StepName:
    """What a step is called. ``number`` counts from 1 in the plan's order, ``position`` from 1 in its stage.

    ``platform`` is empty where one platform is built, the machine's own; a step on one platform for another reads
    ``linux/amd64->linux/arm64``.
    """

    number: int
    platform: str
    stage: str
    position: int
    total: int
    text: str

    @property
    def place(self) -> str:
        """``linux/arm64 stage-1 2/3``, of it what there is."""
        counted = f"{self.stage} {self.position}/{self.total}" if self.stage else ""
        return " ".join(part for part in (self.platform, counted) if part)

    def __str__(self) -> str:
        return f"[{self.place}] {self.text}" if self.place else self.text


def step_names(plan: Plan) -> dict[Digest, StepName]:
    """A name for every step of ``plan``."""
    members: dict[tuple[Platform | None, str], list[Digest]] = {}
    for digest, step in plan.steps.items():
        for target in step.targets or (None,):
            members.setdefault((target, step.vertex.label.stage), []).append(digest)
    names = {}
    for number, (digest, step) in enumerate(plan.steps.items(), 1):
        label = step.vertex.label
        stage = members[(step.targets[0] if step.targets else None, label.stage)]
        names[digest] = StepName(
            number, _platform_of(step, plan), label.stage, stage.index(digest) + 1, len(stage), one_line(label.text)
        )
    return names


def _platform_of(step: Step, plan: Plan) -> str:
    targets = [result.platform for result in plan.graph.results]
    own = step.vertex.platform
    if not step.targets:
        return TWINS if own is None else f"{own} {TWINS}"
    if own is None:
        return str(step.targets[0]) if len(targets) > 1 and len(step.targets) == 1 else ""
    if len(targets) == 1 and own == targets[0] == plan.host:
        return ""
    if len(step.targets) == 1 and step.targets[0] != own:
        return f"{own}->{step.targets[0]}"
    return str(own)


def steps_for_twins(plan: Plan) -> frozenset[Digest]:
    """The steps that no image takes from: where one fails, the build does not."""
    return frozenset(digest for digest, step in plan.steps.items() if not step.targets)


def group_of(step: Step, plan: Plan) -> str:
    """The platforms whose images take from a step, as tables head them: `ALL`, or their names."""
    targets = {result.platform for result in plan.graph.results}
    if len(targets) > 1 and set(step.targets) == targets:
        return ALL
    return ", ".join(str(target) for target in step.targets) or TWINS


def groups(plan: Plan) -> Mapping[str, Sequence[Step]]:
    """The plan's steps by `group_of`: what all share first, then in the plan's order."""
    found: dict[str, list[Step]] = {ALL: []}
    for step in plan.steps.values():
        found.setdefault(group_of(step, plan), []).append(step)
    return {name: steps for name, steps in found.items() if steps}


def one_line(text: str) -> str:
    """An instruction on one line, without what a terminal would obey; of a here-document its first line."""
    first, newline, rest = text.replace("\\\n", " ").partition("\n")
    words = " ".join(first.split())
    if newline and "<<" in first:
        return harmless(f"{words} ({' '.join(rest.partition(chr(10))[0].split())} …)")
    return harmless(" ".join([words, *rest.split()]))


def harmless(line: str) -> str:
    """A line without escape sequences, control characters and characters that reorder text; tabs become spaces.

    Of a line that a program wrote over itself with carriage returns, what stood there last.
    """
    line = line.rstrip("\r").rpartition("\r")[2]
    line = _ESCAPES.sub("", line).expandtabs(_TAB_STOP)
    if line.isascii() and line.isprintable():
        return line
    return "".join(char for char in line if char not in _REORDER and unicodedata.category(char) not in ("Cc", "Cs"))


def human_size(count: int) -> str:
    """A number of bytes with four digits at most and powers of 1000, as Docker shows sizes: ``12.3MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.95 or unit == "TB":
            break
        value /= 1000
    return f"{value:.4g}{unit}"


class Lines:
    """The lines of what one step prints, from pieces that are cut anywhere.

    A line longer than ``LONGEST`` bytes is handed out in parts, so that memory stays bounded.
    """

    LONGEST = 16384

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self.LONGEST:
            whole.append(self._rest)
            self._rest = b""
        return [harmless(line.decode("utf-8", "replace")) for line in whole]

    def end(self) -> list[str]:
        """What is left without a newline."""
        rest, self._rest = self._rest, b""
        return [harmless(rest.decode("utf-8", "replace"))] if rest else []

    @property
    def partial(self) -> str:
        """The line that is not yet complete, as far as it is there."""
        return harmless(self._rest.decode("utf-8", "replace"))
