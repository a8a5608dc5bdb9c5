from __future__ import annotations

import io
import json

from fakeplan import AMD64, ARM64, digest_of_step, fake_plan

from xxpy.build.graph import SCRATCH, Graph, ImageConfig, Result
from xxpy.build.naming import ALL
from xxpy.build.outcome import ImageOutcome, Outcome, StepOutcome
from xxpy.build.plan import Plan, make_plan
from xxpy.build.report import StageRow, build_report, last_words, plan_as_json, print_plan, print_report, report_as_json

PRINTED = "loading\n\x1b[1mhello 1.5\x1b[0m\n\n"


def an_outcome(plan: Plan) -> Outcome:
    """The build stage's shared steps cached, 2 s each before; all else ran for 1.5 s."""
    steps = {}
    for digest, step in plan.steps.items():
        cached = len(step.targets) == 2
        cost = 2.0 if cached else 1.5
        steps[digest] = StepOutcome(digest, cached, 0.0 if cached else 1.5, cost, PRINTED)
    images = tuple(ImageOutcome(one.platform, "sha256:" + "ab" * 32, 4_500_000) for one in plan.graph.results)
    return Outcome("sha256:" + "cd" * 32, images, steps)


def test_each_stage_is_counted_once_for_those_that_share_it() -> None:
    plan = fake_plan()
    assert build_report(plan, an_outcome(plan)).stages == (
        StageRow(ALL, "build", cached=2, saved=4.0),
        StageRow("linux/amd64", "build", native=1, native_seconds=1.5),
        StageRow("linux/amd64", "stage-1", native=1, native_seconds=1.5, files=2, files_seconds=3.0),
        StageRow("linux/arm64", "build", native=1, native_seconds=1.5),
        StageRow("linux/arm64", "stage-1", emulated=1, emulated_seconds=1.5, files=2, files_seconds=3.0),
    )


def test_an_image_says_what_its_last_run_printed() -> None:
    plan = fake_plan()
    assert [image.said for image in build_report(plan, an_outcome(plan)).images] == ["hello 1.5", "hello 1.5"]


def test_a_final_stage_without_run_says_nothing() -> None:
    plan = fake_plan(ARM64)
    copied = Result(ARM64, digest_of_step(plan, "COPY"), ImageConfig())
    # Its own stage has no RUN; that of the stage it copies from is not its word.
    assert last_words(plan, an_outcome(plan), copied) == ""
    assert last_words(plan, an_outcome(plan), Result(ARM64, SCRATCH, ImageConfig())) == ""


def test_steps_that_were_not_solved_are_left_out() -> None:
    plan = fake_plan()
    assert build_report(plan, Outcome("", (), {})).stages == ()


def test_the_report_as_json() -> None:
    plan = fake_plan()
    value = json.loads(json.dumps(report_as_json(plan, an_outcome(plan))))
    assert value["index"] == "sha256:" + "cd" * 32
    assert value["images"][1]["platform"] == "linux/arm64"
    assert value["stages"][4]["emulated_seconds"] == 1.5


def test_the_report_as_tables() -> None:
    plan, stream = fake_plan(), io.StringIO()
    print_report(plan, an_outcome(plan), stream)
    rows = [line.split() for line in stream.getvalue().splitlines()]
    assert ["all", "platforms", "build", "-", "-", "-", "2", "(saved", "4.0s)"] in rows
    assert ["linux/arm64", "stage-1", "-", "1", "(1.5s)", "2", "(3.0s)", "-"] in rows
    assert ["linux/arm64", "sha256:abababababab", "4.5", "MB", "hello", "1.5"] in rows


def test_the_plan_as_json_names_the_emulators() -> None:
    value = json.loads(json.dumps(plan_as_json(fake_plan())))
    assert value["host"] == "linux/amd64"
    assert value["platforms"] == ["linux/amd64", "linux/arm64"]
    assert value["emulators"] == ["aarch64"]
    assert value["steps"][1]["platforms"] == ALL
    assert value["steps"][-1] | {"why": ""} == {
        "platforms": "linux/arm64",
        "stage": "stage-1",
        "line": 7,
        "step": "RUN /hello --version",
        "how": "emulated",
        "why": "",
    }


def test_the_plan_as_a_table_is_not_wrapped_outside_a_terminal() -> None:
    stream = io.StringIO()
    print_plan(fake_plan(), stream)
    lines = stream.getvalue().splitlines()
    emulated = [line for line in lines if " emulated " in line]
    assert len(emulated) == 1
    assert "RUN /hello --version" in emulated[0]
    assert "this machine is linux/amd64" in emulated[0]
    assert sum(line.startswith("linux/arm64 ") for line in lines) == 1


def test_a_plan_without_steps_is_a_table_too() -> None:
    stream = io.StringIO()
    print_plan(make_plan(Graph({}, (Result(AMD64, SCRATCH, ImageConfig()),)), AMD64), stream)
    assert "linux/amd64 on linux/amd64" in stream.getvalue()
