"""Plan: the Graph plus, for each vertex, where it runs and why. Emulation is decided here, before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from xxpy.build.graph import Digest, ExecOp, FileOp, Graph, SourceOp, Vertex
from xxpy.errors import HostError
from xxpy.platforms import Platform, qemu_arch, runs_natively


class How(Enum):
    """Where a vertex runs: on the machine's own processor, under an Emulator, or without starting any program."""

    NATIVE = "native"
    EMULATED = "emulated"
    NONE = "not run"


@dataclass(frozen=True)
class Step:
    """One planned vertex: how, a short why, and the target platforms whose images take from it."""

    vertex: Vertex
    how: How
    why: str
    targets: tuple[Platform, ...]


@dataclass(frozen=True)
class Plan:
    """What both engines take. ``steps`` has every vertex of the graph, inputs first.

    ``emulated`` are the QEMU architecture names (``aarch64``) that some step needs.
    """

    graph: Graph
    host: Platform
    steps: Mapping[Digest, Step]
    emulated: tuple[str, ...]


def make_plan(graph: Graph, host: Platform) -> Plan:
    """Decide every vertex of ``graph`` for a machine of platform ``host``.

    Raises HostError (``emulator-unknown``) when a step's platform is one that QEMU user mode does not run.
    """
    serves = _targets(graph)
    steps: dict[Digest, Step] = {}
    emulated: set[str] = set()
    for vertex in graph:
        how, why = _decide(vertex, host, serves[vertex.digest], graph)
        if how is How.EMULATED:
            assert vertex.platform is not None
            emulated.add(_emulator(vertex))
        steps[vertex.digest] = Step(vertex, how, why, serves[vertex.digest])
    return Plan(graph, host, steps, tuple(sorted(emulated)))


def _targets(graph: Graph) -> dict[Digest, tuple[Platform, ...]]:
    serves: dict[Digest, tuple[Platform, ...]] = {vertex.digest: () for vertex in graph}
    for result in graph.results:
        todo, seen = [result.root], {""}
        while todo:
            digest = todo.pop()
            if digest in seen:
                continue
            seen.add(digest)
            serves[digest] = (*serves[digest], result.platform)
            todo += [given.digest for given in graph.vertices[digest].inputs]
    return serves


def _decide(vertex: Vertex, host: Platform, serves: tuple[Platform, ...], graph: Graph) -> tuple[How, str]:
    shared = len(graph.results) > 1 and len(serves) == len(graph.results)
    suffix = "; once for all platforms" if shared else ""
    if isinstance(vertex.op, SourceOp):
        return How.NONE, f"{_source_kind(vertex.op)}: files only{suffix}"
    if isinstance(vertex.op, FileOp):
        return How.NONE, f"COPY, ADD and WORKDIR only move files{suffix}"
    if isinstance(vertex.op, ExecOp) and vertex.platform is not None:
        if vertex.platform == host:
            return How.NATIVE, f"its stage is on {host}, this machine's own platform{suffix}"
        if runs_natively(vertex.platform, host):
            return How.NATIVE, f"{host} runs {vertex.platform} programs itself{suffix}"
        return How.EMULATED, f"its stage is on {vertex.platform}, this machine is {host}{suffix}"
    return How.NONE, f"no program to run{suffix}"


def _source_kind(op: SourceOp) -> str:
    kinds = {"local": "the build context", "docker-image": "a base image", "git": "a repository"}
    return kinds.get(op.identifier.partition("://")[0], "a file from outside")


def _emulator(vertex: Vertex) -> str:
    assert vertex.platform is not None
    if vertex.platform.os != "linux":
        raise HostError(
            f"no emulator runs {vertex.platform} programs",
            remedy="put the stage on BUILDPLATFORM (FROM --platform=$BUILDPLATFORM) or leave that platform out",
            reason="emulator-unknown",
            place=f"line {vertex.label.line}" if vertex.label.line else "",
        )
    return qemu_arch(vertex.platform)
