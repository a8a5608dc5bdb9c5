"""``--no-cache-filter``: what runs again although the cache knows it."""

from __future__ import annotations

from collections.abc import Sequence

from xxpy.build.dockerfile.front import stage_label
from xxpy.build.dockerfile.instructions import Dockerfile
from xxpy.build.graph import Digest, Graph
from xxpy.errors import UsageError


def check_stages(file: Dockerfile, names: Sequence[str]) -> None:
    """Refuse a name that no stage of ``file`` has. Raises UsageError (``stage-unknown``)."""
    known = [stage_label(stage) for stage in file.stages]
    for name in names:
        if name.lower() not in known:
            raise UsageError(
                f"--no-cache-filter: there is no stage {name!r} in {file.path}",
                remedy=f"its stages are: {', '.join(known)}",
                reason="stage-unknown",
            )


def vertices_anew(graph: Graph, stages: Sequence[str]) -> frozenset[Digest]:
    """The vertices of ``stages``, and all that takes from them: what was made of an old result is old too."""
    wanted = {name.lower() for name in stages}
    found: set[Digest] = set()
    for vertex in graph:
        if vertex.label.stage in wanted or any(given.digest in found for given in vertex.inputs):
            found.add(vertex.digest)
    return frozenset(found)
