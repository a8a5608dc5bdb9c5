"""What an engine hands back for a Plan: where each target's image lies in the store, and what each step took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xxpy.build.descriptor import Descriptor
from xxpy.build.graph import Digest
from xxpy.build.plan import Plan
from xxpy.build.twins.compare import Comparison
from xxpy.platforms import Platform


@dataclass(frozen=True)
class Starts:
    """How many programs an emulated step started as ``twins``, how many ``emulated``; of each the ``most`` frequent.

    ``twin_seconds`` and ``emulated_seconds`` are the processor's, about; ``dearest`` are emulated programs with theirs.
    """

    twins: int = 0
    emulated: int = 0
    most: tuple[tuple[str, int], ...] = ()
    most_twins: tuple[tuple[str, int], ...] = ()
    twin_seconds: float = 0.0
    emulated_seconds: float = 0.0
    dearest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class StepOutcome:
    """One solved vertex. ``seconds`` is what it took now (0.0 when cached), ``cost`` what it took when it last ran.

    ``tail`` is the end of what it printed, at most 4 KiB, kept with the cache record. ``starts`` is of an emulated step
    that ran with twins, ``compared`` of one that ran without them as well.
    """

    vertex: Digest
    cached: bool
    seconds: float
    cost: float
    tail: str = ""
    starts: Starts | None = None
    compared: Comparison | None = None


@dataclass(frozen=True)
class ImageOutcome:
    """One platform's image: the digest of its manifest, a blob of the store."""

    platform: Platform
    manifest: Digest
    size: int


@dataclass(frozen=True)
class Outcome:
    """A whole solved build. ``index`` is the digest of the image index that names all ``images``.

    Where no image was wanted there are no ``images``, and ``index`` is empty.
    ``roots`` has for each vertex that is a result the snapshots of its files, from the lowest up. ``written`` is what
    the last output of images holds, an index or a manifest, None where it is the index. ``plan`` is what was done,
    where that is more than what was planned, else None. ``metadata`` is what the engine has to say besides.
    """

    index: Digest
    images: tuple[ImageOutcome, ...]
    steps: Mapping[Digest, StepOutcome]
    roots: Mapping[Digest, tuple[str, ...]] = field(default_factory=dict)
    written: Descriptor | None = None
    plan: Plan | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
