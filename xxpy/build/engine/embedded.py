"""The embedded Engine: walks the Plan, runs what no cache record answers, and writes the images.

The caller's process looks the records up; when all is known it writes the index and is done. Otherwise the work is done
by a worker in namespaces of its own (see `namespace`), with a thread for each step that can run.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from xxpy.build.disk import storing, words_of
from xxpy.build.engine import Job
from xxpy.build.engine.cache import Cache, Record, Syncer
from xxpy.build.engine.copy import Origin, copy_path, tree_origin
from xxpy.build.engine.emulation import register
from xxpy.build.engine.execute import Executor
from xxpy.build.engine.files import apply
from xxpy.build.engine.images import (
    IMAGE,
    base_image,
    base_layers,
    index_of,
    known_image,
    make_image,
    own_line,
    unpacked,
)
from xxpy.build.engine.imports import Taken, materialise, take
from xxpy.build.engine.mounts import StepMounts, Tree
from xxpy.build.engine.namespace import Channel, id_maps, run_inside
from xxpy.build.engine.needs import find, known, mend, needed
from xxpy.build.engine.network import Networks, wants_own
from xxpy.build.engine.packing import Packing, all_packed
from xxpy.build.engine.programs import Programs, programs_for
from xxpy.build.engine.snapshots import Chain, Draft, draft, keep, laid_over, view
from xxpy.build.engine.spec import BindMount
from xxpy.build.engine.telling import InOrder, cached_steps
from xxpy.build.engine.truth import verify
from xxpy.build.engine.twinned import Made, Twinned
from xxpy.build.engine.workfolder import BINFMT, EXEC, work_folder
from xxpy.build.events import Exporting, Listener, Notice, StepDone, StepOutput, StepStarted
from xxpy.build.graph import Digest, ExecOp, FileOp, MergeOp, Mount, SourceOp, Vertex, line_of
from xxpy.build.keys import LOCAL
from xxpy.build.naming import one_line
from xxpy.build.outcome import ImageOutcome, Outcome, StepOutcome
from xxpy.build.outputs import Output
from xxpy.build.plan import How
from xxpy.build.remotes import Remotes
from xxpy.build.selection import clean
from xxpy.build.sizes import measure
from xxpy.build.store import Store
from xxpy.build.trees import export_results
from xxpy.errors import SourceError, XxError


class Embedded:
    """An `Engine` on this machine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache = Cache(store)

    def solve(self, job: Job, listener: Listener) -> Outcome:
        """See `Engine.solve`."""
        records, keys = known(self._cache, job)
        images = [known_image(self._store, job, each, keys) for each in job.plan.graph.results] if job.image else []
        for result, image in zip(job.plan.graph.results, images, strict=False):
            if image is None:
                mend(records, own_line(job.plan.graph, result)[0], base_layers(self._store, job.plan.graph, result))
        keys |= {digest: job.keys.of[digest] for digest in records if digest not in keys}
        roots = [result.root for result in job.plan.graph.results if result.root]
        finished = [image for image in images if image is not None]
        chains = {digest: record.chain for digest, record in records.items()}
        whole = len(finished) == len(images) and all(root in records for root in roots)
        whole = whole and all_packed(self._store, job, records)
        notices: list[Notice] = []
        if whole and verify(self._store, job, chains, None, notices.append):
            for digest in records:
                listener(StepDone(digest, time.monotonic(), 0.0, cached=True))
            for notice in notices:
                listener(notice)
            return _outcome(self._store, job, finished, cached_steps(records), chains)
        taken = take(self._store, self._cache, job, records)
        programs = programs_for(job, records.keys() | taken.results.keys())
        solver = _Solver(self._store, self._cache, job, records, keys, taken, programs)
        outcome = run_inside(solver.work, listener, id_maps())
        assert isinstance(outcome, Outcome)
        return outcome

    def export_files(self, job: Job, outcome: Outcome, output: Output, listener: Listener) -> None:
        """See `Engine.export_files`. Raises besides HostError: overlays are mounted to read the files."""
        export_results(self._store, job, outcome, output, listener)


def _outcome(
    store: Store,
    job: Job,
    images: list[ImageOutcome],
    steps: Mapping[Digest, StepOutcome],
    chains: Mapping[Digest, Chain],
) -> Outcome:
    roots = {result.root: chains[result.root] for result in job.plan.graph.results if result.root}
    index = index_of(store, images, job.annotations).digest if job.image else ""
    return Outcome(index, tuple(images), steps, roots)


class _Solver:
    """One build inside its namespaces. `work` runs in the worker.

    ``records`` are what was known before, ``taken`` what caches of others answer.
    """

    def __init__(
        self,
        store: Store,
        cache: Cache,
        job: Job,
        records: Mapping[Digest, Record],
        keys: Mapping[Digest, Digest],
        taken: Taken,
        programs: Programs,
    ) -> None:
        self._store = store
        self._cache = cache
        self._job = job
        self._graph = job.plan.graph
        self._programs = programs
        self._ending = threading.Event()
        self._records = dict(records)
        self._taken = taken
        self._answered = records.keys() | taken.results.keys()
        self._keys = dict(keys)
        """The key of each record that is used, of what was solved before and now."""
        self._steps = cached_steps(records)
        self._chains: dict[Digest, Chain] = {digest: record.chain for digest, record in records.items()}
        self._copies: dict[tuple[Digest, str], Path] = {}
        self._copying = threading.Lock()

    def work(self, channel: Channel) -> Outcome:
        """The worker's whole life."""
        order = (each.digest for each in self._graph if each.digest in self._answered and not self._is_told(each))
        self._tell = InOrder(order, lambda event: channel.send(("value", event)))
        os.umask(0o022)
        os.chdir(self._store.snapshots)
        for digest in self._records:
            self._tell(StepDone(digest, time.monotonic(), 0.0, cached=True))
        with storing(self._store.root), work_folder(self._store) as work:
            self._work = work
            self._prepare()
            self._syncer = Syncer(self._store, self._cache)
            self._pool = ThreadPoolExecutor(max(4, os.cpu_count() or 1), "step")
            self._packing = Packing(self._store, self._job)
            for digest, chain in self._chains.items():
                self._packing.solved(digest, chain)
            try:
                self._run_all()
            except BaseException:
                # The folder of the drafts goes while other steps may still write to theirs.
                self._cache.close()
                raise
            finally:
                self._tell.end()
            self._syncer.nudge()
            verify(self._store, self._job, self._chains, work, self._tell)
            outcome = _outcome(self._store, self._job, self._images(), self._steps, self._chains)
            self._packing.finish()
            measure(self._store)
            self._syncer.wait()
        return outcome

    def _images(self) -> list[ImageOutcome]:
        if not self._job.image:
            return []
        self._tell(Exporting("writing layers and manifests"))
        store, job, packed = self._store, self._job, self._packing.layer
        return [make_image(store, job, result, self._keys, packed) for result in self._graph.results]

    def _is_told(self, vertex: Vertex) -> bool:
        """Whether it was fetched before the worker began, which has told of it."""
        remote = self._job.remotes.get(vertex.digest)
        return remote is not None and remote.fetched is not None and vertex.digest not in self._records

    def _prepare(self) -> None:
        job, runtime = self._job, self._programs.runtime
        self._twinned = Twinned(self._store, self._cache, self._work, job, self._programs.emulators, self._tell)
        if runtime is None:
            return
        networks = Networks(self._work / EXEC)
        self._executor = Executor(runtime, self._work / EXEC, networks, job.host_ca, job.dockerfile, job.proxies)
        self._executor.prepare()
        if any(wants_own(self._graph.vertices[digest].op) for digest in needed(self._graph, self._answered)):
            networks.prepare()
            if networks.refusal:
                text = f"steps share the host's network: {networks.refusal} (xx doctor tells how to mend that)"
                self._tell(Notice(text))
        at = self._work / BINFMT
        at.mkdir()
        if not register(self._twinned.emulators, at):
            self._twinned.turn_off()

    # -- the walk ------------------------------------------------------------------------------------------------

    def _run_all(self) -> None:
        """Run every vertex that a result needs and no record answers, inputs first, as many at once as can."""
        wanted = needed(self._graph, self._answered)
        twins = self._twinned.only_for_twins(wanted, self._answered)
        waiting = {digest: self._open_inputs(digest) for digest in (*wanted, *twins)}
        waiting |= {digest: set() for digest in self._taken.results}
        for digest in wanted:
            waiting[digest] |= {self._graph.twins.get(digest, "")} & waiting.keys()
        running: dict[Future[None], Digest] = {}
        while waiting or running:
            self._twinned.spare(waiting, twins, lambda digest: self._chain_of(self._graph.vertices[digest], 0))
            for digest in [each for each, inputs in waiting.items() if not inputs]:
                del waiting[digest]
                running[self._pool.submit(self._solve_one, self._graph.vertices[digest])] = digest
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                finished = running.pop(future)
                error = future.exception()
                if finished in twins and isinstance(error, XxError):
                    self._twinned.do_without(finished, waiting)
                    continue
                if error is not None:
                    # The first error ends the build; the kernel ends the steps beside it when the worker is gone.
                    self._ending.set()
                    self._pool.shutdown(wait=False, cancel_futures=True)
                future.result()
                self._packing.solved(finished, self._chains[finished])
                for inputs in waiting.values():
                    inputs.discard(finished)

    def _open_inputs(self, digest: Digest) -> set[Digest]:
        return {each for each in self._graph.inputs_of(digest) if each and each not in self._records}

    def _solve_one(self, vertex: Vertex) -> None:
        began = time.monotonic()
        told = self._is_told(vertex)
        if not told:
            self._tell(StepStarted(vertex.digest, began, vertex.digest in self._taken.results))
        try:
            record, cached = self._solved(vertex)
        except BaseException as error:
            if self._ending.is_set():
                # What fails now fails because the build ends: not worth a word beside the reason.
                raise
            now, text = time.monotonic(), words_of(error)
            self._tell(StepDone(vertex.digest, now, now - began, cached=False, error=text))
            raise
        self._chains[vertex.digest] = record.chain
        seconds = 0.0 if cached else time.monotonic() - began
        starts = self._twinned.starts.get(vertex.digest)
        compared = self._twinned.comparisons.get(vertex.digest)
        outcome = StepOutcome(vertex.digest, cached, seconds, record.seconds, record.tail, starts, compared)
        self._steps[vertex.digest] = outcome
        if not told:
            self._tell(StepDone(vertex.digest, time.monotonic(), seconds, cached=cached))

    def _solved(self, vertex: Vertex) -> tuple[Record, bool]:
        if isinstance(vertex.op, SourceOp) and vertex.digest not in self._job.remotes:
            return self._source(vertex.op), False
        with self._store.lock(self._job.keys.of[vertex.digest]):
            # Another build may have solved it while this one waited.
            found = find(self._cache, self._job, vertex.digest) or self._import(vertex.digest)
            if found is not None:
                self._keys[vertex.digest] = found[0]
                return found[1], True
            began = time.monotonic()
            if isinstance(vertex.op, MergeOp):
                record = Record(laid_over(*(self._chain_of(vertex, index) for index in range(len(vertex.inputs)))), 0.0)
                made = Made("", "")
            else:
                below = self._chain_of(vertex, 0)
                made = self._made(vertex, below)
                seconds, text = time.monotonic() - began, one_line(vertex.label.text)
                record = Record((*below, made.snapshot), seconds, made.tail, text)
            self._keys[vertex.digest] = self._key_of(vertex, made)
            self._cache.put(self._keys[vertex.digest], record)
        self._syncer.nudge()
        return record, False

    def _import(self, vertex: Digest) -> tuple[Digest, Record] | None:
        """The key and record of what a cache of others answers."""
        if vertex not in self._taken.results:
            return None
        key, _ = self._taken.results[vertex]
        record = materialise(self._store, self._cache, self._job, vertex, self._taken, self._work)
        self._cache.put(key, record)
        self._syncer.nudge()
        return key, record

    def _key_of(self, vertex: Vertex, made: Made) -> Digest:
        """The key that a result is put under: that with twins, if they, or an input of that kind, had a part in it."""
        keys = self._job.keys
        inputs = self._graph.inputs_of(vertex.digest) & self._keys.keys()
        apart = made.twinned or any(self._keys[each] != keys.of[each] for each in inputs)
        return keys.twinned[vertex.digest] if apart else keys.of[vertex.digest]

    def _made(self, vertex: Vertex, below: Chain) -> Made:
        emulated = self._job.plan.steps[vertex.digest].how is How.EMULATED
        if not emulated or not self._twinned.on:
            return self._run(vertex, below)
        return self._twinned.solve(vertex, self._twin_root(vertex), below, self._run, self._attempt)

    def _twin_root(self, vertex: Vertex) -> Chain | None:
        """Where twins are looked for: after the same step here, or after the last before it that did not fail here."""
        line = line_of(self._graph.vertices, self._graph.twins.get(vertex.digest, ""))
        return next((self._chains[digest] for digest in line if digest in self._chains), None)

    def _run(self, vertex: Vertex, below: Chain, more: Sequence[BindMount] = ()) -> Made:
        with draft(self._work, below) as made:
            tail = self._change(vertex, made, more)
            return Made(keep(made, self._store.snapshots), tail)

    def _attempt(self, vertex: Vertex, below: Chain, more: Sequence[BindMount]) -> None:
        with draft(self._work, below) as made:
            self._executor.run(vertex, made, self._mounts(vertex), lambda data: None, more)

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
                return self._executor.run(
                    vertex, made, self._mounts(vertex), lambda data: self._tell(StepOutput(vertex.digest, data)), more
                )
            if isinstance(vertex.op, SourceOp):
                remote = self._job.remotes[vertex.digest]
                Remotes(self._store, self._job.host_ca, self._job.credentials).fill(vertex.op, remote, made.merged)
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
