"""From a parsed Dockerfile to a Graph: one pass over the stages that the target needs, for each target platform.

Nothing is read here but what `Images` answers, and nothing is run. A vertex that comes out the same for two platforms
is one vertex, because vertices are addressed by digest: sharing needs no further rule.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from xxpy.build.dockerfile.bases import BaseImage, Images
from xxpy.build.dockerfile.instructions import Dockerfile, Instruction, Stage
from xxpy.build.dockerfile.made import Made
from xxpy.build.dockerfile.onbuild import read_triggers
from xxpy.build.dockerfile.scope import Scope, global_scope, platform_variables
from xxpy.build.dockerfile.stage import StageMaker
from xxpy.build.graph import (
    SCRATCH,
    CopyAction,
    Digest,
    ExecOp,
    FileOp,
    Graph,
    HistoryEntry,
    Input,
    Label,
    Result,
    SourceOp,
    Vertex,
    line_of,
    reachable,
)
from xxpy.build.names import normalize_name, short_name
from xxpy.build.runsettings import RunSettings
from xxpy.build.twins.small import small_exec
from xxpy.errors import DockerfileError, SourceError, UsageError, XxError
from xxpy.platforms import Platform, runs_natively

IMAGE = "docker-image://"
LOCAL = "local://"
_FROM_REMEDY = "FROM takes a stage above it, scratch, or an image"


@dataclass(frozen=True)
class Request:
    """What is built: the target platforms, the machine's own, ``--build-arg`` values, and the last stage (or its name).

    ``labels`` are added to the image's. ``run`` is for every RUN. ``contexts`` are the named contexts, by short image
    name, with ``::`` and a platform where one is for that alone: ``local://NAME``, ``docker-image://NAME`` or what
    `Images` takes besides. ``twins`` asks for `Graph.twins`.
    """

    targets: tuple[Platform, ...]
    host: Platform
    build_args: Mapping[str, str] = field(default_factory=dict)
    target_stage: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    run: RunSettings = field(default_factory=RunSettings)
    contexts: Mapping[str, str] = field(default_factory=dict)
    twins: bool = False


def make_graph(file: Dockerfile, request: Request, images: Images) -> Graph:
    """The Graph of ``file``.

    Raises DockerfileError and UnsupportedError with the line; SourceError for an image that is not there.
    """
    last = target_stage(file, request.target_stage)
    vertices: dict[Digest, Vertex] = {}
    results, makers = [], []
    for target in request.targets:
        makers.append(_Target(file, request, target, images, vertices))
        made = makers[-1].stage(last.index)
        for name, value in request.labels.items():
            made.labels[name] = value
        results.append(Result(target, made.root, made.config(), tuple(made.history), made.from_line))
    if not request.twins:
        return Graph(vertices, tuple(results))
    twins = _twins(makers, request.host)
    # Of a twin that could not be made whole, nobody takes.
    taken = reachable(vertices, [*(result.root for result in results), *twins.values()])
    return Graph({digest: vertex for digest, vertex in vertices.items() if digest in taken}, tuple(results), twins)


def _twins(makers: Sequence[_Target], host: Platform) -> dict[Digest, Digest]:
    """The twins of the execs in all stages that were made for another platform than ``host``."""
    native = makers[0].for_target(host)
    found: dict[Digest, Digest] = {}
    for maker in makers:
        for index, platform in maker.made:
            if not runs_natively(platform, host):
                found |= maker.twins(index, platform, native)
    return found


def target_stage(file: Dockerfile, wanted: str) -> Stage:
    """The stage that ``--target`` names, the last for empty text. Raises DockerfileError (``stage-unknown``)."""
    if not wanted:
        return file.stages[-1]
    found = find_stage(file.stages, wanted)
    if found is None:
        names = ", ".join(stage.name or str(stage.index) for stage in file.stages)
        raise DockerfileError(
            f"there is no stage {wanted!r} for --target",
            remedy=f"its stages are: {names}",
            reason="stage-unknown",
            place=file.path,
        )
    return found


def find_stage(stages: tuple[Stage, ...], name: str) -> Stage | None:
    """The last stage of that name (in any case), or of that number."""
    for stage in reversed(stages):
        if stage.name and stage.name == name.lower():
            return stage
    if name.isascii() and name.isdigit() and int(name) < len(stages):
        return stages[int(name)]
    return None


class _Target:
    """The stages made for one target platform, each when it is first needed."""

    def __init__(
        self, file: Dockerfile, request: Request, target: Platform, images: Images, vertices: dict[Digest, Vertex]
    ) -> None:
        self._file = file
        self._request = request
        self._target = target
        self._images = images
        self._vertices = vertices
        self._automatic = platform_variables(target, request.host) | {
            "TARGETSTAGE": request.target_stage or file.stages[-1].name or "default"
        }
        self._globals = global_scope(
            file.meta_args, self._automatic, request.build_args, file.path, file.directives.escape
        )
        self.made: dict[tuple[int, Platform], Made] = {}

    def for_target(self, target: Platform) -> _Target:
        """What makes the same stages for another target."""
        return _Target(self._file, self._request, target, self._images, self._vertices)

    def twins(self, index: int, platform: Platform, native: _Target) -> dict[Digest, Digest]:
        """The execs of a stage that was made and are not small, each with the same one on the platform of ``native``.

        None where that stage cannot be made there (its base may lack the platform), or has other steps there: triggers
        are the base image's.
        """
        try:
            twin = native.stage(index, native._target)
        except XxError:
            return {}
        mine, others = self._execs(self.made[(index, platform)]), self._execs(twin)
        same = [vertex.label.line for vertex in mine] == [vertex.label.line for vertex in others]
        pairs = zip(mine, others, strict=True) if same else ()
        return {one.digest: other.digest for one, other in pairs if not small_exec(one)}

    def _execs(self, made: Made) -> list[Vertex]:
        line = [self._vertices[digest] for digest in line_of(self._vertices, made.root)]
        return [vertex for vertex in line if isinstance(vertex.op, ExecOp)]

    def stage(self, index: int, platform: Platform | None = None) -> Made:
        """A stage on its own platform, or on another that a FROM of it asks for."""
        stage = self._file.stages[index]
        on = platform or self._own_platform(stage)
        if (index, on) not in self.made:
            made, instructions = self._begin(stage, on)
            StageMaker(replace(stage, instructions=instructions), made, self, self._vertices, self._request.run).run()
            self.made[(index, on)] = made
        return self.made[(index, on)]

    def _begin(self, stage: Stage, platform: Platform) -> tuple[Made, tuple[Instruction, ...]]:
        """A stage before its first instruction, and its instructions, after the triggers of its base."""
        replaced = self._named(stage.name, platform) if stage.name else ""
        if replaced:
            return self._from_source(replaced, platform, stage)[0], ()
        name = self._base_name(stage)
        parent = find_named(self._file.stages[: stage.index], name)
        if parent is not None:
            above = self.stage(parent.index, platform)
            made, triggers = above.continued(self._scope()), tuple(above.on_build)
        elif name == "scratch":
            return Made(platform, self._scope(), SCRATCH, from_line=stage.source.range.start), stage.instructions
        else:
            made, triggers = self._from_source(self._named(name, platform) or IMAGE + name, platform, stage)
        with self._globals.placed(stage.source):
            read = read_triggers(triggers, stage.source, self._file.path)
        return made, (*read, *stage.instructions)

    def _base_name(self, stage: Stage) -> str:
        name = self._globals.word(stage.base, stage.source)
        if not name:
            raise self._error(stage, f"the base {stage.base!r} is empty once its variables are replaced")
        return name

    def _scope(self) -> Scope:
        return Scope(
            self._automatic,
            self._request.build_args,
            {key: value for key, value in self._globals.args.items() if key not in self._automatic},
            self._file.path,
            self._file.directives.escape,
        )

    def _named(self, name: str, platform: Platform) -> str:
        """The source that a named context gives in place of ``name``; empty if none does."""
        return find_context(self._request.contexts, name, platform)

    def _from_source(self, identifier: str, platform: Platform, stage: Stage) -> tuple[Made, tuple[str, ...]]:
        """A stage that begins with a source, and the triggers of it."""
        at, label = stage.source, stage_label(stage)
        made = Made(platform, self._scope(), SCRATCH, from_line=at.range.start)
        if identifier.startswith(LOCAL):
            everything = FileOp((CopyAction(1, (".",), "/", "0:0"),))
            inputs = (Input(SCRATCH), Input(self._add_folder(identifier, at, label)))
            made.root = self._keep(Vertex(everything, inputs, None, _label(at.original, at, label)))
            made.history.append(HistoryEntry(at.original, made.root))
            return made, ()
        name = identifier.removeprefix(IMAGE)
        if name == "scratch":
            return made, ()
        try:
            image = self._base(name, platform, at)
        except SourceError as error:
            later = find_named(self._file.stages[stage.index :], name)
            if later is not None and error.reason == "image-missing":
                raise self._later(name, later, at) from None
            raise
        made.start_from(image.config)
        made.root = self._add_image(image, platform, at, label)
        return made, image.config.on_build

    def _base(self, name: str, platform: Platform, at: Instruction) -> BaseImage:
        with self._globals.placed(at):
            return self._images.base(name, platform)

    def _add_image(self, image: BaseImage, platform: Platform, at: Instruction, stage: str) -> Digest:
        label = replace(_label(at.original, at, stage), base=True)
        return self._keep(Vertex(SourceOp(f"{IMAGE}{image.name}@{image.manifest}"), (), platform, label))

    def _add_folder(self, identifier: str, at: Instruction, stage: str) -> Digest:
        label = _label(f"load the context {identifier.removeprefix(LOCAL)}", at, stage)
        return self._keep(Vertex(SourceOp(identifier), (), None, label))

    def _keep(self, vertex: Vertex) -> Digest:
        self._vertices.setdefault(vertex.digest, vertex)
        return vertex.digest

    def copied_from(self, name: str, stage: Stage, at: Instruction) -> Digest:
        """The root that ``--from=name`` in ``stage`` means.

        That is a named context, a stage above, by name or number, or an image.
        """
        named = self._named(name, self._target)
        if named.startswith(LOCAL):
            return self._add_folder(named, at, stage_label(stage))
        if named:
            return self._image(named.removeprefix(IMAGE), stage, at)
        above = find_stage(self._file.stages[: stage.index], name)
        if above is not None:
            return self.stage(above.index).root
        later = find_stage(self._file.stages[stage.index :], name)
        if later is not None:
            raise self._later(name, later, at, itself=later.index == stage.index)
        if name.isascii() and name.isdigit():
            raise DockerfileError(
                f"there is no stage number {name}",
                remedy=f"the file has {len(self._file.stages)} stages, counted from 0",
                reason="stage-unknown",
                place=self._place(at),
            )
        try:
            return self._image(name, stage, at)
        except SourceError as error:
            names = [each.name for each in self._file.stages[: stage.index] if each.name]
            close = difflib.get_close_matches(name.lower(), names, 1, 0.6)
            if error.reason == "image-missing" and close:
                raise DockerfileError(
                    f"there is no stage and no image {name}",
                    remedy=f"did you mean the stage {close[0]}?",
                    reason="stage-unknown",
                    place=self._place(at),
                ) from None
            raise

    def _image(self, name: str, stage: Stage, at: Instruction) -> Digest:
        """The root of an image that a COPY names."""
        if name == "scratch":
            return SCRATCH
        return self._add_image(self._base(name, self._target, at), self._target, at, stage_label(stage))

    def _own_platform(self, stage: Stage) -> Platform:
        """What a stage runs on if no FROM of it says otherwise: its own flag, else its base's, else the target."""
        while not stage.platform:
            parent = find_named(self._file.stages[: stage.index], self._base_name(stage))
            if parent is None:
                return self._target
            stage = parent
        return self._platform(stage)

    def _platform(self, stage: Stage) -> Platform:
        text = self._globals.word(stage.platform, stage.source)
        if not text:
            raise self._error(stage, f"--platform={stage.platform} is empty once its variables are replaced")
        with self._globals.placed(stage.source):
            return Platform.parse(text)

    def _later(self, name: str, later: Stage, at: Instruction, *, itself: bool = False) -> DockerfileError:
        itself = itself or later.source is at
        where = "is this stage itself" if itself else f"only begins at line {later.source.range.start}"
        return DockerfileError(
            f"the stage {name} {where}: that would be a cycle",
            remedy="a stage takes from stages above it only; move that stage up",
            reason="stage-cycle",
            place=self._place(at),
        )

    def _error(self, stage: Stage, message: str) -> DockerfileError:
        return DockerfileError(
            message,
            remedy=f"give the variable a value with --build-arg or an ARG before the first FROM; {_FROM_REMEDY}",
            reason="empty-base",
            place=self._place(stage.source),
        )

    def _place(self, at: Instruction) -> str:
        return f"{self._file.path}:{at.range.start}"


def _label(text: str, at: Instruction, stage: str) -> Label:
    return Label(text, stage, at.range.start, at.range.end)


def find_context(contexts: Mapping[str, str], name: str, platform: Platform) -> str:
    """The source of the named context ``name``, of one for ``platform`` before one for all; empty if there is none."""
    try:
        short = short_name(normalize_name(name)) if contexts else ""
    except UsageError:
        return ""
    return contexts.get(f"{short}::{platform}") or contexts.get(short, "")


def find_named(stages: tuple[Stage, ...], name: str) -> Stage | None:
    """The last stage of that name; FROM takes no numbers."""
    return next((stage for stage in reversed(stages) if stage.name and stage.name == name.lower()), None)


def stage_label(stage: Stage) -> str:
    """What people call a stage: its name, or ``stage-2``."""
    return stage.name or f"stage-{stage.index}"
