"""The Engine that hands a Job to BuildKit."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from xxpy.build.annotations import MANIFEST
from xxpy.build.builders import Builder
from xxpy.build.buildkit import buildx
from xxpy.build.buildkit.command import TREE, Handed, build_command
from xxpy.build.buildkit.failure import failure
from xxpy.build.buildkit.files import read_tree
from xxpy.build.buildkit.images import handed_images, read_metadata, take_images, write_layout
from xxpy.build.buildkit.record import Recorder
from xxpy.build.buildkit.rewrite import APT_SECRET, CA_SECRET, handed_text, taken_names
from xxpy.build.buildkit.served import require_able, require_served
from xxpy.build.buildkit.status import StatusReader
from xxpy.build.buildkit.steps import Steps
from xxpy.build.contexts import IMAGE, LAYOUT, LOCAL
from xxpy.build.credentials import MOST_BYTES, require_given
from xxpy.build.descriptor import Descriptor
from xxpy.build.disk import storing
from xxpy.build.engine import Job, Recipe, process
from xxpy.build.engine.namespace import interruptible
from xxpy.build.events import Listener, Notice
from xxpy.build.graph import ExecOp, Graph, NetMode
from xxpy.build.hostca import APT_CONFIG, BUNDLE, HostCa
from xxpy.build.names import normalize_name, short_name
from xxpy.build.outcome import ImageOutcome, Outcome
from xxpy.build.outputs import Output
from xxpy.build.store import Store
from xxpy.build.trees import export_trees
from xxpy.errors import SourceError

NO_IMAGES: tuple[ImageOutcome, ...] = ()
_CA = "host-ca"


def handed_dockerfile(store: Store, recipe: Recipe, graph: Graph, host_ca: HostCa) -> str:
    """The text that is handed to BuildKit. Raises DockerfileError (``name-taken``)."""
    if recipe.parsed is None:
        return recipe.text
    renamed = taken_names(recipe.parsed, handed_images(store, graph))
    return handed_text(recipe.text, recipe.parsed, host_ca, renamed)


class BuildKit:
    """An `Engine` behind ``docker buildx``. ``work`` is a folder of this build's own."""

    def __init__(self, store: Store, builder: Builder, work: Path) -> None:
        self._store = store
        self._builder = builder
        self._work = work

    def solve(self, job: Job, listener: Listener) -> Outcome:
        """See `Engine.solve`. Raises besides UsageError, HostError for what the builder cannot do."""
        recipe = job.recipe
        require_served(job, recipe)
        require_given((each.vertex for each in job.plan.steps.values()), job.credentials, job.dockerfile)
        program = buildx.find_buildx(self._builder)
        layouts = [*handed_images(self._store, job.plan.graph)]
        layouts += [name for name, each in recipe.contexts.sources.items() if each.startswith(LAYOUT)]
        for notice in require_able(self._builder, self._inspected(program), job, recipe, layouts):
            listener(notice)
        steps = Steps(job.plan, recipe.parsed)
        recorder, reader = Recorder(steps, listener), StatusReader()

        def take(data: bytes) -> None:
            for told in reader.feed(data):
                recorder.take(told)

        with interruptible(), self._secrets(job) as secrets:
            command = build_command(program, self._builder, self._handed(job, recipe, secrets))
            code = process.follow(command, take, env=buildx.environment(self._builder))
            for told in reader.end():
                recorder.take(told)
            if code:
                raise failure(tuple(reader.words), recorder.failed, self._builder, job.dockerfile, code)
            index, images = "", NO_IMAGES
            if job.image:
                index, images = take_images(self._store, self._work, recipe.platforms, job.annotations, job.host_ca)
        told_of = {key: value for key, value in read_metadata(self._work).items() if key.startswith("buildx.build.ref")}
        return Outcome(index, images, recorder.outcomes(), plan=steps.plan(), metadata=told_of)

    def export_files(self, job: Job, outcome: Outcome, output: Output, listener: Listener) -> None:
        """See `Engine.export_files`."""
        read = partial(read_tree, self._work / TREE, job.recipe.platforms, job.epoch)
        export_trees(read, job.recipe.platforms, output, lambda text: listener(Notice(text)))

    def _inspected(self, program: Sequence[str]) -> buildx.Inspected | None:
        found = buildx.inspect(program, self._builder)
        if found is None and self._builder.own:
            # Another user's home, or somebody has removed it there.
            buildx.create(program, self._builder)
            found = buildx.inspect(program, self._builder)
        return found

    def _handed(self, job: Job, recipe: Recipe, secrets: Mapping[str, str]) -> Handed:
        images = handed_images(self._store, job.plan.graph)
        execs = [each.vertex.op for each in job.plan.steps.values() if isinstance(each.vertex.op, ExecOp)]
        return Handed(
            context=job.context.root,
            file=self._file(job, recipe),
            work=self._work,
            platforms=recipe.platforms,
            build_args=recipe.build_args,
            labels=recipe.labels,
            # The others are not of what BuildKit makes, but of the index that the store has of it.
            annotations=tuple(each for each in job.annotations if each.kind == MANIFEST),
            target=recipe.target,
            no_cache=job.no_cache,
            no_cache_stages=recipe.no_cache_stages,
            pull=recipe.pull,
            epoch=job.epoch,
            run=recipe.run,
            host_network=any(op.network is NetMode.HOST for op in execs),
            contexts=self._contexts(recipe, images),
            secrets=secrets,
            agents=job.credentials.agents,
            image=job.image,
            tree=recipe.files,
            compression=job.compression,
            cache_from=recipe.cache_from,
            cache_to=recipe.cache_to,
        )

    def _file(self, job: Job, recipe: Recipe) -> Path:
        """The Dockerfile that is handed over: the user's own, or one beside which its ``.dockerignore`` is too."""
        text = handed_dockerfile(self._store, recipe, job.plan.graph, job.host_ca)
        if text == recipe.text:
            return recipe.file
        path = self._work / recipe.file.name
        ignored = recipe.file.with_name(f"{recipe.file.name}.dockerignore")
        with storing(path):
            path.write_text(text)
            if ignored.is_file():
                path.with_name(ignored.name).write_bytes(ignored.read_bytes())
        return path

    def _contexts(self, recipe: Recipe, images: Mapping[str, Descriptor]) -> dict[str, str]:
        """The named contexts: those of the command line, and the images of the store."""
        given = {}
        for name, source in recipe.contexts.sources.items():
            given[name] = str(recipe.contexts.folders[source]) if source.startswith(LOCAL) else source
        shown = write_layout(self._store, images, self._work / "images") if images else {}
        for name, source in given.items():
            if source.startswith(IMAGE):
                given[name] = shown.get(short_name(normalize_name(source.removeprefix(IMAGE))), source)
        if recipe.parsed is not None:
            for name, other in taken_names(recipe.parsed, images).items():
                shown[other] = shown.pop(name)
        return shown | given

    @contextlib.contextmanager
    def _secrets(self, job: Job) -> Iterator[dict[str, str]]:
        """A path to each secret's value, in memory that goes with the block; of a secret no file is written."""
        values = dict(job.credentials.secrets)
        if job.host_ca.bundle is not None:
            values |= self._host_ca(job.host_ca)
        opened: list[int] = []
        paths = {}
        try:
            for name, value in values.items():
                opened.append(os.memfd_create("secret", os.MFD_CLOEXEC))
                with os.fdopen(os.dup(opened[-1]), "wb") as file:
                    file.write(value)
                os.fchmod(opened[-1], stat.S_IRUSR)
                paths[name] = f"/proc/{os.getpid()}/fd/{opened[-1]}"
            yield paths
        finally:
            for each in opened:
                os.close(each)

    def _host_ca(self, host_ca: HostCa) -> dict[str, bytes]:
        """What `rewrite` mounts. Raises SourceError (``host-ca-too-large``)."""
        folder = self._work / _CA
        with storing(folder):
            folder.mkdir(exist_ok=True)
            host_ca.write_to(folder)
            found = {CA_SECRET: (folder / BUNDLE).read_bytes(), APT_SECRET: (folder / APT_CONFIG).read_bytes()}
        if len(found[CA_SECRET]) > MOST_BYTES:
            raise SourceError(
                f"the host's certificates have more than {MOST_BYTES} bytes, which BuildKit does not take",
                remedy="name a file with those that are needed: --host-ca=FILE",
                reason="host-ca-too-large",
                place=str(host_ca.bundle),
            )
        return found
