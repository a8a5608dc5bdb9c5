"""What a build starts of others, and lacks: found before the first step is begun."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass

from xxpy.build.credentials import require_given
from xxpy.build.engine import Job
from xxpy.build.engine.emulation import emulators_for
from xxpy.build.engine.limits import make_room
from xxpy.build.engine.needs import needed
from xxpy.build.graph import Digest, ExecOp
from xxpy.build.plan import How
from xxpy.build.tools import Emulator, Runtime, cgroup_v1, crun_refuses, find_runtime
from xxpy.errors import HostError


@dataclass(frozen=True)
class Programs:
    """Programs of others that a build starts, found before it does: asking each for its version takes its time."""

    runtime: Runtime | None
    emulators: tuple[Emulator, ...]


def programs_for(job: Job, answered: Container[Digest]) -> Programs:
    """Refuse now what could not run later; what will run the steps.

    Raises HostError (``no-emulator``, ``runtime-missing``, ``ulimit-too-high``), SourceError (``secret-missing``).
    """
    running = [job.plan.steps[digest] for digest in needed(job.plan.graph, answered)]
    emulated = any(step.how is How.EMULATED for step in running)
    emulators = emulators_for(job.plan.emulated) if emulated else ()
    execs = [step.vertex.op for step in running if isinstance(step.vertex.op, ExecOp)]
    runtime = _require_runtime() if execs else None
    require_given([step.vertex for step in running], job.credentials, job.dockerfile)
    make_room({limit for op in execs for limit in op.ulimits})
    return Programs(runtime, emulators)


def _require_runtime() -> Runtime:
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
    return runtime
