"""Variables of a Dockerfile: what ``$NAME`` stands for in a FROM and inside a stage.

Source: Dockerfile reference, sections "ARG" (scope, predefined ARGs, automatic platform ARGs) and "Environment
replacement".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xxpy.build.dockerfile.expand import expand_word, expand_words
from xxpy.build.dockerfile.instructions import Instruction
from xxpy.errors import DockerfileError, UsageError, XxError
from xxpy.platforms import Platform

PROXIES = frozenset(
    name
    for base in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (base, base.upper())
)
"""Build arguments that every RUN sees without an ARG, and that enter no cache key and no history."""


def platform_variables(target: Platform, build: Platform) -> dict[str, str]:
    """The automatic platform ARGs for one target on a machine of platform ``build``."""
    values = {}
    for prefix, platform in (("TARGET", target), ("BUILD", build)):
        values[f"{prefix}PLATFORM"] = str(platform)
        values[f"{prefix}OS"] = platform.os
        values[f"{prefix}ARCH"] = platform.arch
        values[f"{prefix}VARIANT"] = platform.variant
        # Of Windows images, which are not built here.
        values[f"{prefix}OSVERSION"] = ""
    return values


@dataclass
class Scope:
    """What is defined at one point. Of an ENV and an ARG of one name the later counts, as BuildKit has it.

    ``automatic`` are the platform variables, visible in a stage after an ARG only; ``given`` the ``--build-arg``s;
    ``globals`` the values of ARGs before the first FROM. ``shadowed`` are names of ENV that a later ARG has taken.
    """

    automatic: Mapping[str, str]
    given: Mapping[str, str]
    globals: Mapping[str, str]
    path: str
    escape: str
    args: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    shadowed: set[str] = field(default_factory=set)

    def variables(self) -> dict[str, str]:
        """What a word may name here, and what a RUN sees."""
        return self.args | {name: value for name, value in self.env.items() if name not in self.shadowed}

    def set_env(self, values: Mapping[str, str]) -> None:
        """What ENV, or a base image, defines."""
        self.env.update(values)
        self.shadowed -= values.keys()

    def inherit(self, parent: Scope) -> None:
        """Begin where the stage ended that this one is FROM: its ENV and, as in BuildKit, its ARGs."""
        self.env.update(parent.env)
        self.args.update(parent.args)
        self.shadowed |= parent.shadowed

    def word(self, text: str, at: Instruction) -> str:
        """``text`` with variables replaced and quotes removed; errors carry the line of ``at``."""
        with self.placed(at):
            return expand_word(text, self.variables(), self.escape)

    def words(self, text: str, at: Instruction) -> list[str]:
        """As `word`, but an unquoted value with spaces is several words."""
        with self.placed(at):
            return expand_words(text, self.variables(), self.escape)

    def placed(self, at: Instruction) -> _Placed:
        return _Placed(f"{self.path}:{at.range.start}")

    def declare(self, name: str, default: str | None, at: Instruction) -> None:
        """An ARG, with its default as written, which is expanded where it counts.

        The platform variables keep their true value whatever default the Dockerfile gives: ``ARG TARGETARCH=amd64``
        would otherwise make images that hold another platform's programs (docker/buildx#510).
        """
        value: str | None
        for values in (self.given, self.automatic):
            if name in values:
                value = values[name]
                break
        else:
            value = self.globals.get(name) if default is None else self.word(default, at)
        if value is not None:
            self.args[name] = value
            self.shadowed.add(name)


class _Placed:
    """Adds the place to an error that has none, once, where it is known.

    What would be a wrong command line (a platform, an image's name) is a wrong Dockerfile here.
    """

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UsageError):
            raise DockerfileError(
                error.message, remedy=error.remedy, reason=error.reason, place=error.place or self._place
            ) from None
        if isinstance(error, XxError) and not error.place:
            error.place = self._place


def global_scope(
    meta_args: tuple[Instruction, ...],
    automatic: Mapping[str, str],
    given: Mapping[str, str],
    path: str,
    escape: str,
) -> Scope:
    """What FROM lines see: the platform variables and the ARGs before the first FROM."""
    from xxpy.build.dockerfile.parse import pairs

    scope = Scope(automatic, given, {}, path, escape)
    scope.args.update({name: given.get(name, value) for name, value in automatic.items()})
    for instruction in meta_args:
        for name, default in pairs(instruction):
            scope.declare(name, default, instruction)
    return scope
