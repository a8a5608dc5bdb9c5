"""What a build may emulate, and what is said of an image that is wrong: all pure."""

from __future__ import annotations

import pickle

import pytest
from test_front import AMD64, ARM64, graph

from xxpy.build.plan import Emulation, Plan, check_emulation, final_steps, make_plan
from xxpy.build.verdict import (
    Mode,
    Problem,
    Verify,
    allowed,
    counterparts,
    judge,
    multiarch_of,
    require_bases,
    wrong_bases,
)
from xxpy.errors import DockerfileError, VerifyError
from xxpy.platforms import Platform

STAGES = "FROM a AS build\nRUN compile\nFROM a AS base\nRUN base\nFROM base\nCOPY --from=build /x /\nRUN last\n"


def plan(text: str, *targets: Platform) -> Plan:
    return make_plan(graph(text, *(targets or (AMD64, ARM64))), AMD64)


# -- emulation ---------------------------------------------------------------------------------------------------


def test_the_final_stage_is_also_those_that_it_is_from() -> None:
    made = plan(STAGES, ARM64)
    final = {made.graph.vertices[digest].label.text for digest in final_steps(made.graph)}
    assert {"RUN base", "RUN last"} <= final and "RUN compile" not in final


@pytest.mark.parametrize(
    ("text", "policy", "line"),
    [
        (STAGES, Emulation.AUTO, 0),
        (STAGES, Emulation.FINAL, 2),
        (STAGES.replace("FROM a AS build", "FROM --platform=$BUILDPLATFORM a AS build"), Emulation.FINAL, 0),
        (STAGES.replace("FROM a AS build", "FROM --platform=$BUILDPLATFORM a AS build"), Emulation.NEVER, 4),
        (STAGES.replace("FROM a", "FROM --platform=$BUILDPLATFORM a"), Emulation.NEVER, 0),
        ("FROM a AS unused\nRUN never\nFROM a\n", Emulation.NEVER, 0),
    ],
)
def test_what_may_be_emulated(text: str, policy: Emulation, line: int) -> None:
    if not line:
        check_emulation(plan(text), policy, "Dockerfile")
        return
    with pytest.raises(DockerfileError) as caught:
        check_emulation(plan(text), policy, "Dockerfile")
    assert (caught.value.reason, caught.value.place) == ("emulation", f"Dockerfile:{line}")
    assert "linux/arm64" in caught.value.message and "FROM --platform=$BUILDPLATFORM" in caught.value.remedy


def test_the_remedy_names_the_stage_whose_from_it_is() -> None:
    text = "FROM a AS first\nRUN one\nFROM first AS second\nRUN two\nFROM a\nCOPY --from=second /x /\n"
    with pytest.raises(DockerfileError) as caught:
        check_emulation(plan(text, ARM64), Emulation.FINAL, "f")
    assert "begin the stage first " in caught.value.remedy and "and so would 1 more" in caught.value.message


# -- the base ----------------------------------------------------------------------------------------------------


def test_a_base_of_another_platform() -> None:
    text = "FROM a AS one\nFROM --platform=linux/amd64 a AS pinned\nRUN x\nFROM pinned\nRUN y\n"
    assert [(one.platform, one.line, one.reason) for one in wrong_bases(plan(text))] == [(ARM64, 2, "wrong-base")]
    with pytest.raises(VerifyError) as caught:
        require_bases(plan(text), Verify(), "Dockerfile")
    assert caught.value.place == "Dockerfile:2" and caught.value.exit_code == 8
    for right in (Verify(Mode.WARN), Verify(Mode.OFF), Verify(kept=False)):
        require_bases(plan(text), right, "Dockerfile")
    with pytest.raises(VerifyError):
        require_bases(plan(text), Verify(Mode.ERROR, kept=False), "Dockerfile")


@pytest.mark.parametrize("text", ["FROM a\n", "FROM scratch\nCOPY x /\n", "FROM --platform=linux/386 a\n"])
def test_bases_that_are_right(text: str) -> None:
    """i386 runs on amd64."""
    assert wrong_bases(plan(text, AMD64)) == ()


# -- judging -----------------------------------------------------------------------------------------------------


def problem(path: str = "/bin/x", reason: str = "wrong-machine", line: int = 3) -> Problem:
    return Problem(ARM64, path, f"is {reason}", reason, line)


@pytest.mark.parametrize(
    ("mode", "reason", "ends"),
    [
        (Mode.AUTO, "wrong-machine", True),
        (Mode.AUTO, "wrong-base", True),
        (Mode.AUTO, "wrong-object", False),
        (Mode.AUTO, "no-loader", False),
        (Mode.ERROR, "no-loader", True),
        (Mode.ERROR, "wrong-object", True),
        (Mode.WARN, "wrong-machine", False),
    ],
)
def test_what_ends_a_build(mode: Mode, reason: str, ends: bool) -> None:
    if not ends:
        assert judge([problem(reason=reason)], Verify(mode), "D") == (f"D:3: /bin/x is {reason}",)
        return
    with pytest.raises(VerifyError) as caught:
        judge([problem(reason=reason)], Verify(mode), "D")
    assert (caught.value.reason, caught.value.place) == (reason, "D:3")


def test_the_error_has_every_problem_and_crosses_a_process() -> None:
    with pytest.raises(VerifyError) as caught:
        judge([problem("/a"), problem("/b"), problem("/c", "no-loader", 4)], Verify(), "D")
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.message == "/a is wrong-machine, and 1 more"
    assert error.problems == ("NOTICE: D:4: /c is no-loader", "D:3: /a is wrong-machine", "D:3: /b is wrong-machine")
    assert "--verify-allow /a" in error.remedy


def test_of_many_that_are_alike_some_are_told() -> None:
    told = judge([problem(f"/{number}", "no-loader") for number in range(90)], Verify(), "D")
    assert len(told) == 6 and told[-1] == "D:3: 85 more of linux/arm64 are so (no-loader)"
    told = judge([problem(f"/{number}", "no-loader", number) for number in range(90)], Verify(), "D")
    assert len(told) == 90 and told[40] == "D:40: 1 more of linux/arm64 are so (no-loader)"


def test_a_name_that_would_be_obeyed_by_a_terminal_is_not() -> None:
    (told,) = judge([problem("/a\x1b[31m\nERROR: x", "no-loader")], Verify(), "D")
    assert "\x1b" not in told and "\n" not in told


@pytest.mark.parametrize(
    ("pattern", "path", "right"),
    [
        ("/usr/lib/firmware/*", "/usr/lib/firmware/a/b.elf", True),
        ("usr/lib/*.so", "/usr/lib/x.so", True),
        ("*.so", "/usr/lib/x.so", True),
        ("/lib/*", "/usr/lib/x", False),
        ("*", "", False),
    ],
)
def test_what_is_excused(pattern: str, path: str, right: bool) -> None:
    assert allowed(path, [pattern]) is right


@pytest.mark.parametrize(
    ("path", "found", "wanted", "other"),
    [
        ("/a/prebuilds/linux-x64/x.node", "amd64", "arm64", "/a/prebuilds/linux-arm64/x.node"),
        ("/a/runtimes/linux-arm64/native/x.so", "arm64", "amd64", "/a/runtimes/linux-x64/native/x.so"),
        ("/a/x.linux-x64-gnu.node", "amd64", "arm64", "/a/x.linux-arm64-gnu.node"),
        ("/a/linux-x64/x.linux-x64.node", "amd64", "arm64", "/a/linux-arm64/x.linux-arm64.node"),
        ("/x64/a/linux-x64/b", "amd64", "arm64", "/x64/a/linux-arm64/b"),
        ("/usr/lib/x86_64-linux-gnu/x.so", "amd64", "arm64", "/usr/lib/aarch64-linux-gnu/x.so"),
        ("/jna/linux-x86/x.so", "386", "arm64", "/jna/linux-aarch64/x.so"),
    ],
)
def test_the_same_file_for_the_target(path: str, found: str, wanted: str, other: str) -> None:
    assert other in counterparts(path, found, wanted)


@pytest.mark.parametrize("path", ["/usr/bin/x", "/opt/matrix64/x", "/lib/charm/x", "/usr/x86_64/lib.so"])
def test_a_path_that_names_no_such_architecture(path: str) -> None:
    assert counterparts(path, "386", "arm64") == () and counterparts(path, "arm", "amd64") == ()
    assert counterparts("/linux-x64/x", "", "arm64") == ()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/lib/aarch64-linux-gnu/libz.so.1", ("arm64", False)),
        ("/lib/arm-linux-gnueabihf/ld-linux-armhf.so.3", ("arm", False)),
        ("/usr/aarch64-linux-gnu/lib/libc.so.6", ("arm64", True)),
        ("/usr/lib/gcc-cross/powerpc64le-linux-gnu/14/libgcc.a", ("ppc64le", True)),
        ("/opt/aarch64/lib/libz.so", ("", False)),
        ("/opt/app-linux-x/bin", ("", False)),
        ("/usr/bin/aarch64-linux-gnu-gcc", ("", False)),
    ],
)
def test_folders_that_are_of_an_architecture(path: str, expected: tuple[str, bool]) -> None:
    assert multiarch_of(path) == expected
