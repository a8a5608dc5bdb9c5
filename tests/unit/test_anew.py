"""``--no-cache-filter``: which steps it means."""

from __future__ import annotations

import pytest
from fakeplan import fake_plan

from xxpy.build.anew import check_stages, vertices_anew
from xxpy.build.dockerfile.parse import parse
from xxpy.errors import UsageError


def test_a_stage_and_all_that_takes_from_it() -> None:
    graph = fake_plan().graph
    assert vertices_anew(graph, []) == frozenset()
    build = vertices_anew(graph, ["BUILD"])
    named = {vertex.digest for vertex in graph if vertex.label.stage == "build"}
    assert named < build and all(result.root in build for result in graph.results)
    last = next(vertex.label.stage for vertex in graph if vertex.label.stage != "build")
    assert not vertices_anew(graph, [last]) & named


def test_a_stage_that_is_not_there() -> None:
    file = parse("FROM a AS one\nFROM one\n", "Dockerfile")
    check_stages(file, ["ONE", "stage-1"])
    with pytest.raises(UsageError) as caught:
        check_stages(file, ["two"])
    assert caught.value.reason == "stage-unknown" and "one, stage-1" in caught.value.remedy
