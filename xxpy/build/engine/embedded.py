"""The embedded Engine: walks the Plan, runs what no cache record answers, and writes the images.

The caller's process looks the records up; when all is known it writes the index and is done. Otherwise the work is done
by a worker in namespaces of its own (see `namespace`), with a thread for each step that can run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path

from xxpy.build.credentials import require_given
from xxpy.build.disk import storing
from xxpy.build.engine import Job, syscalls
from xxpy.build.engine.accelerate import FETCHED, Accelerator
from xxpy.build.engine.cache import Cache, Record, Syncer
from xxpy.build.engine.copy import Origin, copy_path, tree_origin
from xxpy.build.engine.emulation import emulators_for, register
from xxpy.build.engine.execute import Executor
from xxpy.build.engine.files import apply
from xxpy.build.engine.images import IMAGE, base_image, index_of, known_image, make_image, unpacked
from xxpy.build.engine.limits import make_room
from xxpy.build.engine.mounts import StepMounts, Tree
from xxpy.build.engine.namespace import Channel, id_maps, run_inside
from xxpy.build.engine.network import Networks, wants_own
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.engine.snapshots import Chain, Draft, draft, keep, laid_over, view
from xxpy.build.engine.spec import BindMount
from xxpy.build.engine.truth import verify
from xxpy.build.events import Compared, Event, Exporting, Listener, Notice, StepDone, StepOutput, StepStarted
from xxpy.build.graph import Digest, ExecOp, FileOp, Graph, MergeOp, Mount, SourceOp, Vertex
from xxpy.build.keys import LOCAL
from xxpy.build.outcome import ImageOutcome, Outcome, Starts, StepOutcome
from xxpy.build.plan import Accelerate, How
from xxpy.build.remotes import Remotes
from xxpy.build.selection import clean
from xxpy.build.store import Store
from xxpy.build.tools import Emulator, cgroup_v1, crun_refuses, find_runtime
from xxpy.build.twins.compare import Comparison, compare
from xxpy.errors import HostError, SourceError, StepError, XxError
from xxpy.platforms import Platform

_WORK = "work-"
_FETCH_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")
BINFMT, EXEC = "binfmt", "exec"
"""The folders in a build's own on which its binfmt_misc instance and the executor's tmpfs are mounted."""


class Embedded:
    """An `Engine` on this machine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache = Cache(store)

    def solve(self, job: Job, listener: Listener) -> Outcome:
        """See `Engine.solve`."""
        records, keys = self._known(job)
        images = [known_image(self._store, job, result, keys) for result in job.plan.graph.results]
        roots = [result.root for result in job.plan.graph.results if result.root]
        finished = [image for image in images if image is not None]
        chains = {digest: record.chain for digest, record in records.items()}
        known = len(finished) == len(images) and all(root in records for root in roots)
        notices: list[Notice] = []
        if known and verify(self._store, job, chains, None, notices.append):
            for digest in records:
                listener(StepDone(digest, time.monotonic(), 0.0, cached=True))
            for notice in notices:
                listener(notice)
            return _outcome(self._store, job, finished, _cached(records), chains)
        self._check(job, records)
        solver = _Solver(self._store, self._cache, job, records, keys)
        outcome = run_inside(solver.work, listener, id_maps())
        assert isinstance(outcome, Outcome)
        return outcome

    def _known(self, job: Job) -> tuple[dict[Digest, Record], dict[Digest, Digest]]:
        """What records answer, and the key of each."""
        records, keys = {}, {}
        for vertex in job.plan.graph:
            if isinstance(vertex.op, SourceOp) or job.runs_anew(vertex.digest):
                continue
            found = find(self._cache, job, vertex.digest)
            if found is not None:
                keys[vertex.digest], records[vertex.digest] = found
        return records, keys

    def _check(self, job: Job, records: Mapping[Digest, Record]) -> None:
        """Refuse now what could not run later.

        Raises HostError (``no-emulator``, ``runtime-missing``, ``ulimit-too-high``), SourceError (``secret-missing``).
        """
        running = [job.plan.steps[digest] for digest in needed(job.plan.graph, records)]
        if any(step.how is How.EMULATED for step in running):
            emulators_for(job.plan.emulated)
        execs = [step.vertex.op for step in running if isinstance(step.vertex.op, ExecOp)]
        if execs:
            _require_runtime()
        require_given([step.vertex for step in running], job.credentials, job.dockerfile)
        make_room({limit for op in execs for limit in op.ulimits})


def _require_runtime() -> None:
    runtime = find_runtime()
    install = f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y"
    if runtime is None:
        raise HostError(
            "no OCI runtime is installed; RUN needs crun or runc",
            remedy=f"{install} {'runc' if cgroup_v1() else 'crun'}",
            reason="runtime-missing",
        )
    if runtime.name == "crun" and crun_refuses():
        raise HostError(
            f"{runtime.path} refuses this machine's hybrid cgroups", remedy=f"{install} runc", reason="runtime-missing"
        )


def find(cache: Cache, job: Job, vertex: Digest) -> tuple[Digest, Record] | None:
    """The best record that serves for ``vertex``, with its key."""
    for key in job.keys.among(vertex, twinned=job.accelerate is Accelerate.AUTO):
        record = cache.find(key)
        if record is not None:
            return key, record
    return None


def needed(graph: Graph, records: Container[Digest], roots: Iterable[Digest] | None = None) -> list[Digest]:
    """The vertices that ``roots`` need (the results, if not said) and no record answers, inputs first."""
    seen: set[Digest] = set()
    todo = [result.root for result in graph.results] if roots is None else list(roots)
    while todo:
        digest = todo.pop()
        if not digest or digest in seen or digest in records:
            continue
        seen.add(digest)
        todo += [given.digest for given in graph.vertices[digest].inputs]
    return [vertex.digest for vertex in graph if vertex.digest in seen]


def _cached(records: Mapping[Digest, Record]) -> dict[Digest, StepOutcome]:
    return {digest: StepOutcome(digest, True, 0.0, record.seconds, record.tail) for digest, record in records.items()}


def _outcome(
    store: Store,
    job: Job,
    images: list[ImageOutcome],
    steps: Mapping[Digest, StepOutcome],
    chains: Mapping[Digest, Chain],
) -> Outcome:
    roots = {result.root: chains[result.root] for result in job.plan.graph.results if result.root}
    return Outcome(index_of(store, images, job.annotations).digest, tuple(images), steps, roots)


def _failed_with_twins(error: StepError, starts: Starts) -> str:
    programs = ", ".join(name for name, _ in starts.most_twins)
    return (
        f"{error.place}: the step failed with twins, which is a fault of xx unless it fails again without them now; "
        f"{starts.twins} starts of twins, most often {programs or 'none'}"
    )


class _Solver:
    """One build inside its namespaces. ``records`` are what was known before; `work` runs in the worker."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        job: Job,
        records: Mapping[Digest, Record],
        keys: Mapping[Digest, Digest],
    ) -> None:
        self._store = store
        self._cache = cache
        self._job = job
        self._graph = job.plan.graph
        self._ending = threading.Event()
        self._records = dict(records)
        self._keys = dict(keys)
        """The key of each record that is used, of what was solved before and now."""
        self._accelerator: Accelerator | None = None
        self._failed: dict[Digest, str] = {}
        """Steps that only twins are found in and that failed: no twins then, and no harm done."""
        self._steps = _cached(records)
        self._chains: dict[Digest, Chain] = {digest: record.chain for digest, record in records.items()}
        self._starts: dict[Digest, Starts] = {}
        self._comparisons: dict[Digest, Comparison] = {}
        self._copies: dict[tuple[Digest, str], Path] = {}
        self._copying = threading.Lock()

    def work(self, channel: Channel) -> Outcome:
        """The worker's whole life."""
        self._channel = channel
        os.umask(0o022)
        os.chdir(self._store.snapshots)
        for digest in self._records:
            self._tell(StepDone(digest, time.monotonic(), 0.0, cached=True))
        with storing(self._store.root), work_folder(self._store) as work:
            self._work = work
            self._prepare()
            self._syncer = Syncer(self._store, self._cache)
            self._pool = ThreadPoolExecutor(max(4, os.cpu_count() or 1), "step")
            self._run_all()
            self._syncer.nudge()
            verify(self._store, self._job, self._chains, work, self._tell)
            self._tell(Exporting("writing layers and manifests"))
            images = [
                make_image(self._store, self._job, result, self._chains, self._keys, self._pool)
                for result in self._graph.results
            ]
            outcome = _outcome(self._store, self._job, images, self._steps, self._chains)
            self._syncer.wait()
        return outcome

    def _tell(self, event: Event) -> None:
        self._channel.send(("value", event))

    def _prepare(self) -> None:
        steps = [self._job.plan.steps[digest] for digest in needed(self._graph, self._records)]
        execs = [step for step in steps if isinstance(step.vertex.op, ExecOp)]
        if not execs:
            return
        runtime = find_runtime()
        assert runtime is not None
        job = self._job
        networks = Networks(self._work / EXEC)
        self._executor = Executor(runtime, self._work / EXEC, networks, job.host_ca, job.dockerfile, job.proxies)
        self._executor.prepare()
        if any(wants_own(step.vertex.op) for step in execs):
            networks.prepare()
            if networks.refusal:
                self._tell(
                    Notice(f"steps share the host's network: {networks.refusal} (xx doctor tells how to mend that)")
                )
        emulated = any(step.how is How.EMULATED for step in execs)
        at = self._work / BINFMT
        at.mkdir()
        emulators = emulators_for(job.plan.emulated) if emulated else ()
        if emulated and job.accelerate is not Accelerate.OFF and self._graph.twins:
            self._accelerator = self._accelerated(emulators)
        register(self._accelerator.emulators if self._accelerator else emulators, at)

    def _accelerated(self, emulators: Sequence[Emulator]) -> Accelerator | None:
        try:
            return Accelerator(self._store, self._cache, self._work, emulators, self._job.plan.host)
        except HostError as error:
            self._tell(
                Notice(f"no step is accelerated: {error.message}" + (f" ({error.remedy})" if error.remedy else ""))
            )
            return None

    # -- the walk ------------------------------------------------------------------------------------------------

    def _run_all(self) -> None:
        """Run every vertex that a result needs and no record answers, inputs first, as many at once as can."""
        wanted = needed(self._graph, self._records)
        twins = self._twins_of(wanted)
        waiting = {digest: self._open_inputs(digest) for digest in [*wanted, *twins]}
        for digest in wanted:
            waiting[digest] |= {self._graph.twins.get(digest, "")} & waiting.keys()
        running: dict[Future[None], Digest] = {}
        while waiting or running:
            for digest in [each for each, inputs in waiting.items() if not inputs]:
                del waiting[digest]
                running[self._pool.submit(self._solve_one, self._graph.vertices[digest])] = digest
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                finished = running.pop(future)
                error = future.exception()
                if finished in twins and isinstance(error, StepError | SourceError):
                    self._give_up(finished, error, waiting)
                    continue
                if error is not None:
                    # The first error ends the build; the kernel ends the steps beside it when the worker is gone.
                    self._ending.set()
                    self._pool.shutdown(wait=False, cancel_futures=True)
                future.result()
                for inputs in waiting.values():
                    inputs.discard(finished)

    def _twins_of(self, wanted: Sequence[Digest]) -> frozenset[Digest]:
        """What has to be solved only so that ``wanted`` steps find their twins in it."""
        if self._accelerator is None:
            return frozenset()
        roots = [self._graph.twins[digest] for digest in wanted if digest in self._graph.twins]
        return frozenset(needed(self._graph, self._records, roots)) - frozenset(wanted)

    def _give_up(self, finished: Digest, error: XxError, waiting: dict[Digest, set[Digest]]) -> None:
        """Do without ``finished`` and all that needs it, which nothing but twins were to be found in."""
        failed = [finished]
        for digest in failed:
            self._failed[digest] = error.message
            failed += [each for each in waiting if digest in self._inputs_of(each) and each not in failed]
        for digest in failed:
            waiting.pop(digest, None)
        for inputs in waiting.values():
            inputs.difference_update(failed)

    def _inputs_of(self, digest: Digest) -> set[Digest]:
        return {given.digest for given in self._graph.vertices[digest].inputs}

    def _open_inputs(self, digest: Digest) -> set[Digest]:
        return {each for each in self._inputs_of(digest) if each and each not in self._records}

    def _solve_one(self, vertex: Vertex) -> None:
        began = time.monotonic()
        remote = self._job.remotes.get(vertex.digest)
        told = remote is not None and remote.fetched is not None
        if not told:
            self._tell(StepStarted(vertex.digest, began))
        try:
            record, cached = self._solved(vertex)
        except BaseException as error:
            if self._ending.is_set():
                # What fails now fails because the build ends: not worth a word beside the reason.
                raise
            text = error.message if isinstance(error, XxError) else str(error)
            self._tell(StepDone(vertex.digest, time.monotonic(), time.monotonic() - began, cached=False, error=text))
            raise
        self._chains[vertex.digest] = record.chain
        seconds = 0.0 if cached else time.monotonic() - began
        starts = self._starts.get(vertex.digest)
        compared = self._comparisons.get(vertex.digest)
        self._steps[vertex.digest] = StepOutcome(
            vertex.digest, cached, seconds, record.seconds, record.tail, starts, compared
        )
        if not told:
            self._tell(StepDone(vertex.digest, time.monotonic(), seconds, cached=cached))

    def _solved(self, vertex: Vertex) -> tuple[Record, bool]:
        if isinstance(vertex.op, SourceOp) and vertex.digest not in self._job.remotes:
            return self._source(vertex.op), False
        with self._store.lock(self._job.keys.of[vertex.digest]):
            # Another build may have solved it while this one waited.
            found = None if self._job.runs_anew(vertex.digest) else find(self._cache, self._job, vertex.digest)
            if found is not None:
                self._keys[vertex.digest] = found[0]
                return found[1], True
            began = time.monotonic()
            if isinstance(vertex.op, MergeOp):
                chain = laid_over(*(self._chain_of(vertex, index) for index in range(len(vertex.inputs))))
                record, twinned = Record(chain, 0.0), False
            else:
                below = self._chain_of(vertex, 0)
                name, tail, twinned = self._changed(vertex, below)
                record = Record((*below, name), time.monotonic() - began, tail)
            key = self._key_of(vertex, twinned=twinned)
            self._cache.put(key, record)
            self._keys[vertex.digest] = key
        self._syncer.nudge()
        return record, False

    def _key_of(self, vertex: Vertex, *, twinned: bool) -> Digest:
        """The key that a result is put under: that with twins, if they, or an input of that kind, had a part in it."""
        keys = self._job.keys
        inputs = self._inputs_of(vertex.digest) & self._keys.keys()
        apart = twinned or any(self._keys[each] != keys.of[each] for each in inputs)
        return keys.twinned[vertex.digest] if apart else keys.of[vertex.digest]

    def _changed(self, vertex: Vertex, below: Chain) -> tuple[str, str, bool]:
        """Do ``vertex`` over ``below``: the new snapshot's name, what was printed, and whether twins had a part in it."""
        step = self._job.plan.steps[vertex.digest]
        twin = self._graph.twins.get(vertex.digest, "")
        chain = self._chains.get(twin)
        if self._accelerator is None or step.how is not How.EMULATED or vertex.platform is None:
            with draft(self._work, below) as made:
                return *self._kept(vertex, made, ()), False
        if chain is not None:
            fetch = partial(self._fetch, vertex, chain)
            with self._accelerator.twins(vertex.platform, chain, below, fetch) as shown:
                try:
                    with draft(self._work, below) as made:
                        name, tail = self._kept(vertex, made, shown.binds)
                    self._starts[vertex.digest] = shown.starts()
                    if self._job.accelerate is not Accelerate.VERIFY:
                        return name, tail, self._starts[vertex.digest].twins > 0
                    return self._verified(vertex, vertex.platform, below, name)
                except StepError as error:
                    self._tell(Notice(_failed_with_twins(error, shown.starts())))
        with self._accelerator.plain(vertex.platform) as shown, draft(self._work, below) as made:
            kept = self._kept(vertex, made, shown.binds)
            self._starts[vertex.digest] = shown.starts()
            return *kept, False

    def _verified(self, vertex: Vertex, platform: Platform, below: Chain, twinned: str) -> tuple[str, str, bool]:
        """Do ``vertex`` again without twins, and tell how that differs from the snapshot ``twinned``, which then goes."""
        assert self._accelerator is not None
        with self._accelerator.plain(platform) as shown, draft(self._work, below) as made:
            name, tail = self._kept(vertex, made, shown.binds)
        folder = self._store.snapshots / twinned
        comparison = compare(folder, self._store.snapshots / name)
        remove_tree(folder)
        self._tell(Compared(vertex.digest, comparison))
        self._comparisons[vertex.digest] = comparison
        return name, tail, False

    def _fetch(self, vertex: Vertex, chain: Chain, script: str, folder: Path) -> None:
        """Run ``script`` over ``chain`` on this machine's platform, for the sake of ``vertex``; see `Accelerator.twins`."""
        op = ExecOp(("/bin/sh", "-c", script), _FETCH_ENVIRONMENT, "/")
        own = Vertex(op, (), self._job.plan.host, replace(vertex.label, text="the cross packages of its compilers"))
        tell = lambda data: None  # noqa: E731
        with draft(self._work, chain) as made:
            shown = [BindMount(str(folder), FETCHED, ("rw", "nosuid", "nodev"))]
            self._executor.run(own, made, self._mounts(own), tell, shown)

    def _kept(self, vertex: Vertex, made: Draft, more: Sequence[BindMount]) -> tuple[str, str]:
        tail = self._change(vertex, made, more)
        return keep(made, self._store.snapshots), tail

    def _source(self, op: SourceOp) -> Record:
        if not op.identifier.startswith(IMAGE):
            return Record((), 0.0)
        began = time.monotonic()
        chain = unpacked(self._store, self._cache, base_image(self._store, op), self._work)
        return Record(chain, time.monotonic() - began)

    def _chain_of(self, vertex: Vertex, index: int) -> Chain:
        digest = vertex.inputs[index].digest if vertex.inputs else ""
        return self._chains[digest] if digest else ()

    def _change(self, vertex: Vertex, made: Draft, more: Sequence[BindMount]) -> str:
        try:
            if isinstance(vertex.op, ExecOp):
                tell = lambda data: self._tell(StepOutput(vertex.digest, data))  # noqa: E731
                return self._executor.run(vertex, made, self._mounts(vertex), tell, more)
            if isinstance(vertex.op, SourceOp):
                remote = self._job.remotes[vertex.digest]
                Remotes(self._store, self._job.host_ca).fill(vertex.op, remote, made.merged)
                return ""
            assert isinstance(vertex.op, FileOp)
            with contextlib.ExitStack() as stack:
                apply(
                    vertex.op.actions,
                    made.merged,
                    lambda index: self._origin(vertex, index, stack),
                    lambda text: self._tell(StepOutput(vertex.digest, f"{text}\n".encode(errors="replace"))),
                )
        except SourceError as error:
            error.place = error.place or f"{self._job.dockerfile}:{vertex.label.line}"
            raise
        return ""

    def _origin(self, vertex: Vertex, index: int, stack: contextlib.ExitStack) -> Origin:
        digest = vertex.inputs[index].digest
        op = self._graph.vertices[digest].op if digest else None
        if isinstance(op, SourceOp) and op.identifier.startswith(LOCAL):
            return Origin(self._job.context.at(op.identifier), (0, 0))
        return tree_origin(stack.enter_context(view(self._work, self._chain_of(vertex, index))))

    # -- mounts --------------------------------------------------------------------------------------------------

    def _mounts(self, vertex: Vertex) -> StepMounts:
        return StepMounts(
            self._store,
            self._job.credentials,
            self._work,
            self._work / EXEC,
            lambda mount: self._tree(vertex, mount),
        )

    def _tree(self, vertex: Vertex, mount: Mount) -> Tree:
        given = vertex.inputs[mount.input].digest
        key = self._keys.get(given, self._job.keys.of[given]) if given else ""
        op = self._graph.vertices[given].op if given else None
        if isinstance(op, SourceOp) and op.identifier.startswith(LOCAL):
            return Tree((str(self._context_copy(vertex, mount)),), "tree", key)
        return Tree(self._chain_of(vertex, mount.input), mount.selector, key)

    def _context_copy(self, vertex: Vertex, mount: Mount) -> Path:
        """A folder whose ``tree`` is what ``mount`` shows of a context, the same for all steps that show the same.

        The context itself would show what is ignored, and could change under the step.
        """
        with self._copying, contextlib.ExitStack() as stack:
            tree = self._origin(vertex, mount.input, stack).tree
            path = tree.resolve(clean(mount.selector)) or ""
            known = (vertex.inputs[mount.input].digest, path)
            if known not in self._copies:
                folder = self._work / f"context-{len(self._copies)}"
                folder.mkdir()
                copy_path(tree, path, folder, "/tree", (0, 0))
                self._copies[known] = folder
            return self._copies[known]


@contextlib.contextmanager
def work_folder(store: Store) -> Iterator[Path]:
    """A folder for this build's drafts, locked while it lives; those of dead builds are removed first."""
    for entry in list(os.scandir(store.tmp)):
        if entry.name.startswith(_WORK):
            with store.try_lock(entry.name) as ours:
                if ours:
                    remove_tree(Path(entry.path))
    name = f"{_WORK}{secrets.token_hex(6)}"
    with store.lock(name):
        folder = store.tmp / name
        folder.mkdir()
        try:
            yield folder
        finally:
            for name in (BINFMT, EXEC):
                with contextlib.suppress(OSError):
                    syscalls.umount(str(folder / name), syscalls.MNT_DETACH)
            remove_tree(folder)
            with contextlib.suppress(OSError):
                os.unlink(store.locks / name)
