from __future__ import annotations

import io
from dataclasses import replace

import pytest
from fakeplan import ARM64, digest_of_step, fake_plan

from xxpy.build.bill import PlatformBill, advice, dearest, platform_bills, step_starts
from xxpy.build.naming import ALL
from xxpy.build.outcome import Outcome, Starts, StepOutcome
from xxpy.build.plan import How
from xxpy.build.report import print_report
from xxpy.build.twins.compare import Comparison, Difference


def outcome(cached: bool = False) -> Outcome:
    """Each step took a second more than the one before it."""
    plan = fake_plan()
    return Outcome(
        "",
        (),
        {
            digest: StepOutcome(digest, cached, 0.0 if cached else float(number), float(number))
            for number, digest in enumerate(plan.steps, 1)
        },
    )


def test_each_platform_has_the_seconds_of_its_runs_alone() -> None:
    assert platform_bills(fake_plan(), outcome()) == (
        PlatformBill(ALL, native=2.0),
        PlatformBill("linux/amd64", native=3.0 + 6.0),
        PlatformBill("linux/arm64", native=7.0, emulated=10.0),
    )


def test_what_was_cached_is_saved() -> None:
    assert platform_bills(fake_plan(), outcome(cached=True))[2] == PlatformBill("linux/arm64", saved=17.0)
    assert dearest(fake_plan(), outcome(cached=True)) == ()


def test_a_build_without_runs_has_no_bill() -> None:
    assert platform_bills(fake_plan(), Outcome("", (), {})) == ()


def test_the_dearest_steps_have_their_lines_and_a_word() -> None:
    plan = fake_plan(ARM64)
    digest = digest_of_step(plan, "RUN /hello")
    (step,) = dearest(plan, Outcome("", (), {digest: StepOutcome(digest, False, 2.5, 2.5)}))
    assert (step.line, step.stage, step.platform, step.seconds) == (7, "stage-1", "linux/arm64", 2.5)
    assert step.step == "RUN /hello --version" and step.native.endswith("if it runs no program of the image")


@pytest.mark.parametrize(
    ("script", "final", "words"),
    [
        ("/bin/sh -c make -j4", False, ["begin build with FROM --platform=$BUILDPLATFORM", "xx-clang"]),
        ("/bin/sh -c ./configure && make", True, ["move it to a stage", "xx-clang"]),
        ("/bin/sh -c cd x && CGO_ENABLED=0 go build ./...", False, ["xx-go"]),
        ("/bin/sh -c cargo build --release", False, ["xx-cargo"]),
        ("/bin/sh -c /usr/local/bin/cargo +nightly build", False, ["xx-cargo"]),
        ("/bin/sh -c apt-get update && apt-get install -y make gcc", True, ["cannot be: the packages' scripts"]),
        ("/bin/sh -c apt-get install -y make gcc", False, ["begin build with", "xx-apt-get"]),
        ("/bin/sh -c apk add --no-cache gcc && gcc x.c", False, ["xx-clang"]),
        ("/bin/sh -c pip install --no-cache-dir numpy", True, ["cannot be, if a package has native parts"]),
        ("/bin/sh -c npm ci && npm run build", False, ["the same for every platform"]),
        ("/bin/sh -c make-certs", True, ["if it runs no program of the image"]),
        ("/bin/sh -c echo hello", False, ["if what it makes does not depend"]),
    ],
)
def test_the_advice_fits_the_commands(script: str, final: bool, words: list[str]) -> None:
    said = advice(script, "build", final)
    assert all(word in said for word in words), said
    assert "\n" not in said and len(said) < 100


def test_programs_that_an_emulated_step_started() -> None:
    plan = fake_plan(ARM64)
    said = next(digest for digest, step in plan.steps.items() if step.how is How.EMULATED)
    starts = Starts(5, 3, (("/usr/bin/dpkg", 2), ("/usr/bin/uname", 1)), (("/usr/bin/dash", 5),))
    compared = Comparison(7, (Difference("/f", "has other bytes"),))
    step = StepOutcome(said, False, 1.0, 1.0, "", starts, compared)
    (row,) = step_starts(plan, Outcome("", (), {said: step}))
    assert (row.twins, row.emulated, row.dearest, row.same) == (5, 3, ("dpkg 2x", "uname 1x"), False)
    drawn = io.StringIO()
    print_report(plan, Outcome("", (), {said: step}), drawn)
    assert "dpkg 2x, uname 1x" in drawn.getvalue() and "NOT the same" in drawn.getvalue()
    # Where programs took time, those that took most of it.
    spent = replace(starts, twin_seconds=1.24, emulated_seconds=7.5, dearest=(("/b/dpkg", 7.44), ("/b/uname", 0.06)))
    drawn = io.StringIO()
    print_report(plan, Outcome("", (), {said: replace(step, starts=spent)}), drawn)
    (line,) = [line for line in drawn.getvalue().splitlines() if "dpkg" in line]
    assert line.split()[2:9] == ["8", "5", "1.2s", "7.5s", "dpkg", "7.4s", "NOT"]
