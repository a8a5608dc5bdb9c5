from __future__ import annotations

import pytest
from fakeplan import AMD64, ARM64, digest_of_step, fake_plan

from xxpy.build.naming import ALL, Lines, groups, harmless, one_line, step_names


def test_steps_are_named_by_platform_stage_and_position() -> None:
    plan = fake_plan()
    names = step_names(plan)
    assert str(names[digest_of_step(plan, "apt-get")]) == "[linux/amd64 build 2/3] RUN apt-get install clang"
    assert names[digest_of_step(plan, "xx-clang", ARM64)].place == "linux/amd64->linux/arm64 build 3/3"
    assert names[digest_of_step(plan, "COPY", ARM64)].place == "linux/arm64 stage-1 2/3"
    assert names[digest_of_step(plan, "--version", AMD64)].place == "linux/amd64 stage-1 3/3"
    assert [name.number for name in names.values()] == list(range(1, len(names) + 1))


def test_the_machines_own_platform_alone_is_not_named() -> None:
    plan = fake_plan(AMD64)
    assert {name.platform for name in step_names(plan).values()} == {""}


def test_shared_steps_are_grouped_once() -> None:
    plan = fake_plan()
    assert {name: len(steps) for name, steps in groups(plan).items()} == {ALL: 2, "linux/amd64": 4, "linux/arm64": 4}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1b]0;never closed", ""),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1bcreset", "reset"),
        ("10%\r55%\r100%", "100%"),
        ("windows\r", "windows"),
        ("a\tb", "a       b"),
        ("bell\x07 back\x08 c1\x9b31m", "bell back c131m"),
        ("\u202egnp.exe", "gnp.exe"),
        ("größe 漢字", "größe 漢字"),
    ],
)
def test_output_is_harmless(given: str, shown: str) -> None:
    assert harmless(given) == shown


def test_an_instruction_is_one_line() -> None:
    assert one_line("RUN a \\\n    && b\n  \x1b[1mc") == "RUN a && b c"


def test_lines_are_joined_across_pieces_and_characters() -> None:
    lines = Lines()
    word = "größe".encode()
    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.partial == "tw"
    assert lines.feed(b"o\n" + word[:3]) == ["two"]
    assert lines.feed(word[3:] + b"\n\n") == ["größe", ""]
    assert lines.end() == []
    assert lines.feed(b"\xff tail") == []
    assert lines.end() == ["\ufffd tail"]


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    lines = Lines()
    parts = [part for _ in range(10) for part in lines.feed(b"x" * 10_000)]
    assert sum(map(len, parts)) + len(lines.partial) == 100_000
    assert len(lines.partial) <= Lines.LONGEST
