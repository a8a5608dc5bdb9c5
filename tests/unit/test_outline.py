"""The outline of a target and the list of targets: what is found, and how it is shown."""

from __future__ import annotations

import json

import pytest

from xxpy.build.dockerfile.checks import About
from xxpy.build.dockerfile.outline import Outline, outline_of, targets_of
from xxpy.build.dockerfile.parse import parse
from xxpy.build.graph import ImageConfig
from xxpy.cli.outline import show_outline, show_targets
from xxpy.errors import DockerfileError
from xxpy.platforms import Platform

ARM64, AMD64 = Platform.parse("linux/arm64"), Platform.parse("linux/amd64")


def outline(text: str, target: str = "", **given: object) -> Outline:
    about = About(ARM64, AMD64, target_stage=target, **given)  # type: ignore[arg-type]
    return outline_of(parse(text, "Dockerfile"), text, about)


def arguments(text: str, target: str = "", **given: object) -> dict[str, str]:
    return {each.name: each.value for each in outline(text, target, **given).arguments}


def test_arguments_that_the_target_takes() -> None:
    text = (
        "ARG A=1\nARG B=$A.2\nARG UNUSED=x\nFROM busybox:$B AS base\nARG OWN=${SET}-y\n"
        "FROM busybox AS other\nARG OTHER\nFROM base\nARG TARGETARCH=mips\nARG LAST\n"
    )
    assert arguments(text) == {"A": "1", "B": "1.2", "OWN": "-y", "LAST": ""}
    bases = {"busybox:1.2": ImageConfig(env=("SET=set",))}
    assert arguments(text, bases=bases)["OWN"] == "set-y"
    assert arguments(text, build_args={"B": "3", "LAST": "4"}) == {"B": "3", "OWN": "-y", "LAST": "4"}
    assert arguments(text, "other") == {"OTHER": ""}
    assert arguments(text, replaced=frozenset({"base"})) == {"LAST": ""}


def test_of_several_the_nearest_counts() -> None:
    text = "FROM busybox AS a\nARG X=a\nFROM busybox AS b\nARG X=b\nFROM a\nCOPY --from=b / /\n"
    assert arguments(text) == {"X": "a"}
    assert arguments(text + "ARG X=own\n") == {"X": "own"}


def test_credentials() -> None:
    text = (
        "FROM busybox AS a\nARG ID=x\nRUN --mount=type=secret,id=$ID --mount=type=ssh true\n"
        "FROM a\nRUN --mount=type=secret,id=x,required --mount=type=ssh,id=own,required true\n"
        "ADD https://h.test/x.git#main /y\n"
    )
    found = outline(text)
    assert [(each.name, each.required, each.range.start) for each in found.secrets] == [("x", True, 5)]
    assert [(each.name, each.required) for each in found.agents] == [("default", False), ("own", True)]
    found = outline(text + "ARG HOST=h.test\nADD git@$HOST:x.git ssh://$HOST/y /\n")
    assert [(each.name, each.required, each.range.start) for each in found.agents] == [
        ("own", True, 5),
        ("default", True, 8),
    ]


def test_what_cannot_be_outlined() -> None:
    for text, target, reason in (
        ("FROM busybox\n", "nope", "stage-unknown"),
        ("ARG A=${B:?}\nFROM $A\n", "", "expand-failed"),
        ("FROM a${B:?}\n", "", "expand-failed"),
        ("FROM --platform=${B:?} a\n", "", "expand-failed"),
        ("FROM busybox\nRUN --mount=type=nope true\n", "", "bad-mount"),
    ):
        with pytest.raises(DockerfileError) as caught:
            outline(text, target)
        assert caught.value.reason == reason and caught.value.place.startswith("Dockerfile"), text


def test_many_stages() -> None:
    text = "FROM busybox AS s0\nARG X\n" + "".join(f"FROM s{n} AS s{n + 1}\n" for n in range(3000))
    assert arguments(text) == {"X": ""}


def test_how_it_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "# V is the version\nARG V=1\n# base is first\nFROM busybox:$V AS Base\nFROM busybox\nFROM base\n"
        "# not LONGER\nARG LONGER=a\x1b[2Jb\n# S is said\n# check=skip=all\nARG S\n"
        "RUN --mount=type=secret,id=t --mount=type=ssh,required true\n"
    )
    file = parse(text, "Dockerfile")
    show_targets(targets_of(file, text), text, as_json=False)
    assert capsys.readouterr().out == "TARGET      DESCRIPTION\nbase        is first\n1\n2 (default)\n"
    show_outline(outline(text), text, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "TARGET: (default)",
        "",
        "BUILD ARG   VALUE   DESCRIPTION",
        "V           1       is the version",
        "LONGER      ab",
        "S                   is said",
        "",
        "SECRET   REQUIRED",
        "t",
        "",
        "SSH       REQUIRED",
        "default   true",
    ]
    show_outline(outline(text, "base"), text, as_json=False)
    assert capsys.readouterr().out.splitlines()[:2] == ["TARGET:      base", "DESCRIPTION: is first"]
    show_outline(outline("FROM busybox\n"), "FROM busybox\n", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"sources": ["RlJPTSBidXN5Ym94Cg=="]}
