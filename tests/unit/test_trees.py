"""The files of roots in an archive, and where those of several platforms go. Reading them is tests/e2e's."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xxpy.build.engine.roots import Piece
from xxpy.build.outputs import Output
from xxpy.build.trees import export_trees, folder_name
from xxpy.errors import UsageError
from xxpy.platforms import Platform

PLATFORMS = [Platform.parse(text) for text in ("linux/amd64", "linux/arm/v7")]


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> list[Piece]:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, len(content)
    return [made, *([content] if content else [])]


class Roots:
    """Stands for `read_roots`: gives these pieces."""

    def __init__(self, *roots: list[Piece]) -> None:
        self._roots = roots

    def __call__(self, take: Callable[[Piece], None]) -> None:
        for number, pieces in enumerate(self._roots):
            for piece in [number, *pieces]:
                take(piece)


def exported(tmp_path: Path, split: bool | None, *roots: list[Piece]) -> list[str]:
    output = Output("tar", str(tmp_path / "out.tar"), split=split)
    export_trees(Roots(*roots), PLATFORMS[: len(roots)], output, lambda _text: None)
    with tarfile.open(tmp_path / "out.tar") as tar:
        return [f"{one.name} -> {one.linkname}" if one.linkname else one.name for one in tar]


FILES = [
    *entry("d", kind=tarfile.DIRTYPE), *entry("d/f", b"1"), *entry("h", kind=tarfile.LNKTYPE, link="d/f"),
    *entry("s", kind=tarfile.SYMTYPE, link="d/f"),
]  # fmt: skip


def test_a_folder_for_each_platform(tmp_path: Path) -> None:
    assert exported(tmp_path, None, FILES) == ["d", "d/f", "h -> d/f", "s -> d/f"]
    assert exported(tmp_path, None, FILES, []) == [
        "linux_amd64", "linux_amd64/d", "linux_amd64/d/f", "linux_amd64/h -> linux_amd64/d/f", "linux_amd64/s -> d/f",
        "linux_arm_v7",
    ]  # fmt: skip
    assert exported(tmp_path, True, []) == ["linux_amd64"]
    assert folder_name(PLATFORMS[1]) == "linux_arm_v7"


def test_all_in_one_folder(tmp_path: Path) -> None:
    other = [*entry("d", kind=tarfile.DIRTYPE), *entry("d/g", b"2")]
    assert exported(tmp_path, False, FILES, other) == ["d", "d/f", "h -> d/f", "s -> d/f", "d/g"]


@pytest.mark.parametrize("other", [entry("d/f", b"2"), entry("d", b"2"), entry("s", kind=tarfile.DIRTYPE)])
def test_two_files_of_a_name(tmp_path: Path, other: list[Piece]) -> None:
    with pytest.raises(UsageError) as caught:
        exported(tmp_path, False, FILES, other)
    assert caught.value.reason == "platforms-overlap" and "linux/arm/v7" in caught.value.message
    assert list(tmp_path.iterdir()) == []
