"""Engine: what solves a Plan. ``embedded`` runs the steps on this machine, in a user namespace of its own; ``buildkit``
(`xxpy.build.buildkit`) has BuildKit run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xxpy.build.annotations import Annotation
from xxpy.build.context import Context
from xxpy.build.credentials import Credentials
from xxpy.build.dockerfile.instructions import Dockerfile
from xxpy.build.events import Listener
from xxpy.build.graph import Digest
from xxpy.build.hostca import HostCa
from xxpy.build.keys import Keys
from xxpy.build.outcome import Outcome
from xxpy.build.outputs import GZIP, Output
from xxpy.build.plan import Accelerate, Plan
from xxpy.build.runsettings import RunSettings
from xxpy.build.verdict import Verify
from xxpy.platforms import Platform

if TYPE_CHECKING:
    from xxpy.build.contexts import Contexts
    from xxpy.build.engine.imports import Imports
    from xxpy.build.remotes import Remote


@dataclass(frozen=True)
class Recipe:
    """What a Job's plan was made of, for an engine that reads the Dockerfile by itself.

    ``text`` is the Dockerfile's, ``parsed`` None where ``# syntax=`` names another language, of which there is no plan.
    ``files`` says that the files of the results are wanted too. The caches are as they were given. The rest is
    as in `session.Order`.
    """

    file: Path
    text: str
    parsed: Dockerfile | None
    platforms: tuple[Platform, ...]
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    target: str
    no_cache_stages: tuple[str, ...]
    pull: bool
    run: RunSettings
    contexts: Contexts
    files: bool
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """All that an engine needs to know of one build. ``keys`` are empty for an engine with a cache of its own.

    ``dockerfile`` is the path as the user wrote it, for errors. ``epoch`` is SOURCE_DATE_EPOCH, seconds since 1970, or
    None for the present time. ``no_cache`` runs every step again, ``anew`` names those that do.
    ``host_ca`` and ``proxies`` (``NAME=value`` for each RUN that does not set NAME itself) enter no cache key and no
    image; nor do ``credentials``. ``verify`` says how the images are checked;
    ``remotes`` what each source outside was found to be. ``image`` is false where only the files of the results are
    wanted, or nothing but their being made; ``compression`` is of the layers that are packed. ``accelerate`` says
    whether emulated steps start twins. ``imports`` are caches of others, ``exported`` the vertices whose layers are
    wanted for some; with ``inline`` the images themselves say what they are the result of.
    """

    plan: Plan
    keys: Keys
    context: Context
    dockerfile: str
    recipe: Recipe
    epoch: int | None = None
    no_cache: bool = False
    host_ca: HostCa = field(default_factory=HostCa)
    proxies: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    anew: frozenset[Digest] = frozenset()
    verify: Verify = field(default_factory=Verify)
    credentials: Credentials = field(default_factory=Credentials)
    remotes: Mapping[Digest, Remote] = field(default_factory=dict)
    image: bool = True
    compression: str = GZIP
    accelerate: Accelerate = Accelerate.OFF
    imports: Imports | None = None
    exported: frozenset[Digest] = frozenset()
    inline: bool = False

    def runs_anew(self, vertex: Digest) -> bool:
        """Whether a vertex runs whatever the cache knows."""
        return self.no_cache or vertex in self.anew


class Engine(Protocol):
    """What can solve a `Job`."""

    def solve(self, job: Job, listener: Listener) -> Outcome:
        """Run what must be run, write every target's image to the store if wanted, and tell ``listener`` meanwhile.

        Raises StepError, SourceError, HostError, StoreError, VerifyError, Interrupted.
        """

    def export_files(self, job: Job, outcome: Outcome, output: Output, listener: Listener) -> None:
        """Write the files of the results of a job that was solved. Raises UsageError, StoreError, Interrupted."""
