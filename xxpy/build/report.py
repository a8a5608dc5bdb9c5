"""The tables around a build, made from its Plan and Outcome: what will run where and why, and what it took.

Both come as plain values first (`plan_rows`, `build_report`), which ``as_json`` gives to programs and `table` lays out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from xxpy.build.bill import DearStep, PlatformBill, StepStarts, dearest, platform_bills, step_starts
from xxpy.build.graph import ExecOp, Result
from xxpy.build.naming import ALL, Lines, groups, one_line
from xxpy.build.outcome import ImageOutcome, Outcome
from xxpy.build.plan import How, Plan
from xxpy.build.tables import has_styles, table, width_of

_TEXT_WIDTH = 60
_DIGEST_DIGITS = 12
_WORTH_A_WORD = 0.05
"""Seconds of an emulated step that is shown."""
_STARTS = ("line", "emulated for", "programs", "as twins", "these ran", "others ran", "mostly", "without twins")
_SAME = {None: "", True: "the same", False: "NOT the same"}


@dataclass(frozen=True)
class PlanRow:
    """One planned step. ``platforms`` is `ALL` or names; ``line`` is of the Dockerfile, 0 for none."""

    platforms: str
    stage: str
    line: int
    step: str
    how: str
    why: str


@dataclass(frozen=True)
class StageRow:
    """What one stage's steps took, for the platforms that share them.

    Each step counts once: as cached, or as native, emulated or (no program was run) files. All seconds are sums over
    steps, which may have run at the same time; ``saved`` is what the cached steps took when they last ran.
    """

    platforms: str
    stage: str
    native: int = 0
    emulated: int = 0
    files: int = 0
    cached: int = 0
    native_seconds: float = 0.0
    emulated_seconds: float = 0.0
    files_seconds: float = 0.0
    saved: float = 0.0


@dataclass(frozen=True)
class ImageRow:
    """One platform's image: the manifest's digest, bytes, and the last line that its final stage's last RUN printed.

    Without an image the digest is empty.
    """

    platform: str
    digest: str
    size: int
    said: str


@dataclass(frozen=True)
class Report:
    """The end of a build."""

    stages: tuple[StageRow, ...]
    images: tuple[ImageRow, ...]
    index: str
    platforms: tuple[PlatformBill, ...] = ()
    dearest: tuple[DearStep, ...] = ()
    starts: tuple[StepStarts, ...] = ()


def plan_rows(plan: Plan) -> tuple[PlanRow, ...]:
    """Every step of ``plan``, those that all platforms share first."""
    return tuple(
        PlanRow(
            platforms,
            step.vertex.label.stage,
            step.vertex.label.line,
            one_line(step.vertex.label.text),
            step.how.value,
            step.why,
        )
        for platforms, steps in groups(plan).items()
        for step in steps
    )


def build_report(plan: Plan, outcome: Outcome) -> Report:
    """What the build of ``plan`` took. Steps that the outcome lacks are left out."""
    stages: dict[tuple[str, str], StageRow] = {}
    for platforms, steps in groups(plan).items():
        for step in steps:
            key = (platforms, step.vertex.label.stage)
            stages[key] = _counted(stages.get(key, StageRow(*key)), plan, outcome, step.vertex.digest)
    made = {image.platform: image for image in outcome.images}
    images = tuple(_image_row(result, plan, outcome, made.get(result.platform)) for result in plan.graph.results)
    solved = tuple(row for row in stages.values() if row != StageRow(row.platforms, row.stage))
    return Report(
        solved, images, outcome.index, platform_bills(plan, outcome), dearest(plan, outcome), step_starts(plan, outcome)
    )


def _counted(row: StageRow, plan: Plan, outcome: Outcome, vertex: str) -> StageRow:
    took = outcome.steps.get(vertex)
    if took is None:
        return row
    values = asdict(row)
    if took.cached:
        values["cached"] += 1
        values["saved"] += took.cost
    else:
        kind = {How.NATIVE: "native", How.EMULATED: "emulated", How.NONE: "files"}[plan.steps[vertex].how]
        values[kind] += 1
        values[f"{kind}_seconds"] += took.seconds
    return StageRow(**values)


def _image_row(result: Result, plan: Plan, outcome: Outcome, image: ImageOutcome | None) -> ImageRow:
    said = last_words(plan, outcome, result)
    return ImageRow(str(result.platform), image.manifest if image else "", image.size if image else 0, said)


def last_words(plan: Plan, outcome: Outcome, result: Result) -> str:
    """The last line that the last RUN of the image's final stage printed; empty if it has no RUN or printed nothing."""
    vertices = plan.graph.vertices
    stage = vertices[result.root].label.stage if result.root else ""
    digest = result.root
    while digest and vertices[digest].label.stage == stage:
        if isinstance(vertices[digest].op, ExecOp):
            took = outcome.steps.get(digest)
            lines = Lines()
            printed = [*lines.feed(took.tail.encode()), *lines.end()] if took else []
            return next((line.strip() for line in reversed(printed) if line.strip()), "")
        # The first input of an exec and of a file operation is the tree that it changes.
        digest = vertices[digest].inputs[0].digest if vertices[digest].inputs else ""
    return ""


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs: the machine's platform, the targets, the emulators needed, and each step."""
    return {
        "host": str(plan.host),
        "platforms": [str(result.platform) for result in plan.graph.results],
        "emulators": list(plan.emulated),
        "steps": [asdict(row) for row in plan_rows(plan)],
    }


def report_as_json(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """The report for programs; seconds are rounded to milliseconds."""
    report = build_report(plan, outcome)
    return {
        "index": report.index,
        "images": _rounded(report.images),
        "platforms": _rounded(report.platforms),
        "dearest": _rounded(report.dearest),
        "starts": _rounded(report.starts),
        "stages": _rounded(report.stages),
    }


def _rounded(rows: Sequence[ImageRow | PlatformBill | DearStep | StageRow | StepStarts]) -> list[dict[str, Any]]:
    return [
        {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(row).items()}
        for row in rows
    ]


def print_plan(plan: Plan, stream: TextIO) -> None:
    """Write the table of ``xx build --print=plan``."""
    single = len(plan.graph.results) == 1
    last = ""
    rows: list[Sequence[str]] = []
    for row in plan_rows(plan):
        shown = "" if row.platforms == last else row.platforms
        last = row.platforms
        line = str(row.line) if row.line else ""
        rows.append((shown, row.stage, line, _shortened(row.step), row.how, row.why))
    platforms = ", ".join(str(result.platform) for result in plan.graph.results)
    title = f"{platforms} on {plan.host}" + ("" if single else f"; steps under “{ALL}” run once")
    _draw(stream, title, ("platform", "stage", "line", "step", "runs", "why"), rows)


def print_report(plan: Plan, outcome: Outcome, stream: TextIO) -> None:
    """Write the tables that end a build: what each stage took, and the images."""
    report = build_report(plan, outcome)
    stages = [
        (
            row.platforms,
            row.stage or "-",
            _counted_in(row.native, row.native_seconds),
            _counted_in(row.emulated, row.emulated_seconds),
            _counted_in(row.files, row.files_seconds),
            _counted_in(row.cached, row.saved, "saved "),
        )
        for row in report.stages
    ]
    _draw(stream, "", ("platform", "stage", "native", "emulated", "files", "cached"), stages)
    _draw_bill(report, stream)
    if outcome.images:
        images = [(row.platform, short_digest(row.digest), _size(row.size), row.said) for row in report.images]
        _draw(stream, "", ("platform", "image", "size", "its last RUN said"), images)
    elif any(row.said for row in report.images):
        _draw(stream, "", ("platform", "its last RUN said"), [(row.platform, row.said) for row in report.images])


def _draw_bill(report: Report, stream: TextIO) -> None:
    bills = [
        (row.platform, *(f"{seconds:.1f}s" if seconds else "-" for seconds in (row.native, row.emulated, row.saved)))
        for row in report.platforms
    ]
    if bills:
        _draw(stream, "", ("platform", "native RUNs", "emulated RUNs", "saved by the cache"), bills)
    starts = [
        (
            str(row.line or "-"),
            row.platform,
            str(row.twins + row.emulated),
            str(row.twins),
            f"{row.twin_seconds:.1f}s",
            f"{row.emulated_seconds:.1f}s",
            ", ".join(row.dearest),
            _SAME[row.same],
        )
        for row in report.starts
        if row.twins
    ]
    if starts:
        # The last column is of a build that compared.
        columns = _STARTS if any(row.same is not None for row in report.starts) else _STARTS[:-1]
        _draw(stream, "", columns, [row[: len(columns)] for row in starts])
    dear = [
        (str(row.line or "-"), row.platform, f"{row.seconds:.1f}s", _shortened(row.step), row.native)
        for row in report.dearest
        if row.seconds >= _WORTH_A_WORD
    ]
    if dear:
        _draw(stream, "", ("line", "emulated for", "took", "step", "to make it native"), dear)


def _counted_in(count: int, seconds: float, word: str = "") -> str:
    return f"{count} ({word}{seconds:.1f}s)" if count else "-"


def short_digest(digest: str) -> str:
    """``sha256:0123456789ab``: enough to recognise it."""
    kind, colon, digits = digest.partition(":")
    return f"{kind}{colon}{digits[:_DIGEST_DIGITS]}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_WIDTH else f"{text[: _TEXT_WIDTH - 1]}…"


def _draw(stream: TextIO, title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on ``stream``, and an empty line."""
    made = table([header, *rows], width=width_of(stream), bold=has_styles(stream))
    stream.write("".join(f"{part}\n" for part in (*filter(None, [title]), made, "")))
