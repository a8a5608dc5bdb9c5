"""Build checks of what a Dockerfile means: stages are walked as the front does, with what their variables stand for.

Of the stages those count that the target needs, or where none is named and nothing is built all, as in BuildKit.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from xxpy.build.dockerfile.checks import About, Finding, Findings, Options, ordered
from xxpy.build.dockerfile.checks_form import check_form, check_ports, legacy_pair
from xxpy.build.dockerfile.expand import expand_word, expand_words
from xxpy.build.dockerfile.front import find_named, find_stage
from xxpy.build.dockerfile.instructions import Dockerfile, Instruction, Stage
from xxpy.build.dockerfile.made import DEFAULT_PATH
from xxpy.build.dockerfile.parse import pairs
from xxpy.build.dockerfile.reach import Watched, needed_stages
from xxpy.build.dockerfile.scope import Scope, global_scope, platform_variables
from xxpy.build.names import normalize_name
from xxpy.errors import DockerfileError, XxError
from xxpy.platforms import Platform

_SECRET = re.compile(r"(_|^)(apikey|auth|credentials?|key|passw(or)?d|pword|secret|token)(_|$)", re.IGNORECASE)
_NO_SECRET = re.compile(r"(_|^)(public|file|version)(_|$)", re.IGNORECASE)
_PLATFORM_ARG = re.compile(r"\$\{?((?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT))\b")
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


def check(file: Dockerfile, text: str, about: About, options: Options) -> tuple[Finding, ...]:
    """What all checks find in ``file``, whose text is ``text``, by line."""
    lines = text.removeprefix("\ufeff").split("\n")
    findings = Findings(options, [line.removesuffix("\r") for line in lines])
    check_form(file, lines, findings)
    # Whoever makes the graph tells of an error.
    with contextlib.suppress(DockerfileError):
        _Checker(file, about, findings).run()
    return ordered(findings.found)


@dataclass(frozen=True)
class _State:
    """What is known at one point of a stage. ``whole`` says that all its variables are, those of its base too."""

    scope: Scope
    whole: bool
    declared: set[str] = field(default_factory=set)
    set_here: set[str] = field(default_factory=set)
    """Of WORKDIR and SHELL those that this file sets."""

    def known(self, name: str) -> bool:
        return name in self.declared or name in self.scope.args or name in self.scope.env


class _Checker:
    def __init__(self, file: Dockerfile, about: About, findings: Findings) -> None:
        self._file = file
        self._about = about
        self._findings = findings
        self._escape = file.directives.escape
        self._automatic = platform_variables(about.target, about.host) | {
            "TARGETSTAGE": about.target_stage or "default"
        }
        self._globals = self._global(about.build_args)
        self._states: dict[int, _State] = {}

    def _global(self, given: Mapping[str, str]) -> Scope:
        return global_scope(self._file.meta_args, self._automatic, given, self._file.path, self._escape)

    def run(self) -> None:
        """Check the FROM of each stage, and the rest of each that is needed."""
        for at in self._file.meta_args:
            self._platform_default(at)
        try:
            defaults = self._global({})
        except DockerfileError:
            # An ARG that must be given has no default to look at.
            defaults = self._globals
        for stage in self._file.stages:
            self._from(stage, defaults)
        for stage in self._needed():
            state = self._begin(stage)
            self._states[stage.index] = state
            if stage.name not in self._about.replaced:
                _StageChecker(stage, state, self._about, self._findings, self._automatic).run()

    def _needed(self) -> list[Stage]:
        stages, wanted = self._file.stages, self._about.target_stage
        if self._about.every_stage and not wanted:
            return list(stages)
        target = (find_stage(stages, wanted) if wanted else None) or stages[-1]
        return sorted(needed_stages(self._file, target, self._globals.args), key=lambda stage: stage.index)

    def _begin(self, stage: Stage) -> _State:
        base = expand_word(stage.base, self._globals.args, self._escape)
        given = {name: value for name, value in self._globals.args.items() if name not in self._automatic}
        scope = Scope(self._automatic, self._about.build_args, given, self._file.path, self._escape)
        parent = find_named(self._file.stages[: stage.index], base)
        if parent is not None:
            above = self._states[parent.index]
            scope.args.update(above.scope.args)
            scope.env.update(above.scope.env)
            return replace(above, scope=scope, declared=set(above.declared), set_here=set(above.set_here))
        config = self._about.bases.get(base)
        scope.env["PATH"] = DEFAULT_PATH
        if config is not None:
            scope.env.update(pair.partition("=")[::2] for pair in config.env)
        shell = {"SHELL"} if config is not None and config.shell else set()
        return _State(scope, base == "scratch" or config is not None, set(), shell)

    def _from(self, stage: Stage, defaults: Scope) -> None:
        at = stage.source
        declared = {name for each in self._file.meta_args for name, _ in pairs(each)} | set(self._automatic)
        platform = self._undefined_in_from(stage.platform, at, declared)
        self._undefined_in_from(stage.base, at, declared)
        if stage.platform:
            self._platform_flag(stage, platform)
        base = expand_word(stage.base, defaults.args, self._escape)
        if base != "scratch" and not _is_name(base):
            text = f"{stage.base} is no image name with the defaults of its ARGs alone: {base!r}"
            self._findings.add("InvalidDefaultArgInFrom", text, at)

    def _undefined_in_from(self, word: str, at: Instruction, declared: set[str]) -> Watched:
        watched = Watched(self._globals.args)
        expand_word(word, watched, self._escape)
        for name in sorted(watched.missed - declared):
            text = f"FROM uses ${name}, which no ARG before the first FROM declares{_perhaps(name, declared)}"
            self._findings.add("UndefinedArgInFrom", text, at)
        return watched

    def _platform_flag(self, stage: Stage, watched: Watched) -> None:
        value = expand_word(stage.platform, self._globals.args, self._escape)
        if watched.used == {"TARGETPLATFORM"} and not watched.missed and value == self._automatic["TARGETPLATFORM"]:
            text = f"--platform={stage.platform} is what a stage runs on anyway"
            self._findings.add("RedundantTargetPlatform", text, stage.source)
        if watched.used or watched.missed:
            return
        try:
            parsed = Platform.parse(value)
        except XxError:
            return
        if parsed.os not in stage.name and parsed.arch not in stage.name:
            text = f"--platform={value} is always the same: use $BUILDPLATFORM, or name the stage after the platform"
            self._findings.add("FromPlatformFlagConstDisallowed", text, stage.source)

    def _platform_default(self, at: Instruction) -> None:
        check_platform_default(at, self._automatic, self._findings)


def check_platform_default(at: Instruction, automatic: Iterable[str], findings: Findings) -> None:
    """``ARG TARGETARCH=amd64``: with BuildKit the default wins for every platform (docker/buildx#510)."""
    for name, default in pairs(at):
        if default is not None and name in automatic and name != "TARGETSTAGE":
            text = f"ARG {name} has a default, which BuildKit takes for every platform: write ARG {name}"
            findings.add("PlatformArgDefault", text, at, error=True)


class _StageChecker:
    """The checks of one stage's instructions, from the state it begins with on."""

    def __init__(self, stage: Stage, state: _State, about: About, findings: Findings, automatic: Iterable[str]) -> None:
        self._stage = stage
        self._state = state
        self._scope = state.scope
        self._about = about
        self._findings = findings
        self._automatic = automatic
        self._last: dict[str, Instruction] = {}

    def run(self) -> None:
        """Check every instruction, in order."""
        for at in self._stage.instructions:
            self._variables(at)
            self._one(at)

    def _one(self, at: Instruction) -> None:
        if at.name in _ONCE:
            if at.name in self._last:
                text = f"of several {at.name} in a stage only the last counts"
                self._findings.add("MultipleInstructionsDisallowed", text, self._last[at.name])
            self._last[at.name] = at
        if at.name in ("CMD", "ENTRYPOINT") and not at.json and "SHELL" not in self._state.set_here:
            text = f'a shell stands between {at.name} and signals: write {at.name} ["program", "argument"]'
            self._findings.add("JSONArgsRecommended", text, at)
        if at.name in ("ENV", "LABEL") and legacy_pair(at, self._scope.escape):
            text = f"write {at.name} NAME=VALUE in place of {at.name} NAME VALUE"
            self._findings.add("LegacyKeyValueFormat", text, at)
        if at.name in ("ARG", "ENV"):
            self._secrets(at)
        if at.name == "WORKDIR":
            self._workdir(at)
        if at.name in ("COPY", "ADD"):
            self._ignored(at)
        if at.name == "SHELL":
            self._state.set_here.add("SHELL")
        if at.name == "EXPOSE":
            check_ports(at, [each for word in at.args for each in self._words(word)], self._findings)
        if at.name == "RUN" and not at.json:
            self._platform_args(at)

    def _secrets(self, at: Instruction) -> None:
        for name, _ in pairs(at):
            if _SECRET.search(name) and not _NO_SECRET.search(name):
                text = f"{at.name} {name} would stay in the image's history: use RUN --mount=type=secret"
                self._findings.add("SecretsUsedInArgOrEnv", text, at)

    def _workdir(self, at: Instruction) -> None:
        if "WORKDIR" not in self._state.set_here and not at.args[0].startswith(("/", "$")):
            text = f"WORKDIR {at.args[0]} depends on the folder that the base image sets: begin it with a slash"
            self._findings.add("WorkdirRelativePath", text, at)
        self._state.set_here.add("WORKDIR")

    def _ignored(self, at: Instruction) -> None:
        ignore = self._about.ignore
        if ignore is None or ignore.has_exceptions or any(flag.startswith("--from=") for flag in at.flags):
            return
        for word in at.args[:-1]:
            source = "/".join(part for part in word.split("/") if part not in ("", "."))
            if word.startswith("<<") or "$" in word or "://" in word or ".." in source.split("/"):
                continue
            # All of the context is left out only by a pattern that leaves out any name.
            if ignore.excludes(source or "any name, as it were"):
                text = f"{at.name}'s source {word} is left out by .dockerignore"
                self._findings.add("CopyIgnoredFile", text, at)

    def _platform_args(self, at: Instruction) -> None:
        text = at.original
        for name in dict.fromkeys(_PLATFORM_ARG.findall(text)):
            if self._state.whole and not self._state.known(name) and not re.search(rf"\b{name}=|read {name}\b", text):
                said = f"${name} is empty here: write ARG {name} above it in this stage"
                self._findings.add("PlatformArgUndeclared", said, at)

    def _words(self, word: str) -> list[str]:
        try:
            return expand_words(word, self._scope.variables(), self._scope.escape)
        except DockerfileError:
            return []

    def _variables(self, at: Instruction) -> None:
        if at.name == "ARG":
            check_platform_default(at, self._automatic, self._findings)
            for name, default in pairs(at):
                if default is not None and name not in self._about.build_args:
                    self._expand([default], at)
                with contextlib.suppress(DockerfileError):
                    self._scope.declare(name, default, at)
                self._state.declared.add(name)
            return
        self._expand(_expanded_words(at), at)
        if at.name == "ENV":
            values = {name: self._value(value or "") for name, value in pairs(at)}
            self._scope.env.update(values)

    def _value(self, word: str) -> str:
        try:
            return expand_word(word, self._scope.variables(), self._scope.escape)
        except DockerfileError:
            return ""

    def _expand(self, words: Iterable[str], at: Instruction) -> None:
        for word in words:
            watched = Watched(self._scope.variables())
            try:
                expand_word(word, watched, self._scope.escape)
            except DockerfileError:
                continue
            for name in sorted(watched.missed) if self._state.whole else ():
                if not self._state.known(name):
                    text = f"${name} is not set here{_perhaps(name, self._scope.variables())}"
                    self._findings.add("UndefinedVar", text, at)


def _expanded_words(at: Instruction) -> Iterator[str]:
    """The words of an instruction whose variables the builder replaces, not the shell."""
    if at.name in ("ENV", "LABEL"):
        for name, value in pairs(at):
            yield from (name, value or "")
    elif at.name in ("COPY", "ADD"):
        yield from at.args
        yield from (flag.partition("=")[2] for flag in at.flags)
    elif at.name in ("STOPSIGNAL", "USER", "VOLUME", "WORKDIR"):
        yield from at.args


def _perhaps(name: str, options: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(options), 1, 0.75)
    return f" (did you mean ${close[0]}?)" if close else ""


def _is_name(text: str) -> bool:
    try:
        return bool(normalize_name(text))
    except XxError:
        return False
