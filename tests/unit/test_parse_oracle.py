"""Our parser against BuildKit's own, which PyPI's `dockerfile` wraps: the same instructions from the same text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from dockerfiles import BROKEN, WRITTEN, generated

from xxpy.build.dockerfile.instructions import Instruction
from xxpy.build.dockerfile.parse import parse
from xxpy.errors import DockerfileError

# There is no wheel of it for Linux on arm64.
dockerfile = pytest.importorskip("dockerfile")

GENERATED = list(generated(300))


def ours(text: str) -> list[Instruction]:
    file = parse(text, "Dockerfile")
    return [*file.meta_args, *(each for stage in file.stages for each in (stage.source, *stage.instructions))]


def words_of(theirs: Any) -> list[str]:
    """Theirs has the names and values of pairs apart, ours as NAME=VALUE."""
    value = list(theirs.value)
    if theirs.cmd.upper() in ("ENV", "LABEL"):
        return [f"{value[index]}={value[index + 1]}" for index in range(0, len(value), 2)]
    return value


def plain(original: str) -> str:
    """Without spaces at the end, and without the tabs of a <<- that only ours keeps before the delimiter."""
    return original.rstrip().replace("\n\t", "\n")


def compare(text: str) -> None:
    expected = dockerfile.parse_string(text)
    found = ours(text)
    assert [each.name for each in found] == [each.cmd.upper() for each in expected]
    for mine, theirs in zip(found, expected, strict=True):
        onbuild = mine.name == "ONBUILD"
        assert mine.flags == theirs.flags
        assert mine.json == theirs.json
        # Theirs takes the instruction inside an ONBUILD apart.
        if not onbuild:
            assert list(mine.args) == words_of(theirs), mine.name
        # Of an ONBUILD theirs hands out no here-documents.
        original = mine.original.partition("\n")[0] if onbuild else mine.original
        assert plain(original) == plain(theirs.original)
        assert (mine.range.start, mine.range.end) == (theirs.start_line, theirs.end_line)
        for one, other in zip(() if onbuild else mine.heredocs, theirs.heredocs, strict=True):
            # BuildKit drops the tabs of <<- in a later step.
            content = re.sub(r"^\t+", "", other.content, flags=re.MULTILINE) if one.chomp else other.content
            assert (one.name, one.content, one.fd) == (other.name, content, other.file_descriptor)


@pytest.mark.parametrize("name", WRITTEN)
def test_written(name: str) -> None:
    compare(WRITTEN[name])


@pytest.mark.parametrize("number", range(len(GENERATED)))
def test_generated(number: int) -> None:
    compare(GENERATED[number])


@pytest.mark.parametrize("name", BROKEN)
def test_broken_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        ours(BROKEN[name])
    assert caught.value.place.startswith("Dockerfile")
    assert caught.value.remedy
