"""From a parsed Dockerfile to a Graph: one pass over the stages that the target needs, for each target platform.

Nothing is read here but what `Images` answers, and nothing is run. A vertex that comes out the same for two platforms
is one vertex, because vertices are addressed by digest: sharing needs no further rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xxpy.build.dockerfile.bases import Images
from xxpy.build.dockerfile.instructions import Dockerfile, Instruction, Stage
from xxpy.build.dockerfile.scope import Scope, global_scope, platform_variables
from xxpy.build.dockerfile.stage import Made, StageMaker, refused
from xxpy.build.graph import SCRATCH, Digest, Graph, Label, Result, SourceOp, Vertex
from xxpy.build.runsettings import RunSettings
from xxpy.errors import DockerfileError, SourceError
from xxpy.platforms import Platform

_FROM_REMEDY = "FROM takes a stage above it, scratch, or an image"


@dataclass(frozen=True)
class Request:
    """What is built: the target platforms, the machine's own, ``--build-arg`` values, and the last stage (or its name).

    ``labels`` are added to the image's. ``run`` is for every RUN.
    """

    targets: tuple[Platform, ...]
    host: Platform
    build_args: Mapping[str, str] = field(default_factory=dict)
    target_stage: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    run: RunSettings = field(default_factory=RunSettings)


def make_graph(file: Dockerfile, request: Request, images: Images) -> Graph:
    """The Graph of ``file``.

    Raises DockerfileError and UnsupportedError with the line; SourceError for an image that is not there.
    """
    last = _target_stage(file, request.target_stage)
    vertices: dict[Digest, Vertex] = {}
    results = []
    for target in request.targets:
        made = _Target(file, request, target, images, vertices).stage(last.index)
        for name, value in request.labels.items():
            made.labels[name] = value
        results.append(Result(target, made.root, made.config(), tuple(made.history), made.from_line))
    return Graph(vertices, tuple(results))


def _target_stage(file: Dockerfile, wanted: str) -> Stage:
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
        self._made: dict[int, Made] = {}

    def stage(self, index: int) -> Made:
        if index not in self._made:
            stage = self._file.stages[index]
            made = self._begin(stage)
            StageMaker(stage, made, self, self._vertices, self._request.run).run()
            self._made[index] = made
        return self._made[index]

    def _begin(self, stage: Stage) -> Made:
        name = self._globals.word(stage.base, stage.source)
        if not name:
            raise self._error(stage, f"the base {stage.base!r} is empty once its variables are replaced")
        platform = self._platform(stage)
        scope = Scope(
            self._automatic,
            self._request.build_args,
            {key: value for key, value in self._globals.args.items() if key not in self._automatic},
            self._file.path,
            self._file.directives.escape,
        )
        parent = find_named(self._file.stages[: stage.index], name)
        if parent is not None:
            made = self.stage(parent.index).continued(scope)
            if stage.platform and platform != made.platform:
                raise refused(
                    f"--platform={platform} of a FROM whose base, the stage {name}, is on {made.platform},",
                    self._place(stage.source),
                    "leave the flag out, or give the stage it names that platform",
                )
            return made
        made = Made(platform, scope, SCRATCH, from_line=stage.source.range.start)
        if name != "scratch":
            self._from_image(name, stage, made)
        return made

    def _from_image(self, name: str, stage: Stage, made: Made) -> None:
        later = find_named(self._file.stages[stage.index :], name)
        try:
            with self._globals.placed(stage.source):
                image = self._images.base(name, made.platform)
        except SourceError as error:
            if later is not None and error.reason == "image-missing":
                raise self._later(name, later, stage.source) from None
            raise
        made.start_from(image.config)
        made.root = self._add_image(image.name, image.manifest, made.platform, stage.source, stage_label(stage))

    def image(self, name: str, platform: Platform, at: Instruction, stage: str) -> Digest:
        """The root of an image that a COPY names."""
        with self._globals.placed(at):
            image = self._images.base(name, platform)
        return self._add_image(image.name, image.manifest, platform, at, stage)

    def _add_image(self, name: str, manifest: Digest, platform: Platform, at: Instruction, stage: str) -> Digest:
        label = Label(at.original, stage, at.range.start, at.range.end, base=True)
        vertex = Vertex(SourceOp(f"docker-image://{name}@{manifest}"), (), platform, label)
        self._vertices.setdefault(vertex.digest, vertex)
        return vertex.digest

    def copied_from(self, name: str, stage: Stage, at: Instruction) -> Digest:
        """The root that ``--from=name`` in ``stage`` means: a stage above, by name or number, or an image."""
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
        return self.image(name, self._target, at, stage_label(stage))

    def _platform(self, stage: Stage) -> Platform:
        if not stage.platform:
            return self._target
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


def find_named(stages: tuple[Stage, ...], name: str) -> Stage | None:
    """The last stage of that name; FROM takes no numbers."""
    return next((stage for stage in reversed(stages) if stage.name and stage.name == name.lower()), None)


def stage_label(stage: Stage) -> str:
    """What people call a stage: its name, or ``stage-2``."""
    return stage.name or f"stage-{stage.index}"
