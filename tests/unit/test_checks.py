"""Build checks: each folder below ``data/checks`` is a case, a Dockerfile and the lines that are expected of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xxpy.build.context import read_ignore
from xxpy.build.dockerfile.checks import About, Finding, Options, parse_options
from xxpy.build.dockerfile.checks_stages import check
from xxpy.build.dockerfile.parse import parse
from xxpy.build.graph import ImageConfig
from xxpy.errors import DockerfileError
from xxpy.platforms import Platform

DATA = Path(__file__).parent / "data/checks"
CASES = sorted(path.name for path in DATA.iterdir())
AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
BASES = {"busybox": ImageConfig(env=("FROM_BASE=1",))}
# fmt: off
NAMES = {
    "StageNameCasing", "FromAsCasing", "NoEmptyContinuation", "ConsistentInstructionCasing", "DuplicateStageName",
    "ReservedStageName", "JSONArgsRecommended", "MaintainerDeprecated", "UndefinedArgInFrom", "WorkdirRelativePath",
    "UndefinedVar", "MultipleInstructionsDisallowed", "LegacyKeyValueFormat", "RedundantTargetPlatform",
    "SecretsUsedInArgOrEnv", "InvalidDefaultArgInFrom", "FromPlatformFlagConstDisallowed", "CopyIgnoredFile",
    "InvalidDefinitionDescription", "ExposeProtoCasing", "ExposeInvalidFormat", "PlatformArgDefault",
    "PlatformArgUndeclared",
}
# fmt: on


def found(name: str, **given: object) -> tuple[Finding, ...]:
    folder = DATA / name
    text = (folder / "Dockerfile").read_text()
    return findings(text, ignore=read_ignore(folder, None), **given)


def findings(text: str, **given: object) -> tuple[Finding, ...]:
    file = parse(text, "Dockerfile")
    options = parse_options(file.directives.check, "Dockerfile:1")
    about = About(ARM64, AMD64, bases=BASES, **given)  # type: ignore[arg-type]
    return check(file, text, about, options)


def shown(findings: tuple[Finding, ...]) -> str:
    lines = (f"{each.start}-{each.end}" if each.end != each.start else str(each.start) for each in findings)
    return "".join(
        f"{line} {'error ' * each.error}{each.rule}: {each.text}\n" for line, each in zip(lines, findings, strict=True)
    )


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    assert shown(found(name)) == (DATA / name / "expected").read_text()


def test_every_check_has_a_case() -> None:
    assert {each.rule for name in CASES for each in found(name)} == NAMES


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("clean", "unneeded", "skip-all"))])
def test_clean_files_have_no_finding(name: str) -> None:
    assert found(name) == ()


def test_what_is_given_counts() -> None:
    text = "ARG TAG\nFROM busybox:x$TAG\nARG X=$UNDEF\nFROM busybox AS other\nENV Y=$UNDEF\n"
    assert [each.rule for each in findings(text, target_stage="other")] == ["UndefinedVar"]
    bases = {"busybox:x1": ImageConfig()}
    about = About(ARM64, AMD64, {"TAG": "1", "X": "given"}, "0", bases)
    assert check(parse(text, "Dockerfile"), text, about, Options()) == ()


def test_every_stage_counts_where_that_is_asked_for() -> None:
    text = "FROM busybox AS other\nWORKDIR rel\nFROM busybox AS needed\nWORKDIR rel\nFROM needed\n"
    assert [each.start for each in findings(text)] == [4]
    assert [each.start for each in findings(text, every_stage=True)] == [2, 4]
    assert [each.start for each in findings(text, every_stage=True, target_stage="needed")] == [4]


def test_a_stage_that_a_context_replaces_is_not_checked() -> None:
    text = "FROM busybox AS base\nWORKDIR rel\nFROM base\n"
    assert [each.rule for each in findings(text)] == ["WorkdirRelativePath"]
    assert findings(text, replaced=frozenset({"base"})) == ()


def test_carriage_returns_and_the_other_escape() -> None:
    assert findings("FROM busybox\r\nRUN a \\\r\n  b\r\n") == ()
    text = "# escape=`\nFROM busybox\nRUN a `\n\n b\nCOPY c:\\ d:\\\n\nRUN c\n"
    assert [(each.rule, each.start) for each in findings(text)] == [("NoEmptyContinuation", 5)]


def test_an_empty_line_in_a_heredoc_is_none_of_an_instruction() -> None:
    assert findings("FROM busybox\nRUN <<E\na\n\n\nb \\\n\nE\n") == ()


def test_a_broken_variable_is_not_told_twice() -> None:
    text = "FROM ${x:?} AS Up\n"
    assert {each.rule for each in findings(text)} == {"StageNameCasing"}


OPTIONS = {
    "": Options(),
    "skip=A,B": Options(frozenset({"A", "B"})),
    "skip=all;error=true": Options(frozenset({"all"}), fatal=True),
    "error=0;experimental=X and words after it": Options(experimental=frozenset({"X"})),
}


@pytest.mark.parametrize("text", OPTIONS)
def test_options(text: str) -> None:
    assert parse_options(text, "") == OPTIONS[text]


@pytest.mark.parametrize("text", ["A", "skip", "skip=", "error=maybe", "other=1", ";"])
def test_bad_options(text: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_options(text, "Dockerfile:1")
    assert caught.value.reason == "bad-check" and caught.value.place == "Dockerfile:1"
