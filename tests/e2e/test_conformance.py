"""Every case of the conformance set comes out as BuildKit made it, but for those that differ on purpose."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))
from conformance.cases import DIFFERENT, Case, answers, cases
from conformance.run import Bench, differences

ANSWERS = answers()


@pytest.fixture(scope="module")
def bench(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """``bases`` has found that builds run here, and that busybox is there for both platforms."""
    folder = tmp_path_factory.mktemp("conformance")
    yield Bench(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_case(bench: Bench, case: Case) -> None:
    made, words = bench.ours(case)
    found = differences(made, ANSWERS[case.name])
    if case.name in DIFFERENT:
        assert found, "it no longer differs: take it out of DIFFERENT"
    else:
        assert not found, f"{found}\n{words[-2000:]}"
