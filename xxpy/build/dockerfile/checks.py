"""Build checks: what is legal in a Dockerfile and most likely not meant, each by the name that BuildKit gives it.

Source: Docker's documentation, "Build checks", for the names and what each finds; Dockerfile reference, "check", for
the directive. Checks whose names begin with ``PlatformArg`` are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xxpy.build.dockerfile.ignore import Ignore
from xxpy.build.dockerfile.instructions import Dockerfile, Instruction
from xxpy.build.graph import ImageConfig
from xxpy.errors import DockerfileError
from xxpy.platforms import Platform

EXPERIMENTAL = frozenset({"InvalidDefinitionDescription"})
"""Checks that are made only where they are asked for."""
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_CHECK = re.compile(r"#\s*check\s*=\s*(\S+).*", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """What a check has found, in the lines ``start`` to ``end``. An ``error`` makes a wrong image, not a poor one."""

    rule: str
    text: str
    start: int
    end: int
    error: bool = False


@dataclass(frozen=True)
class Options:
    """What ``# check=`` says: checks that are not made, experimental ones that are, and whether a finding is fatal.

    ``all`` in a set stands for each.
    """

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    fatal: bool = False

    def wants(self, rule: str) -> bool:
        """Whether a check is made."""
        if rule in EXPERIMENTAL:
            return bool({"all", rule} & self.experimental)
        return not {"all", rule} & self.skip


@dataclass(frozen=True)
class About:
    """What checks know beside the file: as `front.Request`, and of the base images those that were looked up, by name.

    ``ignore`` is the context's; None if there is none. ``every_stage`` is true where all stages count if no target is
    named.
    """

    target: Platform
    host: Platform
    build_args: Mapping[str, str] = field(default_factory=dict)
    target_stage: str = ""
    bases: Mapping[str, ImageConfig] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    ignore: Ignore | None = None
    every_stage: bool = False


def parse_options(text: str, place: str) -> Options:
    """Read the value of the directive: ``skip=A,B;error=true``. Raises DockerfileError (``bad-check``)."""
    made = Options()
    for part in text.split(None, 1)[0].split(";") if text.strip() else ():
        name, _, value = part.partition("=")
        names = frozenset(each.strip() for each in value.split(",") if each.strip())
        if name == "skip" and names:
            made = replace(made, skip=names)
        elif name == "experimental" and names:
            made = replace(made, experimental=names)
        elif name == "error" and value.lower() in (*_TRUE, *_FALSE):
            made = replace(made, fatal=value.lower() in _TRUE)
        else:
            raise DockerfileError(
                f"# check={text[:80]} has the option {part[:40]!r}, which is not known",
                remedy="write # check=skip=NAME,NAME;error=true",
                reason="bad-check",
                place=place,
            )
    return made


class Findings:
    """Gathers findings, of which those are left out that the file or the comment above an instruction skips."""

    def __init__(self, options: Options, lines: Sequence[str]) -> None:
        self._options = options
        self._lines = lines
        self.found: list[Finding] = []

    def add(self, rule: str, text: str, at: Instruction, *, error: bool = False) -> None:
        """Note what a check finds in an instruction."""
        self.at_lines(rule, text, at, (at.range.start, at.range.end), error=error)

    def at_lines(self, rule: str, text: str, at: Instruction, lines: tuple[int, int], *, error: bool = False) -> None:
        """As `add`, at some lines of the instruction."""
        if self._options.wants(rule) and self._allowed(rule, at):
            self.found.append(Finding(rule, text, *lines, error))

    def _allowed(self, rule: str, at: Instruction) -> bool:
        for line in comments_above(self._lines, at):
            if match := _CHECK.fullmatch(line.strip()):
                try:
                    own = parse_options(match[1], "")
                except DockerfileError:
                    return True
                return replace(own, experimental=own.experimental | self._options.experimental).wants(rule)
        return True


def comments_above(lines: Sequence[str], at: Instruction) -> list[str]:
    """The comment lines right above an instruction, from the top."""
    found: list[str] = []
    index = at.range.start - 2
    while 0 <= index < len(lines) and lines[index].lstrip().startswith("#"):
        found.insert(0, lines[index])
        index -= 1
    return found


def description_of(names: Sequence[str], lines: Sequence[str], at: Instruction) -> str:
    """What the comments above an instruction say of what it names, as ``# NAME what it is``; else empty."""
    for line in comments_above(lines, at):
        name, _, said = line.lstrip()[1:].strip().partition(" ")
        if name in names:
            return said.strip()
    return ""


def everything(file: Dockerfile) -> Iterator[Instruction]:
    """All instructions of a file, in order."""
    yield from file.meta_args
    for stage in file.stages:
        yield stage.source
        yield from stage.instructions


def word_of(at: Instruction) -> str:
    """The instruction's name as it is written."""
    return at.original.split(None, 1)[0] if at.original.strip() else at.name


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once, by line."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda found: (found.start, found.rule)))
