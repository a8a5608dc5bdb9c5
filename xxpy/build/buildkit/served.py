"""What a builder cannot do, said before anything starts."""

from __future__ import annotations

from collections.abc import Sequence

from xxpy.build.builders import Builder
from xxpy.build.buildkit.buildx import Inspected, unknown, unreachable
from xxpy.build.engine import Job, Recipe
from xxpy.build.events import Notice
from xxpy.build.graph import ExecOp
from xxpy.build.plan import Accelerate
from xxpy.build.remotecache.spec import KEEP
from xxpy.build.verdict import Mode
from xxpy.errors import HostError, UsageError
from xxpy.platforms import runs_natively

_EMBEDDED = "leave it out, or build with --builder embedded"
_STORE = (
    "turn on the containerd image store (Docker's daemon.json: "
    '{"features": {"containerd-snapshotter": true}}), or: xx builder create --driver docker-container --use'
)


def require_served(job: Job, recipe: Recipe) -> None:
    """Refuse what BuildKit has no counterpart of. Raises UsageError (``not-served``)."""
    problem = ""
    if job.verify.mode in (Mode.ERROR, Mode.WARN):
        problem = f"--verify={job.verify.mode.value}: what BuildKit has built is not looked at"
    if job.verify.allow:
        problem = "--verify-allow: what BuildKit has built is not looked at"
    if job.accelerate is Accelerate.VERIFY:
        problem = "--accelerate=verify: BuildKit starts no twins"
    if any("::" in name for name in recipe.contexts.sources):
        problem = "--build-context NAME::PLATFORM=…: buildx takes no platform there"
    if recipe.parsed is None and job.host_ca.bundle is not None:
        problem = "--host-ca: which steps there are is not known of another front end's language"
    if any(f"{KEEP}=" in each for each in recipe.cache_to):
        problem = f"--cache-to …,{KEEP}=: BuildKit keeps all that was added to a cache"
    if problem:
        raise UsageError(problem, remedy=_EMBEDDED, reason="not-served")


def require_able(
    builder: Builder, found: Inspected | None, job: Job, recipe: Recipe, layouts: Sequence[str]
) -> list[Notice]:
    """Refuse what the driver cannot do, as far as it is known before it has been started; what may go wrong.

    ``layouts`` are the names in FROM that are handed over as OCI layouts.

    Raises UsageError (``builder-unknown``, ``builder-differs``), HostError (``builder-unreachable``,
    ``driver-exporter``, ``driver-platforms``, ``driver-cache``, ``driver-layouts``).
    """
    if found is None:
        raise unknown(builder.name)
    if found.error or not found.driver:
        raise unreachable(builder, found.error or "buildx does not say why")
    if builder.own and found.driver != builder.driver:
        raise UsageError(
            f"buildx has a builder {builder.name} of driver {found.driver}, ours is of {builder.driver}",
            remedy=f"remove one of them: docker buildx rm {builder.name}, or xx builder rm {builder.name}",
            reason="builder-differs",
        )
    _require_features(f"the builder {builder.name} (driver {found.driver})", found, job, recipe, layouts)
    return _foreign(builder, found, job)


def _require_features(subject: str, found: Inspected, job: Job, recipe: Recipe, layouts: Sequence[str]) -> None:
    if len(recipe.platforms) > 1 and found.features.get("Multi-platform build") is False:
        raise HostError(
            f"{subject} builds for one platform only",
            remedy=f"name one --platform; or {_STORE}",
            reason="driver-platforms",
        )
    if job.image and found.features.get("OCI exporter") is False:
        raise HostError(
            f"{subject} writes no OCI images",
            remedy=f"take the files alone: -o DIR; or {_STORE}",
            reason="driver-exporter",
        )
    # An inline cache is part of the image.
    beside = [each for each in recipe.cache_to if "type=inline" not in each.split(",")]
    if beside and found.features.get("Cache export") is False:
        raise HostError(
            f"{subject} writes no cache: --cache-to {beside[0]}",
            remedy=f"leave it out; or {_STORE}",
            reason="driver-cache",
        )
    # buildx has no name for it, and it is the same store that reads them.
    if layouts and found.features.get("OCI exporter") is False:
        raise HostError(
            f"{subject} reads no OCI layouts, as which {', '.join(layouts)} would be handed over",
            remedy=_STORE,
            reason="driver-layouts",
        )


def _foreign(builder: Builder, found: Inspected, job: Job) -> list[Notice]:
    """RUNs of platforms that the builder does not say it runs: it may have learnt of QEMU since it started."""
    if not found.platforms:
        return []
    steps = [each.vertex for each in job.plan.steps.values() if isinstance(each.vertex.op, ExecOp)]
    lines: dict[str, int] = {}
    for vertex in steps:
        platform = vertex.platform
        if platform is not None and not any(runs_natively(platform, each) for each in found.platforms):
            lines.setdefault(str(platform), vertex.label.line)
    return [
        Notice(f"{builder.name} does not say that it runs {platform} programs, as {job.dockerfile}:{line} needs")
        for platform, line in lines.items()
    ]
