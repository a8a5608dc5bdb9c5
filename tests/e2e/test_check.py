"""`xx build --check`, and what a build says of the checks."""

from __future__ import annotations

import json

from support import BOTH, Xx, error_of, output_of

POOR = "FROM busybox AS Up\nWORKDIR rel\nENV X=$FROM_NOWHERE\n"


def test_check_builds_nothing_and_shows_the_lines(xx: Xx) -> None:
    xx.dockerfile(POOR + "RUN echo never run\n")
    done = xx.run("build", "--check", ".")
    assert done.code == 1 and done.err == "", done
    assert done.out.startswith("Check complete, 3 warnings have been found!\n\nWARNING: StageNameCasing - "), done
    assert "Dockerfile:2\n--------------------\n   1 |     FROM busybox AS Up\n   2 | >>> WORKDIR rel\n" in done.out
    assert xx.run("build", "--call=check", ".").out == done.out
    rows = json.loads(xx.run("build", "--call", "check,format=json", ".").out)["warnings"]
    assert [row["ruleName"] for row in rows] == ["StageNameCasing", "WorkdirRelativePath", "UndefinedVar"]
    assert rows[2]["location"]["ranges"] == [{"start": {"line": 3}, "end": {"line": 3}}]


def test_a_clean_file(xx: Xx) -> None:
    xx.dockerfile("# syntax=docker/dockerfile:1.7-labs\nFROM busybox\nRUN true\n")
    done = xx.run("build", "--check", "--platform", BOTH, ".")
    assert done.code == 0 and done.out == "Check complete, no warnings found.\n" and done.err == "", done


def test_a_default_of_a_platform_argument_is_an_error_and_the_image_right_all_the_same(xx: Xx) -> None:
    text = "FROM busybox\nARG TARGETARCH=amd64\nRUN echo for $TARGETARCH\n"
    xx.dockerfile(text)
    done = xx.run("build", "--check", ".")
    assert done.code == 1 and "\nERROR: PlatformArgDefault - " in done.out, done
    done = xx.build(text, "--no-cache", "--platform", "linux/arm64")
    assert done.code == 0 and output_of(done) == "for arm64", done
    assert "1 warning found" in done.err and "PlatformArgDefault (line 2)" in done.err


def test_a_build_says_how_many_there_are_in_one_line(xx: Xx) -> None:
    done = xx.build(POOR)
    assert done.code == 0, done
    last = done.err.splitlines()[-1]
    assert last.startswith("3 warnings found (xx build --check shows more): StageNameCasing (line 1), "), done
    assert "warning" not in xx.build("# check=skip=all\n" + POOR).err
    xx.dockerfile(POOR)
    assert xx.run("build", "-q", ".").err == ""


def test_findings_that_are_errors_end_a_build_before_its_first_step(xx: Xx) -> None:
    done = xx.build("# check=error=true\n" + POOR + "RUN echo never run\n")
    assert done.code == 3 and error_of(done).startswith("ERROR: Dockerfile:2: "), done
    assert "StageNameCasing" in error_of(done) and output_of(done) == ""
    given = ("--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all;error=true")
    assert xx.build(POOR, *given).code == 0
    assert xx.build("# check=error=true\nFROM busybox\n").code == 0


def test_what_is_no_dockerfile_is_the_error_of_a_build(xx: Xx) -> None:
    for text, code, place in (
        ("FROM busybox AS Up\nFETCH x\n", 3, "Dockerfile:2"),
        ("FROM busybox AS Up\nCOPY x\n", 3, "Dockerfile:2"),
        ("FROM nowhere:1 AS Up\n", 5, "Dockerfile:1"),
        ("# check=nope\nFROM busybox\n", 3, "Dockerfile:1"),
        ("ARG X=${Y:?}\nFROM busybox AS Up\n", 3, "Dockerfile:1"),
        ("# syntax=example.test/other\nFROM busybox\n", 3, "Dockerfile:1"),
    ):
        xx.dockerfile(text)
        done = xx.run("build", "--check", ".")
        assert done.code == code and error_of(done).startswith(f"ERROR: {place}"), done
        # What was found all the same is shown.
        assert ("StageNameCasing" in done.out) == ("AS Up" in text and "FETCH" not in text), done


def test_a_method_that_is_not_known(xx: Xx) -> None:
    xx.dockerfile("FROM busybox\n")
    for call in ("nope", "check,nope", "check,format=xml", "check,ignorestatus=maybe", "outline,targets"):
        done = xx.run("build", f"--call={call}", ".")
        assert done.code == 2 and "outline" in error_of(done), done


def test_findings_are_no_failure_where_that_is_asked_for(xx: Xx) -> None:
    xx.dockerfile(POOR)
    done = xx.run("build", "--call=check,format=json,ignorestatus=true", ".")
    assert done.code == 0 and len(json.loads(done.out)["warnings"]) == 3, done


def test_stages_that_the_target_does_not_need(xx: Xx) -> None:
    text = "FROM busybox AS one\nRUN echo $TARGETARCH\nFROM nowhere:1 AS two\nWORKDIR rel\nFROM busybox\nRUN true\n"
    xx.dockerfile(text)
    done = xx.run("build", "--check", ".")
    assert done.code == 1 and "2 warnings have" in done.out and "PlatformArgUndeclared" in done.out, done
    assert "1 warning has" in xx.run("build", "--check", "--target", "one", ".").out
    assert "warning" not in xx.build(text).err


def test_outline_and_targets(xx: Xx) -> None:
    xx.build("FROM busybox\nENV SET=1\n", "-t", "setter")
    xx.dockerfile("# V is said\nARG V\nFROM setter AS one\nARG W=$SET\nFROM nowhere:$V\nCOPY --from=one / /\n")
    done = xx.run("build", "--call=outline", "--build-arg", "V=2", ".")
    # A base that is not there, and a context, are not needed.
    assert done.code == 0 and done.err == "", done
    rows = ["BUILD ARG   VALUE   DESCRIPTION", "V           2       is said", "W           1"]
    assert done.out.splitlines() == ["TARGET: (default)", "", *rows], done
    done = xx.run("build", "--call=targets", "-f", "-", ".", stdin=b"FROM busybox AS one\n")
    assert done.code == 0 and done.out == "TARGET        DESCRIPTION\none (default)\n", done
    done = xx.run("build", "--call=outline", "--target", "two", ".")
    assert done.code == 3 and "one, 1" in error_of(done), done


def test_checks_know_what_the_context_leaves_out_and_what_named_contexts_set(xx: Xx) -> None:
    (xx.folder / ".dockerignore").write_text("out\n")
    xx.build("FROM busybox\nENV SET=1\n", "-t", "setter")
    xx.dockerfile("FROM base\nCOPY out /\nENV X=$SET\n")
    done = xx.run("build", "--check", "--build-context", "base=docker-image://setter", ".")
    assert done.code == 1 and "1 warning has been found" in done.out and "CopyIgnoredFile" in done.out, done
