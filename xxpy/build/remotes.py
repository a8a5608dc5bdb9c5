"""What sources outside are at this moment: found before keys are computed, so that a key covers their content.

A file without ``--checksum`` is fetched (or asked for) at each build, a branch or a tag is looked up. What a checksum
or a whole commit pins is known without asking, and fetched by the engine only if a step needs it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.credentials import DEFAULT_AGENT, Credentials
from xxpy.build.dockerfile.remote import GIT, HTTP
from xxpy.build.events import Listener, StepDone, StepStarted
from xxpy.build.fetch import Fetched, Fetcher, put_fetched
from xxpy.build.git import Git, Ref
from xxpy.build.graph import Digest, Graph, SourceOp, Vertex, digest_of
from xxpy.build.hostca import HostCa
from xxpy.build.store import Store
from xxpy.errors import XxError


@dataclass(frozen=True)
class Remote:
    """One source vertex: ``key`` is its cache key; of the others the one of its kind is set if it is known already.

    What has ``fetched`` has had its events: for the engine only the store is left to copy from.
    """

    key: Digest
    fetched: Fetched | None = None
    ref: Ref | None = None


def is_remote(op: object) -> bool:
    """Whether a vertex's operation is a source that is fetched."""
    return isinstance(op, SourceOp) and op.identifier.startswith((*HTTP, GIT))


class Remotes:
    """Finds and gets the remote sources of one build; repositories by ssh with the agent ``default`` of ``--ssh``."""

    def __init__(self, store: Store, host_ca: HostCa, credentials: Credentials) -> None:
        self._store = store
        self._fetcher = Fetcher(store, host_ca)
        self._git = Git(host_ca, credentials.agents.get(DEFAULT_AGENT))

    def find(self, graph: Graph, path: str, listener: Listener) -> dict[Digest, Remote]:
        """Every remote source of ``graph``; ``path`` is the Dockerfile's, for errors. Raises as `Fetcher` and `Git`."""
        found: dict[Digest, Remote] = {}
        for vertex in graph:
            if is_remote(vertex.op):
                try:
                    found[vertex.digest] = self._find(vertex, listener)
                except XxError as error:
                    error.place = error.place or f"{path}:{vertex.label.line}"
                    raise
        return found

    def _find(self, vertex: Vertex, listener: Listener) -> Remote:
        assert isinstance(vertex.op, SourceOp)
        op, attrs = vertex.op, dict(vertex.op.attrs)
        checksum = attrs.get("http.checksum", "")
        ref = op.identifier.partition("#")[2]
        if checksum:
            return Remote(digest_of(["http", attrs["http.filename"], checksum]))
        if op.identifier.startswith(GIT):
            named = self._git.resolve(attrs["git.fullurl"], ref, attrs.get("git.checksum", ""))
            kept = attrs["git.fullurl"] if "git.keepgitdir" in attrs else ""
            key = digest_of(["git", named.commit, kept, kept and named.name, "git.skipsubmodules" in attrs])
            return Remote(key, ref=named)
        began = time.monotonic()
        listener(StepStarted(vertex.digest, began))
        fetched = self._fetcher.fetch(op.identifier)
        listener(StepDone(vertex.digest, time.monotonic(), time.monotonic() - began, cached=False))
        return Remote(digest_of(["http", attrs["http.filename"], fetched.digest, fetched.mtime]), fetched=fetched)

    def fill(self, op: SourceOp, remote: Remote, folder: Path) -> None:
        """Put what a source is into an empty folder: a file of mode 0600, or a commit's tree. Raises as `find` does."""
        attrs = dict(op.attrs)
        if remote.ref is not None:
            keep, submodules = "git.keepgitdir" in attrs, "git.skipsubmodules" not in attrs
            self._git.checkout(attrs["git.fullurl"], remote.ref, folder, keep=keep, submodules=submodules)
            return
        fetched = remote.fetched or self._fetcher.fetch(op.identifier, attrs.get("http.checksum", ""))
        put_fetched(self._store, fetched, folder / attrs["http.filename"])
