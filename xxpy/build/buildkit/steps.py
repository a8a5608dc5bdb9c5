"""Which step of our Plan a vertex of BuildKit is.

BuildKit names the vertices of a Dockerfile ``[linux/amd64->arm64 build 3/5] RUN make``: platforms only where several
are built, the stage's name where it has one or there are several stages, a number that counts FROM only where its image
does not come by a named context, and the instruction with its variables expanded (moby/buildkit,
frontend/dockerfile/dockerfile2llb/convert.go, prefixCommand). So it is sought by its stage, its instruction's text, its
number, and its platform, in that order.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace

from xxpy.build.buildkit.rewrite import MOUNTS
from xxpy.build.dockerfile.front import stage_label
from xxpy.build.dockerfile.instructions import Dockerfile
from xxpy.build.events import StepAdded
from xxpy.build.graph import Digest, ExecOp, Graph, Label, Op, SourceOp, Vertex
from xxpy.build.naming import StepName, one_line
from xxpy.build.plan import How, Plan, Step
from xxpy.errors import PlatformError
from xxpy.platforms import Platform, runs_natively

_NAME = re.compile(
    r"\[(?:(?P<own>[a-z]+/[a-z0-9/]+)(?:->(?P<target>[a-z0-9/]+))? )?(?:(?P<stage>[^\]\s]+) +)?"
    r"(?P<position>[0-9]{1,6})/(?P<total>[0-9]{1,6})\] (?P<text>.*)",
    re.DOTALL,
)
_COUNTED = ("ADD", "COPY", "RUN", "WORKDIR")
_COMPARED = 200
"""Characters of an instruction that are compared."""


@dataclass(frozen=True)
class Named:
    """The name of a vertex, taken apart. The platforms are None and the stage is empty where they are not told."""

    own: Platform | None
    target: Platform | None
    stage: str
    position: int
    total: int
    text: str

    @property
    def word(self) -> str:
        """The instruction's own name."""
        return self.text.partition(" ")[0].upper()


def parse_name(name: str) -> Named | None:
    """Read a vertex's name; None for one that is no instruction of the Dockerfile."""
    match = _NAME.fullmatch(name[:20_000])
    if match is None:
        return None
    own = _platform(match["own"] or "")
    target = _platform(match["target"] or "", own) or own
    text = match["text"].removeprefix("LINK ").replace(f"{MOUNTS} ", "", 1)
    return Named(own, target, match["stage"] or "", int(match["position"]), int(match["total"]), text)


def _platform(text: str, beside: Platform | None = None) -> Platform | None:
    """BuildKit leaves the system out behind ``->`` where it is the same."""
    for each in ([f"{beside.os}/{text}"] if beside and text else []) + [text]:
        try:
            return Platform.parse(each)
        except PlatformError:
            continue
    return None


class Steps:
    """Finds steps, and makes those that the plan lacks. ``file`` is None where it is not in our language."""

    def __init__(self, plan: Plan, file: Dockerfile | None) -> None:
        self._plan = plan
        self._file = file
        self._free = [digest for digest, step in plan.steps.items() if not isinstance(step.vertex.op, SourceOp)]
        self._known: dict[str, Digest] = {}
        self._added: dict[Digest, Step] = {}

    def find(self, digest: str, name: str) -> tuple[Digest, StepAdded | None] | None:
        """The step of a vertex, with an event if it is a new one; None if the vertex is no instruction."""
        if digest in self._known:
            return self._known[digest], None
        named = parse_name(name)
        if named is None:
            return None
        line = self._line(named)
        planned = self._planned(named, line) if line else None
        if planned is not None:
            self._free.remove(planned)
            self._known[digest] = planned
            return planned, None
        step = self._make(digest, named, line)
        self._known[digest] = step.vertex.digest
        self._added[step.vertex.digest] = step
        number = len(self._plan.steps) + len(self._added)
        platform = " ".join(name.partition("]")[0].lstrip("[").split()[:1]) if named.own else ""
        shown = StepName(number, platform, named.stage, named.position, named.total, one_line(named.text))
        return step.vertex.digest, StepAdded(step.vertex.digest, shown, line, step.how)

    def plan(self) -> Plan:
        """The plan with the steps that were added."""
        vertices = {digest: step.vertex for digest, step in self._added.items()}
        graph = Graph({**self._plan.graph.vertices, **vertices}, self._plan.graph.results, self._plan.graph.twins)
        return replace(self._plan, graph=graph, steps={**self._plan.steps, **self._added})

    def vertex(self, step: Digest) -> Vertex:
        """The vertex of a step that was found."""
        return (self._added.get(step) or self._plan.steps[step]).vertex

    def _line(self, named: Named) -> int:
        stages = self._file.stages if self._file else ()
        stage = next((each for each in stages if stage_label(each) == (named.stage or "stage-0")), None)
        if stage is None:
            return 0
        if named.word == "FROM":
            return stage.source.range.start
        counted = [each for each in stage.instructions if each.name in _COUNTED]
        own = named.position - 1
        if named.total == len(counted) and own < len(counted) and counted[own].name == named.word:
            # FROM is a stage, which does not count.
            return counted[own].range.start
        wanted = one_line(named.text)[:_COMPARED]

        def likeness(number: int) -> float:
            text = one_line(counted[number].original)[:_COMPARED]
            same = 1.0 if text == wanted else difflib.SequenceMatcher(None, text, wanted, autojunk=False).ratio()
            # Of two that are alike the number tells which.
            return same + (0.2 if number in (own, own - 1) else 0.0)

        alike = [number for number, each in enumerate(counted) if each.name == named.word]
        return counted[max(alike, key=likeness)].range.start if alike else 0

    def _planned(self, named: Named, line: int) -> Digest | None:
        label = named.stage or "stage-0"
        for digest in self._free:
            step = self._plan.steps[digest]
            vertex = step.vertex
            if vertex.label.line != line or vertex.label.stage != label:
                continue
            if named.target is not None and named.target not in step.targets:
                continue
            if named.own is None or vertex.platform is None or vertex.platform == named.own:
                return digest
        return None

    def _make(self, digest: str, named: Named, line: int) -> Step:
        results = self._plan.graph.results
        target = named.target or (results[0].platform if len(results) == 1 else None)
        own = named.own or target or self._plan.host
        # With BuildKit's own digest in it, two steps of one text are two vertices.
        op: Op = SourceOp(f"buildkit://{digest}")
        how = How.NONE
        if named.word == "RUN":
            op = ExecOp(("/bin/sh", "-c", named.text.partition(" ")[2]), (f"BUILDKIT_VERTEX={digest}",), "/")
            how = How.NATIVE if runs_natively(own, self._plan.host) else How.EMULATED
        stage = named.stage or "stage-0"
        vertex = Vertex(op, (), own if how is not How.NONE else None, Label(named.text, stage, line, line))
        return Step(vertex, how, "as BuildKit tells", (target,) if target else ())
