"""What the oracle of `test_parse_oracle` does not tell: the syntax directive, and triggers in another's place."""

from __future__ import annotations

import pytest

from xxpy.build.dockerfile.instructions import Range
from xxpy.build.dockerfile.parse import parse, parse_one
from xxpy.errors import DockerfileError, UnsupportedError

SERVED = [
    "docker/dockerfile:1",
    "docker/dockerfile",
    "docker.io/docker/dockerfile:1.7",
    "docker/dockerfile:1.7.1-labs",
    "docker/dockerfile:labs",
    "docker/dockerfile-upstream:master",
    "docker/dockerfile:1@sha256:" + "0" * 64,
    "docker/dockerfile:1 and a comment",
]
REFUSED = [
    "docker/dockerfile:2",
    "example.test/docker/dockerfile:1",
    "docker/dockerfile:1x",
    "mine/other",
    "docker/dockerfile-other:1",
]


@pytest.mark.parametrize("name", SERVED)
def test_syntax_that_is_served(name: str) -> None:
    assert parse(f"# syntax={name}\nFROM a\n", "Dockerfile").directives.syntax == name
    assert parse(f"#syntax = {name}\r\nFROM a\n", "Dockerfile").directives.syntax == name


@pytest.mark.parametrize("name", REFUSED)
def test_another_syntax_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        parse(f"# syntax={name}\nFROM a\n", "Dockerfile")
    assert caught.value.reason == "syntax-unsupported" and name in caught.value.message
    assert caught.value.place == "Dockerfile:1"


def test_a_directive_below_an_instruction_is_a_comment() -> None:
    assert parse("FROM a\n# syntax=mine/other\n", "Dockerfile").directives.syntax == ""


def test_one_instruction_in_anothers_place() -> None:
    found = parse_one("RUN --network=none <<E\nx\nE", "Dockerfile", Range(7, 8))
    assert found.name == "RUN" and found.flags == ("--network=none",) and found.range == Range(7, 8)
    assert found.heredocs[0].content == "x\n"
    for text in ("# only a comment", "RUN a\nRUN b", "FROM a", "RUN <<E\n"):
        with pytest.raises(DockerfileError) as caught:
            parse_one(text, "Dockerfile", Range(7, 8))
        assert caught.value.place == "Dockerfile:7"
