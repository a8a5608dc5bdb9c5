"""What a part of a Dockerfile reaches: the stages that a stage takes from, and the variables that a word names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xxpy.build.dockerfile.expand import expand_word
from xxpy.build.dockerfile.front import find_named, find_stage
from xxpy.build.dockerfile.instructions import Dockerfile, Stage
from xxpy.errors import DockerfileError

_FROM_FLAG = re.compile(r"--from=(.+)|--mount=(?:.*,)?from=([^,]+).*")


class Watched(dict[str, str]):
    """Variables that note which of them are asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.used: set[str] = set()
        self.missed: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        (self.used if key in self else self.missed).add(key)
        return super().get(key, default)


def needed_stages(file: Dockerfile, target: Stage, variables: Mapping[str, str]) -> list[Stage]:
    """``target`` and the stages that it takes from, and those from theirs; of each first the one that it is FROM.

    ``variables`` are those that FROM sees. Raises DockerfileError (``expand-failed``).
    """
    found: dict[int, Stage] = {}
    todo = [target]
    while todo:
        stage = todo.pop()
        if stage.index not in found:
            found[stage.index] = stage
            todo += reversed(list(_taken_from(file, stage, variables)))
    return list(found.values())


def _taken_from(file: Dockerfile, stage: Stage, variables: Mapping[str, str]) -> Iterator[Stage]:
    above = file.stages[: stage.index]
    try:
        base = expand_word(stage.base, variables, file.directives.escape)
    except DockerfileError as error:
        error.place = f"{file.path}:{stage.source.range.start}"
        raise
    if parent := find_named(above, base):
        yield parent
    for at in stage.instructions:
        # A trigger of ONBUILD takes from stages too, where it runs.
        for match in map(_FROM_FLAG.fullmatch, at.flags if at.name != "ONBUILD" else at.args[0].split()):
            if match and (found := find_stage(above, match[1] or match[2])):
                yield found
