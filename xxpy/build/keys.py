"""Cache keys: what can change a vertex's result and nothing else, computed before anything runs.

A vertex's digest already covers its operation and its inputs; what it cannot know are the context's contents. So a COPY
from the context takes, in place of that input, a digest of just the files that its sources stand for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xxpy.build.context import Context
from xxpy.build.dockerfile.ignore import has_wildcard
from xxpy.build.graph import CopyAction, Digest, FileOp, Graph, SourceOp, Vertex, digest_of, plain
from xxpy.errors import SourceError

VERSION = 2
"""Raised when the same vertex would come out otherwise than before."""

LOCAL = "local://"


@dataclass(frozen=True)
class Keys:
    """``of`` has the cache key of every vertex; ``selected`` the context's paths that each source of a COPY means."""

    of: Mapping[Digest, Digest]
    selected: Mapping[tuple[Digest, str], tuple[str, ...]]


def compute_keys(graph: Graph, context: Context, path: str) -> Keys:
    """The keys of ``graph``; ``path`` is the Dockerfile's, for errors.

    Raises SourceError: ``copy-source-missing``, and what `Context` raises.
    """
    keys: dict[Digest, Digest] = {}
    selected: dict[tuple[Digest, str], tuple[str, ...]] = {}
    for vertex in graph:
        inputs = [keys.get(given.digest, "") for given in vertex.inputs]
        contents: list[object] = []
        if isinstance(vertex.op, FileOp):
            for action in vertex.op.actions:
                if isinstance(action, CopyAction) and _is_local(graph, vertex, action):
                    chosen = _selected(_folder(graph, context, vertex, action), vertex, action, path)
                    for source, paths in chosen.items():
                        selected[(vertex.digest, source)] = paths
                    folder = _folder(graph, context, vertex, action)
                    contents.append({name: folder.digest(name) for paths in chosen.values() for name in paths})
        keys[vertex.digest] = digest_of(
            [VERSION, type(vertex.op).__name__, plain(vertex.op), inputs, str(vertex.platform or ""), contents]
        )
    context.save()
    return Keys(keys, selected)


def _is_local(graph: Graph, vertex: Vertex, action: CopyAction) -> bool:
    op = graph.vertices[vertex.inputs[action.source].digest].op if vertex.inputs[action.source].digest else None
    return isinstance(op, SourceOp) and op.identifier.startswith(LOCAL)


def _folder(graph: Graph, context: Context, vertex: Vertex, action: CopyAction) -> Context:
    op = graph.vertices[vertex.inputs[action.source].digest].op
    assert isinstance(op, SourceOp)
    return context.at(op.identifier)


def _selected(context: Context, vertex: Vertex, action: CopyAction, path: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    place = f"{path}:{vertex.label.line}"
    for source in action.sources:
        try:
            found[source] = tuple(context.select(source))
        except SourceError as error:
            error.place = error.place or place
            raise
        if not found[source] and not has_wildcard(source):
            raise _missing(context, source, place)
    if not any(found.values()):
        raise _missing(context, " ".join(action.sources), place)
    return found


def _missing(context: Context, source: str, place: str) -> SourceError:
    name = source.strip("/")
    there = (context.root / name).exists() and not has_wildcard(source)
    return SourceError(
        f"COPY's source {source} is not in the context {context.root}",
        remedy=".dockerignore leaves it out" if there else "a source is named from the context's root",
        reason="copy-source-missing",
        place=place,
    )
