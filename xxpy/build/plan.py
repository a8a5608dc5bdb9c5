"""Plan: the Graph plus, for each vertex, where it runs and why. Emulation is decided here, before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from xxpy.build.graph import Digest, ExecOp, FileOp, Graph, SourceOp, Vertex, line_of, reachable
from xxpy.build.twins.small import small_exec
from xxpy.errors import DockerfileError, HostError
from xxpy.platforms import Platform, qemu_arch, runs_natively


class How(Enum):
    """Where a vertex runs: on the machine's own processor, under an Emulator, or without starting any program."""

    NATIVE = "native"
    EMULATED = "emulated"
    NONE = "not run"


class Accelerate(Enum):
    """Whether emulated steps may start twins (`xxpy.build.twins`), or are run without them too and compared."""

    AUTO = "auto"
    OFF = "off"
    VERIFY = "verify"


class Emulation(Enum):
    """What of a plan may be emulated: all that has to be, the final stage alone, or nothing."""

    AUTO = "auto"
    FINAL = "final"
    NEVER = "never"


@dataclass(frozen=True)
class Step:
    """One planned vertex: how, a short why, and the target platforms whose images take from it.

    No target takes from a step that only others' twins are made by.
    """

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
        if graph.twins and how is How.EMULATED:
            without = "too small for twins" if small_exec(vertex) else "without twins"
            why = f"{why}; {'with twins' if vertex.digest in graph.twins else without}"
        if how is How.EMULATED:
            assert vertex.platform is not None
            emulated.add(_emulator(vertex))
        steps[vertex.digest] = Step(vertex, how, why, serves[vertex.digest])
    return Plan(graph, host, steps, tuple(sorted(emulated)))


def _targets(graph: Graph) -> dict[Digest, tuple[Platform, ...]]:
    serves: dict[Digest, tuple[Platform, ...]] = {vertex.digest: () for vertex in graph}
    for result in graph.results:
        for digest in reachable(graph.vertices, [result.root]):
            serves[digest] = (*serves[digest], result.platform)
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


def final_steps(graph: Graph) -> frozenset[Digest]:
    """The vertices of the final stage and of the stages that it is FROM, for all platforms."""
    return frozenset(digest for result in graph.results for digest in line_of(graph.vertices, result.root))


def base_of(graph: Graph, digest: Digest) -> Vertex:
    """The lowest vertex of the line of ``digest``."""
    *_, lowest = line_of(graph.vertices, digest)
    return graph.vertices[lowest]


def ancestor_of(graph: Graph, digest: Digest) -> str:
    """The stage whose FROM names the image that the stage of ``digest`` comes from: itself, or one that it is FROM."""
    own = [each for each in line_of(graph.vertices, digest) if not isinstance(graph.vertices[each].op, SourceOp)]
    return graph.vertices[own[-1]].label.stage


def check_emulation(plan: Plan, allowed: Emulation, path: str) -> None:
    """Refuse a plan that emulates more than is ``allowed``; ``path`` is the Dockerfile's, for the place.

    What is asked is what the Dockerfile says: a step that a cache would answer counts. Raises DockerfileError
    (``emulation``).
    """
    if allowed is Emulation.AUTO:
        return
    spared = final_steps(plan.graph) if allowed is Emulation.FINAL else frozenset()
    found = [
        step
        for digest, step in plan.steps.items()
        if step.how is How.EMULATED and digest not in spared and step.targets
    ]
    if not found:
        return
    step = found[0]
    label, platform = step.vertex.label, step.vertex.platform
    more = f", and so would {len(found) - 1} more" if len(found) > 1 else ""
    where = "" if allowed is Emulation.NEVER else " outside the final stage"
    stage = ancestor_of(plan.graph, step.vertex.digest)
    native = f"begin the stage {stage} with FROM --platform=$BUILDPLATFORM and cross-compile with the xx-* commands"
    if allowed is Emulation.NEVER and step.vertex.digest in final_steps(plan.graph):
        native = "do it in a stage FROM --platform=$BUILDPLATFORM and COPY --from it what it makes"
    raise DockerfileError(
        f"this RUN{where} would be emulated for {platform} on this {plan.host} machine{more}; "
        f"--emulation={allowed.value} forbids it",
        remedy=f"{native}; or allow it with --emulation=auto",
        reason="emulation",
        place=f"{path}:{label.line}" if label.line else path,
    )
