"""ONBUILD: triggers, kept as text in an image's config, run at the start of a stage that is FROM that image.

Source: Dockerfile reference, "ONBUILD". A trigger has no line of its own in the file that it runs in: its place is the
FROM's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from xxpy.build.dockerfile.instructions import Instruction
from xxpy.build.dockerfile.parse import parse_one
from xxpy.errors import XxError

_OWN = re.compile(r"\s*ONBUILD\s+", re.IGNORECASE)


def trigger_of(at: Instruction) -> str:
    """The text that an ONBUILD leaves in the image's config: the instruction on one line, and its here-documents."""
    return _OWN.sub("", at.original, count=1)


def read_triggers(texts: Iterable[str], source: Instruction, path: str) -> tuple[Instruction, ...]:
    """The instructions of an image's triggers, in the place of ``source``, the FROM.

    Raises DockerfileError: what `parse` raises, ``bad-trigger`` for what no ONBUILD may have.
    """
    return tuple(replace(parse_one(text, path, source.range), trigger=True) for text in texts)


@contextmanager
def triggers_named(at: Instruction) -> Iterator[None]:
    """An error of the block says which trigger it is about, if ``at`` is one."""
    try:
        yield
    except XxError as error:
        if at.trigger:
            error.message = f"{error.message} (in the base's trigger: {' '.join(at.original.split())[:80]})"
        raise
