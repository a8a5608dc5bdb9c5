"""The bill of a build: what each platform took natively and emulated, and what would make the dearest steps native.

Pure functions on a Plan and its Outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from xxpy.build.graph import ExecOp, Vertex
from xxpy.build.naming import groups, one_line
from xxpy.build.outcome import Outcome, Starts
from xxpy.build.plan import How, Plan, ancestor_of, final_steps

DEAREST = 3


@dataclass(frozen=True)
class PlatformBill:
    """Seconds of the RUNs of one platform, or of all that share them; sums over steps, which may run at once.

    ``saved`` is what the cached ones took when they last ran.
    """

    platform: str
    native: float = 0.0
    emulated: float = 0.0
    saved: float = 0.0


@dataclass(frozen=True)
class StepStarts:
    """The programs that an emulated step started now: how many as ``twins``, how many ``emulated``, and which of these.

    The seconds are the processor's, about. ``dearest`` are the emulated programs that took most of them, with how many
    (``dpkg 1.5s``; ``uname 3x`` is how often, where none took any to speak of): what a rule would be added for next.
    ``same`` is whether the step made the same without twins, None where that was not asked.
    """

    line: int
    platform: str
    twins: int
    emulated: int
    twin_seconds: float
    emulated_seconds: float
    dearest: tuple[str, ...]
    same: bool | None = None


@dataclass(frozen=True)
class DearStep:
    """An emulated step that ran. ``native`` says what would make it native, or why it cannot be."""

    line: int
    stage: str
    platform: str
    seconds: float
    step: str
    native: str


def platform_bills(plan: Plan, outcome: Outcome) -> tuple[PlatformBill, ...]:
    """A bill for each platform that has RUNs, those shared by all first."""
    found = []
    for platforms, steps in groups(plan).items():
        bill = PlatformBill(platforms)
        for step in steps:
            took = outcome.steps.get(step.vertex.digest)
            if took is None or step.how is How.NONE:
                continue
            if took.cached:
                bill = replace(bill, saved=bill.saved + took.cost)
            elif step.how is How.EMULATED:
                bill = replace(bill, emulated=bill.emulated + took.seconds)
            else:
                bill = replace(bill, native=bill.native + took.seconds)
        if bill != PlatformBill(platforms):
            found.append(bill)
    return tuple(found)


def step_starts(plan: Plan, outcome: Outcome) -> tuple[StepStarts, ...]:
    """Of each emulated step that ran under the dispatcher, in the plan's order."""
    found = []
    for digest, step in plan.steps.items():
        took = outcome.steps.get(digest)
        if took is None or took.starts is None:
            continue
        starts, label = took.starts, step.vertex.label
        row = StepStarts(
            label.line,
            str(step.vertex.platform),
            starts.twins,
            starts.emulated,
            starts.twin_seconds,
            starts.emulated_seconds,
            tuple(_dearest(starts)),
            took.compared.equal if took.compared else None,
        )
        found.append(row)
    return tuple(found)


_MOST = 4
_WORTH_A_WORD = 0.1
"""Seconds of a program that is named with them."""


def _dearest(starts: Starts) -> Iterator[str]:
    """Programs with the seconds that they took; where none took any, those that were started most often."""
    worth = [(name, f"{seconds:.1f}s") for name, seconds in starts.dearest if seconds >= _WORTH_A_WORD]
    for name, much in (worth or [(name, f"{count}x") for name, count in starts.most])[:_MOST]:
        yield f"{one_line(name.rpartition('/')[2] or name)} {much}"


def dearest(plan: Plan, outcome: Outcome) -> tuple[DearStep, ...]:
    """The emulated steps that took longest now, at most `DEAREST`."""
    final = final_steps(plan.graph)
    ran = [
        (took.seconds, step.vertex)
        for digest, step in plan.steps.items()
        if step.how is How.EMULATED and (took := outcome.steps.get(digest)) is not None and not took.cached
    ]
    ran.sort(key=lambda pair: -pair[0])
    return tuple(
        DearStep(
            vertex.label.line,
            vertex.label.stage,
            str(vertex.platform),
            seconds,
            one_line(vertex.label.text),
            advice(_script(vertex), ancestor_of(plan.graph, vertex.digest), vertex.digest in final),
        )
        for seconds, vertex in ran[:DEAREST]
    )


def _script(vertex: Vertex) -> str:
    assert isinstance(vertex.op, ExecOp)
    return " ".join(vertex.op.args)


def _words(*words: str) -> re.Pattern[str]:
    """A pattern of one simple command's beginning words, with or without a path."""
    return re.compile(rf"(?:^|[\s(/]|=\$\()(?:{'|'.join(words)})(?=[\s)]|$)")


_TOOLS: Mapping[str, re.Pattern[str]] = {
    "xx-go": _words(r"go\s+(?:build|install|test|generate)"),
    "xx-cargo": _words(r"cargo(?:\s+\+\S+)?\s+(?:build|b|install|test|rustc)", "rustc"),
    "xx-clang": _words(
        "make", "cmake", "ninja", "meson", "configure", "gcc", "g[+][+]", "cc", "c[+][+]", "clang", "clang[+][+]"
    ),
}  # fmt: skip
# What these make is for no architecture.
_SAME = _words(
    r"(?:npm|pnpm|yarn)\s+(?:run|build)\S*", r"webpack|tsc|vite", r"(?:\S*mvn|\S*mvnw|\S*gradle|\S*gradlew|javac)"
)
_PACKAGES = _words(
    r"(?:apt-get|apt|dnf|yum|microdnf|zypper)\s(?:.*\s)?(?:install|upgrade|dist-upgrade|build-dep)",
    r"apk\s(?:.*\s)?add",
)
_LANGUAGE = _words(
    r"(?:pip3?|python3?\s+-m\s+pip)\s(?:.*\s)?(?:install|wheel)", r"(?:npm|pnpm|yarn)\s+(?:ci|i|install|add)",
    r"(?:gem|bundle|poetry|uv|composer)\s+(?:.*\s)?(?:install|sync)",
)  # fmt: skip
_BETWEEN = re.compile(r"[;&|\n]+|\b(?:do|then|else)\b")
_LONGEST = 20_000


def advice(script: str, stage: str, final: bool) -> str:
    """What would make a RUN native; ``stage`` is where its line begins, ``final`` whether that leads to the image."""
    commands = [each for each in _BETWEEN.split(script.replace("\\\n", " ")[:_LONGEST]) if len(each) < _LONGEST // 10]
    packages = any(_PACKAGES.search(each) for each in commands)
    language = any(_LANGUAGE.search(each) for each in commands)
    # What is installed is not run: `apt-get install make`.
    rest = [each for each in commands if not _PACKAGES.search(each) and not _LANGUAGE.search(each)]
    tool = next((name for name, pattern in _TOOLS.items() if any(pattern.search(each) for each in rest)), "")
    same = any(_SAME.search(each) for each in rest)
    if final:
        if tool:
            return f"move it to a stage FROM --platform=$BUILDPLATFORM, compile with {tool}, COPY --from it"
        if same:
            return "move it to a stage FROM --platform=$BUILDPLATFORM and COPY --from it what it makes"
        if packages:
            return "cannot be: the packages' scripts run on the image's platform"
        if language:
            return "cannot be, if a package has native parts; else a stage FROM --platform=$BUILDPLATFORM"
        return "in a stage FROM --platform=$BUILDPLATFORM, if it runs no program of the image"
    begin = f"begin {stage} with FROM --platform=$BUILDPLATFORM"
    if tool:
        return f"{begin}, compile with {tool}"
    if packages:
        return f"{begin}; xx-apt-get or xx-apk for what is linked to"
    if same:
        return f"{begin}: what it makes is the same for every platform"
    return f"{begin}, if what it makes does not depend on where it runs"
