"""Cache keys: what can change a vertex's result and nothing else, computed before anything runs.

A vertex's digest already covers its operation and its inputs; what it cannot know are the context's contents. So a COPY
from the context takes, in place of that input, a digest of just the files that its sources stand for; a RUN, of those
that it mounts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xxpy.build.context import Context
from xxpy.build.dockerfile.ignore import has_wildcard
from xxpy.build.graph import CopyAction, Digest, ExecOp, FileOp, Graph, Mount, SourceOp, Vertex, digest_of, plain
from xxpy.build.selection import clean
from xxpy.errors import SourceError

VERSION = 4
"""Raised when the same vertex would come out otherwise than before."""

TWINS = "twins 1"
"""What sets apart a result that was made with twins; raised when the same step would come out otherwise than before."""

LOCAL = "local://"


@dataclass(frozen=True)
class Keys:
    """``of`` has the cache key of every vertex; ``twinned`` that of what is, or is made from, a result with twins.

    The two are equal where no emulated step with twins comes before.
    """

    of: Mapping[Digest, Digest]
    twinned: Mapping[Digest, Digest] = field(default_factory=dict)

    def among(self, vertex: Digest, *, twinned: bool) -> tuple[Digest, ...]:
        """The keys whose records serve for ``vertex``, the best first; with ``twinned``, those with twins too."""
        own = self.of[vertex]
        other = self.twinned.get(vertex, own)
        return (own, other) if twinned and other != own else (own,)


def compute_keys(graph: Graph, context: Context, path: str, contents: Mapping[Digest, Digest] | None = None) -> Keys:
    """The keys of ``graph``; ``path`` is the Dockerfile's, for errors.

    ``contents`` says of source vertices what they are: the key of such a one, wherever it was fetched from. Raises
    SourceError: ``copy-source-missing``, ``mount-source-missing``, and what `Context` raises.
    """
    keys: dict[Digest, Digest] = dict(contents or {})
    twinned = dict(keys)
    for vertex in graph:
        if vertex.digest in keys:
            continue
        copied: list[object] = []
        if isinstance(vertex.op, FileOp):
            for action in vertex.op.actions:
                if isinstance(action, CopyAction) and (folder := _folder(graph, context, vertex, action.source)):
                    place = f"{path}:{vertex.label.line}"
                    copied.append([_copied(folder, action, source, place) for source in action.sources])
        if isinstance(vertex.op, ExecOp):
            for mount in vertex.op.mounts:
                if mount.input > 0 and (folder := _folder(graph, context, vertex, mount.input)):
                    copied.append(folder.digest(_mounted(folder, vertex, mount, path)))
        what: list[object] = [VERSION, type(vertex.op).__name__, plain(vertex.op)]
        where = [str(vertex.platform or ""), copied]
        inputs, others = ([known.get(given.digest, "") for given in vertex.inputs] for known in (keys, twinned))
        keys[vertex.digest] = digest_of([*what, inputs, *where])
        mark = [TWINS] if vertex.digest in graph.twins else []
        twinned[vertex.digest] = (
            digest_of([*what, others, *where, *mark]) if mark or others != inputs else keys[vertex.digest]
        )
    context.save()
    return Keys(keys, twinned)


def _folder(graph: Graph, context: Context, vertex: Vertex, index: int) -> Context | None:
    """The folder of the user's that an input is; None for another kind."""
    op = graph.vertices[vertex.inputs[index].digest].op if vertex.inputs[index].digest else None
    return context.at(op.identifier) if isinstance(op, SourceOp) and op.identifier.startswith(LOCAL) else None


def _copied(context: Context, action: CopyAction, source: str, place: str) -> Digest:
    try:
        return context.copied(action, source)
    except SourceError as error:
        if error.reason == "copy-source-missing":
            raise _missing(context, source, place) from None
        error.place = error.place or place
        raise


def _mounted(context: Context, vertex: Vertex, mount: Mount, path: str) -> str:
    place = f"{path}:{vertex.label.line}"
    try:
        real = context.resolve(clean(mount.selector))
    except SourceError as error:
        error.place = error.place or place
        raise
    if real is None:
        raise SourceError(
            f"the source {mount.selector} of a mount is not in the context {context.root}",
            remedy="name it from the context's root; what .dockerignore leaves out is not there",
            reason="mount-source-missing",
            place=place,
        )
    return real


def _why_missing(path: Path) -> str:
    lost = path.is_symlink() and not path.exists()
    return (
        "it is a link that leads to nothing" if lost else ".dockerignore leaves it out, or it leads out of the context"
    )


def _missing(context: Context, source: str, place: str) -> SourceError:
    path = context.root / clean(source)
    there = os.path.lexists(path) and not has_wildcard(source)
    return SourceError(
        f"the source {source} is not in the context {context.root}",
        remedy=_why_missing(path) if there else "a source is named from the context's root",
        reason="copy-source-missing",
        place=place,
    )
