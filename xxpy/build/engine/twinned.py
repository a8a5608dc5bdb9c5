"""Emulated steps that run with twins: what has to be solved for them, the run, the second run that compares.

A step that fails with twins is run again without them before it is called failed. What was made with them has keys of
its own (`Keys.twinned`), until a comparison has found it equal.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xxpy.build.engine import Job
from xxpy.build.engine.cache import Cache
from xxpy.build.engine.needs import needed
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.engine.snapshots import Chain
from xxpy.build.engine.spec import BindMount
from xxpy.build.events import Compared, Event, Notice
from xxpy.build.graph import Digest, ExecOp, Vertex
from xxpy.build.outcome import Starts
from xxpy.build.plan import Accelerate
from xxpy.build.store import Store
from xxpy.build.tools import Emulator
from xxpy.build.twins import FETCHED
from xxpy.build.twins.compare import Comparison, compare
from xxpy.build.twins.packages import DATABASES
from xxpy.errors import HostError, StepError, XxError

if TYPE_CHECKING:
    from xxpy.build.engine.accelerate import Accelerator

_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")


@dataclass(frozen=True)
class Made:
    """What a step made: the name of its snapshot, the end of what it printed, and whether twins had a part in it."""

    snapshot: str
    tail: str
    twinned: bool = False


Waiting = dict[Digest, set[Digest]]
Run = Callable[[Vertex, Chain, Sequence[BindMount]], Made]
"""Runs a step over a chain, showing it more than its own mounts, and keeps what it made."""
Try = Callable[[Vertex, Chain, Sequence[BindMount]], None]
"""Runs a step in the same way and keeps nothing."""


class Twinned:
    """The steps of one build that are emulated. ``emulators`` are what the kernel is to be told of."""

    def __init__(
        self, store: Store, cache: Cache, work: Path, job: Job, qemu: Sequence[Emulator], tell: Callable[[Event], None]
    ) -> None:
        self._store = store
        self._job = job
        self._tell = tell
        self._accelerator: Accelerator | None = None
        self.emulators = tuple(qemu)
        self._said: set[str] = set()
        self.starts: dict[Digest, Starts] = {}
        self.comparisons: dict[Digest, Comparison] = {}
        if qemu and job.accelerate is not Accelerate.OFF and job.plan.graph.twins:
            # Imported with the first emulated step that may have twins: most builds have none.
            from xxpy.build.engine.accelerate import Accelerator

            try:
                self._accelerator = Accelerator(store, cache, work, qemu, job.plan.host)
                self.emulators = self._accelerator.emulators
            except HostError as error:
                remedy = f" ({error.remedy})" if error.remedy else ""
                tell(Notice(f"no step is accelerated: {error.message}{remedy}"))

    @property
    def on(self) -> bool:
        """Whether steps run under the dispatcher."""
        return self._accelerator is not None

    def turn_off(self) -> None:
        """The kernel could not be told of the dispatcher, and starts the host's QEMU."""
        self._accelerator = None

    def only_for_twins(self, wanted: Sequence[Digest], records: Container[Digest]) -> frozenset[Digest]:
        """What has to be solved, besides ``wanted``, only so that those find their twins in it."""
        graph = self._job.plan.graph
        roots = [graph.twins[digest] for digest in wanted if digest in graph.twins] if self.on else []
        return frozenset(needed(graph, records, roots)) - frozenset(wanted)

    def spare(self, waiting: Waiting, twins: frozenset[Digest], below: Callable[[Digest], Chain]) -> None:
        """Where no twin can be found, have a step wait for none, and forget what would be solved for its sake.

        ``waiting`` has the steps that are not yet begun, with what they wait for; ``twins`` is `only_for_twins`;
        ``below`` gives the chain that a step changes, as soon as that is there.
        """
        for digest, inputs in list(waiting.items()):
            twin = self._job.plan.graph.twins.get(digest, "")
            ready = inputs == ({twin} if twin else set()) and digest in waiting
            if not ready or not (twin or digest in twins) or self.hopeful(below(digest)):
                continue
            if twin:
                inputs.clear()
            else:
                self.do_without(digest, waiting)

    def do_without(self, failed: Digest, waiting: Waiting) -> None:
        """Forget ``failed`` and all that is made from it: nothing but twins were to be found in those."""
        gone = [failed]
        for digest in gone:
            gone += [each for each in waiting if digest in self._job.plan.graph.inputs_of(each) and each not in gone]
        for digest in gone:
            waiting.pop(digest, None)
        for inputs in waiting.values():
            inputs.difference_update(gone)

    def hopeful(self, below: Chain) -> bool:
        """Whether a step over ``below`` may have twins: which build a program is, a package manager has to say."""
        return not below or any(
            (self._store.snapshots / name / database.lstrip("/")).is_file() for name in below for database in DATABASES
        )

    def solve(self, vertex: Vertex, twin: Chain | None, below: Chain, run: Run, attempt: Try) -> Made:
        """Run the emulated ``vertex`` over ``below``, with twins out of the chain ``twin`` where there is one.

        Raises StepError and what ``run`` raises, OSError.
        """
        assert self._accelerator is not None and vertex.platform is not None
        if twin is not None:
            fetch = partial(self._fetch, vertex, twin, attempt)
            try:
                with self._accelerator.twins(vertex.platform, twin, below, fetch) as shown:
                    self._say_once(shown.reason)
                    try:
                        made = run(vertex, below, shown.binds)
                    finally:
                        self.starts[vertex.digest] = shown.starts()
                if self._job.accelerate is Accelerate.VERIFY:
                    made = self._verified(vertex, below, run, made)
                else:
                    made = replace(made, twinned=self.starts[vertex.digest].twins > 0)
                self._accelerator.keep(shown, made.snapshot)
                return made
            except StepError as error:
                self._tell(Notice(_failed_with_twins(error, self.starts.get(vertex.digest, Starts()))))
        return self._plainly(vertex, below, run)

    def _say_once(self, reason: str) -> None:
        if reason and reason not in self._said:
            self._said.add(reason)
            self._tell(Notice(f"emulated steps have no twins: {reason}"))

    def _plainly(self, vertex: Vertex, below: Chain, run: Run) -> Made:
        assert self._accelerator is not None and vertex.platform is not None
        with self._accelerator.plain(vertex.platform) as shown:
            return run(vertex, below, shown.binds)

    def _verified(self, vertex: Vertex, below: Chain, run: Run, twinned: Made) -> Made:
        """Run ``vertex`` again without twins, tell how that differs from ``twinned``, and drop the latter."""
        folder = self._store.snapshots / twinned.snapshot
        try:
            made = self._plainly(vertex, below, run)
            comparison = compare(folder, self._store.snapshots / made.snapshot)
        finally:
            remove_tree(folder)
        self.comparisons[vertex.digest] = comparison
        self._tell(Compared(vertex.digest, comparison))
        return made

    def _fetch(self, vertex: Vertex, chain: Chain, attempt: Try, script: str, folder: Path) -> None:
        """Run ``script`` over ``chain`` on this machine's platform, for the sake of ``vertex``; see `Accelerator`."""
        op = ExecOp(("/bin/sh", "-c", script), _ENVIRONMENT, "/")
        own = Vertex(op, (), self._job.plan.host, replace(vertex.label, text="the cross packages of its compilers"))
        try:
            attempt(own, chain, [BindMount(str(folder), FETCHED, ("rw", "nosuid", "nodev"))])
        except XxError as error:
            self._tell(Notice(f"compilers are emulated, because their cross packages cannot be had: {error.message}"))
            (folder / "root").mkdir(exist_ok=True)


def _failed_with_twins(error: StepError, starts: Starts) -> str:
    programs = ", ".join(name for name, _ in starts.most_twins) or "none"
    return (
        f"{error.place}: failed with twins and is run without them now; if that succeeds, it is a fault of xx, "
        f"and these programs are what to report: {programs}"
    )
