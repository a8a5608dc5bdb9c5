"""One build from its order to its image, as a table of contents: read, plan, key, solve, name, export.

The command line, and whoever else has something built (the xx image of this version), give an Order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from xxpy.build.anew import check_stages, vertices_anew
from xxpy.build.annotations import INDEX_DESCRIPTOR, Annotation, chosen
from xxpy.build.builders import BUILT_IN, Builder
from xxpy.build.buildkit.engine import BuildKit, handed_dockerfile
from xxpy.build.contexts import Contexts, open_all
from xxpy.build.credentials import Credentials
from xxpy.build.deliver import deliver_image
from xxpy.build.descriptor import Descriptor
from xxpy.build.dockerfile.bases import Images
from xxpy.build.dockerfile.front import Request, make_graph
from xxpy.build.dockerfile.instructions import Dockerfile
from xxpy.build.dockerfile.parse import check_syntax, parse
from xxpy.build.dockerfile.scope import PROXIES
from xxpy.build.engine import Engine, Job, Recipe
from xxpy.build.engine.embedded import Embedded
from xxpy.build.engine.images import base_layers
from xxpy.build.engine.namespace import interruptible
from xxpy.build.engine.workfolder import work_folder
from xxpy.build.events import Exporting, Listener, Notice
from xxpy.build.graph import SCRATCH, Graph, ImageConfig, Result
from xxpy.build.hostca import HostCa
from xxpy.build.keys import Keys, compute_keys
from xxpy.build.layoutindex import INDEX_TYPE
from xxpy.build.limit import keep_below
from xxpy.build.outcome import Outcome
from xxpy.build.outputs import GZIP, Output
from xxpy.build.plan import Accelerate, Emulation, Plan, check_emulation, make_plan
from xxpy.build.registry.client import Registries
from xxpy.build.remotecache.exporting import collect, wanted_layers
from xxpy.build.remotecache.importing import Importer
from xxpy.build.remotecache.local import LocalPlace
from xxpy.build.remotecache.places import Place
from xxpy.build.remotecache.spec import INLINE, LOCAL, Cache
from xxpy.build.remotes import Remotes
from xxpy.build.runsettings import RunSettings
from xxpy.build.store import Store
from xxpy.build.twins import LOADERS
from xxpy.build.verdict import Verify, require_bases
from xxpy.errors import (
    DockerfileError,
    HostError,
    Interrupted,
    SourceError,
    StoreError,
    UnsupportedError,
    UsageError,
    XxError,
)
from xxpy.platforms import Platform

_MOST_TEXT = 4 << 20


@dataclass(frozen=True)
class Order:
    """What is to be built, of what, and where it goes.

    ``file`` is the Dockerfile's path, ``name`` what errors call it if not so. ``contexts`` are those besides
    ``context``. ``tags`` are full names. ``target`` is a stage, empty for the last. The steps of ``no_cache_stages``
    run again, and all that takes from them. ``epoch`` is SOURCE_DATE_EPOCH in seconds since 1970, None for the present.
    ``cache_from`` and ``cache_to`` are caches besides the store's own.
    ``image`` asks for an image that neither a name nor an output asks for. ``limit`` is the bytes that the cache is
    kept below afterwards, None for any number.
    ``pull`` has BuildKit ask for newer bases.
    """

    context: Path
    file: Path
    platforms: tuple[Platform, ...]
    tags: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    target: str = ""
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    epoch: int | None = None
    host_ca: HostCa = field(default_factory=HostCa)
    emulation: Emulation = Emulation.AUTO
    verify: Verify = field(default_factory=Verify)
    accelerate: Accelerate = Accelerate.AUTO
    run: RunSettings = field(default_factory=RunSettings)
    credentials: Credentials = field(default_factory=Credentials)
    name: str = ""
    contexts: Contexts = field(default_factory=Contexts)
    image: bool = False
    cache_from: tuple[Cache, ...] = ()
    cache_to: tuple[Cache, ...] = ()
    limit: int | None = None
    pull: bool = False
    builder: Builder = BUILT_IN

    @property
    def makes_image(self) -> bool:
        """Whether images are made; packing their layers is not for nothing."""
        return self.image or bool(self.tags) or any(output.is_image for output in self.outputs)

    @property
    def compression(self) -> str:
        """Of the layers: what the outputs want of an image that gets no name in the store, if they agree, else gzip."""
        forms = [one.format for one in self.outputs if one.is_image]
        wanted = {GZIP if form.level is not None else form.compression or GZIP for form in forms}
        return wanted.pop() if len(wanted) == 1 and not self.tags else GZIP

    @property
    def place(self) -> str:
        """What errors call the Dockerfile."""
        return self.name or str(self.file)

    @property
    def checks(self) -> Verify:
        """``verify`` for an image that is, or is not, to be kept."""
        return replace(self.verify, kept=bool(self.tags or self.outputs))


def plan_order(order: Order, images: Images) -> Plan:
    """Read the Dockerfile and decide where each step runs. Raises XxError."""
    host = Platform.host()
    _, file = read_order(order)
    if file is None:
        return _unplanned(order, host)
    check_stages(file, order.no_cache_stages)
    request = Request(
        order.platforms,
        host,
        order.build_args,
        order.target,
        order.labels,
        order.run,
        order.contexts.sources,
        twins=order.builder.is_embedded and order.accelerate is not Accelerate.OFF and host.arch in LOADERS,
    )
    plan = make_plan(make_graph(file, request, images), host)
    check_emulation(plan, order.emulation, order.place)
    require_bases(plan, order.checks, order.place)
    return plan


def read_order(order: Order) -> tuple[str, Dockerfile | None]:
    """The Dockerfile's text, and what it says; None for that where BuildKit is to read what ``# syntax=`` names.

    Raises DockerfileError, SourceError.
    """
    text = read_dockerfile(order.file, order.place)
    try:
        file = parse(text, order.place)
        if syntax := order.build_args.get("BUILDKIT_SYNTAX", ""):
            check_syntax(syntax)
    except UnsupportedError as error:
        if error.reason == "syntax-unsupported" and not order.builder.is_embedded:
            return text, None
        raise
    return text, file


def _unplanned(order: Order, host: Platform) -> Plan:
    """A plan without a step. Raises UsageError (``not-served``)."""
    if order.emulation is not Emulation.AUTO:
        raise UsageError(
            f"--emulation={order.emulation.value}: what runs where is not known of another front end's language",
            remedy="leave it out, or leave the line # syntax= out",
            reason="not-served",
        )
    results = tuple(Result(platform, SCRATCH, ImageConfig()) for platform in order.platforms)
    return Plan(Graph({}, results), host, {}, ())


def recipe_of(order: Order) -> Recipe:
    """What an engine that reads the Dockerfile itself goes by. Raises as `read_order` does."""
    text, parsed = read_order(order)
    return Recipe(
        order.file,
        text,
        parsed,
        order.platforms,
        order.build_args,
        order.labels,
        order.target,
        order.no_cache_stages,
        order.pull,
        order.run,
        order.contexts,
        files=any(not output.is_image for output in order.outputs),
        cache_from=tuple(map(str, order.cache_from)),
        cache_to=tuple(map(str, order.cache_to)),
    )


def dockerfile_of(order: Order, plan: Plan, store: Store) -> str:
    """The Dockerfile as the engine of ``order`` reads it. Raises DockerfileError (``name-taken``)."""
    recipe = recipe_of(order)
    return recipe.text if order.builder.is_embedded else handed_dockerfile(store, recipe, plan.graph, order.host_ca)


@contextmanager
def engine_for(builder: Builder, store: Store) -> Iterator[Engine]:
    """The engine of ``builder``, with what it keeps while the block runs."""
    if builder.is_embedded:
        yield Embedded(store)
        return
    with work_folder(store) as work:
        yield BuildKit(store, builder, work)


def solve_order(order: Order, plan: Plan, store: Store, listener: Listener) -> Outcome:
    """Run what must be run of ``plan``, give the image its names and write it out. Raises XxError."""
    with engine_for(order.builder, store) as engine:
        job = _job(order, plan, store, listener)
        outcome = engine.solve(job, listener)
        for tag in order.tags:
            store.tag(tag, index_of(store, outcome, order.annotations))
        with interruptible():
            for output in order.outputs:
                if output.is_image:
                    outcome = _export(order, plan, store, outcome, output, listener)
                else:
                    listener(Exporting(f"writing {output.dest if output.dest != '-' else 'the files to stdout'}"))
                    engine.export_files(job, outcome, output, listener)
            if order.builder.is_embedded:
                _export_caches(order, store, job, listener)
    if order.cache_from or not all(step.cached for step in outcome.steps.values()):
        _keep_below(order, store, listener)
    return outcome


def _job(order: Order, plan: Plan, store: Store, listener: Listener) -> Job:
    context = open_all(order.context, order.file, order.contexts, store.files)
    remotes, keys = {}, Keys({})
    if order.builder.is_embedded:
        remotes = Remotes(store, order.host_ca, order.credentials).find(plan.graph, order.place, listener)
        keys = compute_keys(plan.graph, context, order.place, {digest: each.key for digest, each in remotes.items()})
    proxies = tuple(f"{name}={value}" for name, value in order.build_args.items() if name in PROXIES)
    return Job(
        plan,
        keys,
        context,
        order.place,
        recipe_of(order),
        epoch=order.epoch,
        no_cache=order.no_cache,
        host_ca=order.host_ca,
        proxies=proxies,
        annotations=order.annotations,
        remotes=remotes,
        anew=vertices_anew(plan.graph, order.no_cache_stages),
        verify=order.checks,
        credentials=order.credentials,
        image=order.makes_image,
        compression=order.compression,
        accelerate=order.accelerate,
        imports=_imports(order, store, listener),
        exported=frozenset().union(*(wanted_layers(plan.graph, each.mode) for each in order.cache_to)),
        inline=any(each.kind == INLINE for each in order.cache_to),
    )


def _keep_below(order: Order, store: Store, listener: Listener) -> None:
    """Have the store within its limit, which is no reason for a build to fail."""
    try:
        keep_below(store, order.limit, lambda text: listener(Notice(text)))
    except (StoreError, HostError) as error:
        listener(Notice(f"the store's cache is not kept below its limit: {error.message}"))


def _imports(order: Order, store: Store, listener: Listener) -> Importer | None:
    if not order.builder.is_embedded:
        return None
    sources = [(str(each), _place_of(each, order, store, listener)) for each in order.cache_from]
    return Importer(store, sources, lambda text: listener(Notice(text))) if sources else None


def _place_of(cache: Cache, order: Order, store: Store, listener: Listener) -> Place:
    if cache.kind == LOCAL:
        return LocalPlace(cache)
    # Most builds have no such cache.
    from xxpy.build.remotecache.registry import RegistryPlace

    return RegistryPlace(cache, store, Registries(order.host_ca.bundle), listener)


def _export_caches(order: Order, store: Store, job: Job, listener: Listener) -> None:
    """Add to each, whatever becomes of the others; the first error is raised at the end."""
    errors: list[XxError] = []
    for cache in order.cache_to:
        if cache.kind == INLINE:
            continue
        try:
            _export_cache(cache, order, store, job, listener)
        except Interrupted:
            raise
        except XxError as error:
            errors.append(error)
    for other in errors[1:]:
        listener(Notice(other.message))
    if errors:
        raise errors[0]


def _export_cache(cache: Cache, order: Order, store: Store, job: Job, listener: Listener) -> None:
    listener(Exporting(f"adding to the cache {cache}"))
    try:
        _place_of(cache, order, store, listener).add(collect(store, job, cache), store)
    except XxError as error:
        if not cache.ignore_error:
            error.message = f"the build is done, but nothing was added to the cache {cache}: {error.message}"
            raise
        listener(Notice(f"nothing was added to the cache {cache}: {error.message}"))


def _export(order: Order, plan: Plan, store: Store, outcome: Outcome, output: Output, listener: Listener) -> Outcome:
    # Of an image that BuildKit made it is not known which layers are its base's: all count as the build's own.
    own = order.builder.is_embedded
    bases = {each.platform: base_layers(store, plan.graph, each) for each in plan.graph.results} if own else {}
    index = index_of(store, outcome, order.annotations)
    written = deliver_image(store, index, order.tags, output, bases, Registries(order.host_ca.bundle), listener)
    return replace(outcome, written=written)


def index_of(store: Store, outcome: Outcome, annotations: tuple[Annotation, ...] = ()) -> Descriptor:
    """The descriptor of a solved build's index, where images were made."""
    size = store.blob(outcome.index).stat().st_size
    return Descriptor(INDEX_TYPE, outcome.index, size, None, chosen(annotations, INDEX_DESCRIPTOR))


def read_dockerfile(path: Path, place: str) -> str:
    """Its text; ``place`` is what errors call it.

    Raises SourceError (``dockerfile-missing``), DockerfileError (``not-utf8``, ``too-large``).
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_TEXT + 1)
    except OSError as error:
        raise SourceError(
            f"cannot read the Dockerfile: {error.strerror}",
            remedy="name it with -f, or name the folder it is in, as in: xx build .",
            reason="dockerfile-missing",
            place=place,
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DockerfileError(
            "it is not UTF-8 text", remedy="save it as UTF-8", reason="not-utf8", place=f"{place}:{line}"
        ) from error
    if len(data) > _MOST_TEXT:
        raise DockerfileError("it is larger than 4 MiB", remedy="is it a Dockerfile?", reason="too-large", place=place)
    return text
