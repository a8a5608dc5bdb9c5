"""What a Dockerfile offers to whoever builds it: its targets, and the arguments, secrets and ssh-agents of one.

Source: docker buildx build's reference, "--call"; BuildKit's subrequests ``outline`` and ``targets`` for the names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xxpy.build.credentials import DEFAULT_AGENT
from xxpy.build.dockerfile.checks import About, description_of
from xxpy.build.dockerfile.expand import expand_word
from xxpy.build.dockerfile.front import find_named, target_stage
from xxpy.build.dockerfile.instructions import Dockerfile, Instruction, Range, Stage
from xxpy.build.dockerfile.made import DEFAULT_PATH
from xxpy.build.dockerfile.mounts import run_mounts
from xxpy.build.dockerfile.parse import pairs
from xxpy.build.dockerfile.reach import Watched, needed_stages
from xxpy.build.dockerfile.remote import git_source
from xxpy.build.dockerfile.scope import Scope, global_scope, platform_variables
from xxpy.build.gitssh import is_ssh
from xxpy.build.graph import SCRATCH, MountType
from xxpy.errors import DockerfileError


@dataclass(frozen=True)
class Target:
    """A stage as ``--target`` takes it; ``base`` and ``platform`` are those of its FROM, as written."""

    index: int
    name: str
    description: str
    base: str
    platform: str
    range: Range
    default: bool


@dataclass(frozen=True)
class Argument:
    """An ARG with the value that it has in this build, empty for none."""

    name: str
    value: str
    description: str
    range: Range


@dataclass(frozen=True)
class Credential:
    """The id of a secret or an ssh-agent, where it is first asked for."""

    name: str
    required: bool
    range: Range


@dataclass(frozen=True)
class Outline:
    """What the stage ``target`` takes of who builds it, by line."""

    target: Target
    arguments: tuple[Argument, ...]
    secrets: tuple[Credential, ...]
    agents: tuple[Credential, ...]


def targets_of(file: Dockerfile, text: str) -> tuple[Target, ...]:
    """Every stage of ``file``, whose text is ``text``, in order."""
    lines = _lines(text)
    return tuple(_target(stage, lines, default=stage is file.stages[-1]) for stage in file.stages)


def outline_of(file: Dockerfile, text: str, about: About) -> Outline:
    """The outline of the target. Raises DockerfileError where that is not there, or a mount or variable is wrong."""
    target = target_stage(file, about.target_stage)
    work = _Outliner(file, _lines(text), about)
    needed = [stage for stage in needed_stages(file, target, work.variables) if stage.name not in about.replaced]
    for stage in sorted(needed, key=lambda stage: stage.index):
        work.read(stage)
    found = _Found()
    for stage in needed:
        # Of what several stages have, that counts which is nearest to the target.
        found.add(work.found[stage.index])
    return Outline(
        _target(target, _lines(text), default=target is file.stages[-1]),
        tuple(sorted(found.arguments.values(), key=lambda each: each.range.start)),
        tuple(sorted(found.secrets.values(), key=lambda each: each.range.start)),
        tuple(sorted(found.agents.values(), key=lambda each: each.range.start)),
    )


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def _target(stage: Stage, lines: Sequence[str], *, default: bool) -> Target:
    at = stage.source
    said = description_of((at.args[2], stage.name), lines, at) if stage.name else ""
    return Target(stage.index, stage.name, said, stage.base, stage.platform, at.range, default)


class _Found:
    """What a stage asks for by itself, by name; of several the first counts."""

    def __init__(self) -> None:
        self.arguments: dict[str, Argument] = {}
        self.secrets: dict[str, Credential] = {}
        self.agents: dict[str, Credential] = {}

    def add(self, other: _Found) -> None:
        self.arguments = other.arguments | self.arguments
        for mine, theirs in ((self.secrets, other.secrets), (self.agents, other.agents)):
            for each in theirs.values():
                _ask(mine, each)


def _ask(found: dict[str, Credential], wanted: Credential) -> None:
    first = found.setdefault(wanted.name, wanted)
    found[wanted.name] = replace(first, required=first.required or wanted.required)


class _Outliner:
    def __init__(self, file: Dockerfile, lines: Sequence[str], about: About) -> None:
        self._file = file
        self._lines = lines
        self._about = about
        self._escape = file.directives.escape
        self._automatic = platform_variables(about.target, about.host)
        self._globals = global_scope(file.meta_args, self._automatic, about.build_args, file.path, self._escape)
        self.variables = self._globals.args
        self._scopes: dict[int, Scope] = {}
        self._above: dict[str, Argument] = {}
        """The ARGs before the first FROM."""
        self._behind: dict[str, set[str]] = {}
        """Whose values are in theirs."""
        self.found: dict[int, _Found] = {}
        for at in file.meta_args:
            for name, default in pairs(at):
                self._above[name] = self._argument(name, self.variables.get(name, ""), at)
                given = default is None or name in about.build_args
                self._behind.setdefault(name, set()).update(() if given else self._used(default or "", at))

    def _argument(self, name: str, value: str, at: Instruction) -> Argument:
        return Argument(name, value, description_of((name,), self._lines, at), at.range)

    def _used(self, word: str, at: Instruction) -> set[str]:
        watched = Watched(self.variables)
        with self._globals.placed(at):
            expand_word(word, watched, self._escape)
        return watched.used

    def read(self, stage: Stage) -> None:
        """Note what a stage asks for; the stage that it is FROM was read before."""
        scope, found = self._scope(stage), self.found.setdefault(stage.index, _Found())
        self._scopes[stage.index] = scope
        todo = self._used(stage.base, stage.source) | self._used(stage.platform, stage.source)
        for at in stage.instructions:
            if at.name == "ARG":
                todo |= self._arguments(at, scope, found)
            elif at.name == "ENV":
                scope.set_env({name: scope.word(value or "", at) for name, value in pairs(at)})
            elif at.name == "RUN":
                self._mounts(at, scope, found)
            elif at.name == "ADD" and any(self._is_by_ssh(word, scope) for word in at.args[:-1]):
                _ask(found.agents, Credential(DEFAULT_AGENT, True, at.range))
        while todo:
            name = todo.pop()
            if name in self._above and name not in found.arguments:
                found.arguments[name] = self._above[name]
                todo |= self._behind[name]

    def _scope(self, stage: Stage) -> Scope:
        base = expand_word(stage.base, self.variables, self._escape)
        above = {name: value for name, value in self.variables.items() if name not in self._automatic}
        scope = Scope(self._automatic, self._about.build_args, above, self._file.path, self._escape)
        parent = find_named(self._file.stages[: stage.index], base)
        if parent is not None and parent.index in self._scopes:
            scope.inherit(self._scopes[parent.index])
            return scope
        config = self._about.bases.get(base)
        scope.set_env(
            {"PATH": DEFAULT_PATH, **dict(pair.partition("=")[::2] for pair in (config.env if config else ()))}
        )
        return scope

    def _arguments(self, at: Instruction, scope: Scope, found: _Found) -> set[str]:
        """Note the ARGs of one instruction; gives those whose value comes from before the first FROM."""
        inherited = set()
        for name, default in pairs(at):
            scope.declare(name, default, at)
            if default is None and name in self._above and name not in self._about.build_args:
                inherited.add(name)
            elif name not in self._automatic:
                found.arguments[name] = self._argument(name, scope.args.get(name, ""), at)
        return inherited

    def _mounts(self, at: Instruction, scope: Scope, found: _Found) -> None:
        for mount in run_mounts(at, scope, "/", self._about.target, lambda name: SCRATCH).mounts:
            if mount.secret is not None:
                kind = found.agents if mount.type is MountType.SSH else found.secrets
                _ask(kind, Credential(mount.secret.id, not mount.secret.optional, at.range))

    def _is_by_ssh(self, word: str, scope: Scope) -> bool:
        with contextlib.suppress(DockerfileError):
            source = git_source(expand_word(word, scope.variables(), self._escape))
            return source is not None and is_ssh(source.remote)
        return False
