"""The spread of the matrix: every tool and most architectures once, on real projects (all: `make test-matrix`)."""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import lacking
from support import ROOT, Xx

sys.path.append(str(Path(__file__).parents[1]))
from matrix.cells import CELLS, Cell
from matrix.run import build, prepare

SPREAD = [cell for cell in CELLS if cell.spread]


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Xx]:
    """`xx` on a store for the cells of one suite and kind. ``bases`` has found that builds run here at all.

    The tools of each are some gigabytes: their store goes before the next one's begins.
    """
    folder = tmp_path_factory.mktemp("matrix")
    try:
        yield prepare(folder, request.param[0])
    except RuntimeError as error:
        lacking(str(error))
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("stage", "cell"), [((cell.suite, cell.kind), cell) for cell in SPREAD], indirect=["stage"], ids=map(str, SPREAD)
)
def test_cell(stage: Xx, cell: Cell) -> None:
    done = build(stage, cell)
    assert done.code == 0, done


def test_the_spread_meets_everything() -> None:
    # But rustup, which fetches two toolchains each time, this machine's own architecture, and those with one project.
    cells = [cell for cell in CELLS if cell.kind != "rustup"]
    for name in ("kind", "suite"):
        assert {getattr(cell, name) for cell in SPREAD} == {getattr(cell, name) for cell in cells}, name
    projects = Counter(cell.platform for cell in cells if cell.kind == "c")
    others = {platform for platform, count in projects.items() if count > 1} - {"linux/amd64"}
    assert {cell.platform for cell in SPREAD} >= others | {"windows/amd64", "darwin/arm64"}
    for kind in {cell.kind for cell in cells} - {"c"}:
        assert {each.project for each in SPREAD if each.kind == kind} == {
            each.project for each in cells if each.kind == kind
        }, kind
    assert {_tools(cell.project) for cell in SPREAD if cell.kind == "c"} >= {
        (language, system) for language in ("C", "C++") for system in ("plain make", "autotools")
    } | {("C++", "CMake"), ("C++", "Meson")}


def _tools(project: str) -> tuple[str, str]:
    """The language and the build system of a C project, as its script begins by saying."""
    language, system = re.findall(r"^# (C|C\+\+), ([\w ]+)", (ROOT / f"tests/matrix/c/{project}.sh").read_text())[0]
    return language, system
