"""Cache keys: what can change a vertex's result and nothing else, computed before anything runs.

A vertex's digest already covers its operation and its inputs; what it cannot know are the context's contents. So a COPY
from the context takes, in place of that input, a digest of just the files that its sources stand for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from xxpy.build.context import Context
from xxpy.build.dockerfile.ignore import has_wildcard
from xxpy.build.graph import CopyAction, Digest, FileOp, Graph, SourceOp, Vertex, digest_of, plain
from xxpy.build.selection import clean
from xxpy.errors import SourceError

VERSION = 3
"""Raised when the same vertex would come out otherwise than before."""

LOCAL = "local://"


@dataclass(frozen=True)
class Keys:
    """``of`` has the cache key of every vertex."""

    of: Mapping[Digest, Digest]


def compute_keys(graph: Graph, context: Context, path: str, contents: Mapping[Digest, Digest] | None = None) -> Keys:
    """The keys of ``graph``; ``path`` is the Dockerfile's, for errors.

    ``contents`` says of source vertices what they are: the key of such a one, wherever it was fetched from. Raises
    SourceError: ``copy-source-missing``, and what `Context` raises.
    """
    keys: dict[Digest, Digest] = dict(contents or {})
    for vertex in graph:
        if vertex.digest in keys:
            continue
        inputs = [keys.get(given.digest, "") for given in vertex.inputs]
        copied: list[object] = []
        if isinstance(vertex.op, FileOp):
            for action in vertex.op.actions:
                if isinstance(action, CopyAction) and _is_local(graph, vertex, action):
                    place = f"{path}:{vertex.label.line}"
                    folder = _folder(graph, context, vertex, action)
                    copied.append([_copied(folder, action, source, place) for source in action.sources])
        keys[vertex.digest] = digest_of(
            [VERSION, type(vertex.op).__name__, plain(vertex.op), inputs, str(vertex.platform or ""), copied]
        )
    context.save()
    return Keys(keys)


def _is_local(graph: Graph, vertex: Vertex, action: CopyAction) -> bool:
    op = graph.vertices[vertex.inputs[action.source].digest].op if vertex.inputs[action.source].digest else None
    return isinstance(op, SourceOp) and op.identifier.startswith(LOCAL)


def _folder(graph: Graph, context: Context, vertex: Vertex, action: CopyAction) -> Context:
    op = graph.vertices[vertex.inputs[action.source].digest].op
    assert isinstance(op, SourceOp)
    return context.at(op.identifier)


def _copied(context: Context, action: CopyAction, source: str, place: str) -> Digest:
    try:
        return context.copied(action, source)
    except SourceError as error:
        if error.reason == "copy-source-missing":
            raise _missing(context, source, place) from None
        error.place = error.place or place
        raise


def _missing(context: Context, source: str, place: str) -> SourceError:
    there = os.path.lexists(context.root / clean(source)) and not has_wildcard(source)
    return SourceError(
        f"the source {source} is not in the context {context.root}",
        remedy=".dockerignore leaves it out" if there else "a source is named from the context's root",
        reason="copy-source-missing",
        place=place,
    )
