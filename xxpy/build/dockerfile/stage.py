"""One stage, instruction by instruction: what each adds to the graph and to the image's config.

Source: Dockerfile reference, one section for each instruction. What is not run yet is refused by name, with its line.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from xxpy.build.dockerfile.copy import ADD_FLAGS, COPY_FLAGS, copy_files, is_numeric
from xxpy.build.dockerfile.flags import Flags
from xxpy.build.dockerfile.healthcheck import read_healthcheck
from xxpy.build.dockerfile.instructions import Heredoc, Instruction, Stage
from xxpy.build.dockerfile.made import DEFAULT_PATH, Made
from xxpy.build.dockerfile.onbuild import trigger_of, triggers_named
from xxpy.build.dockerfile.parse import pairs
from xxpy.build.dockerfile.ports import exposed
from xxpy.build.dockerfile.remote import told
from xxpy.build.dockerfile.signals import is_signal
from xxpy.build.graph import (
    SCRATCH,
    Digest,
    ExecOp,
    FileOp,
    HistoryEntry,
    Input,
    Label,
    MergeOp,
    MkdirAction,
    NetMode,
    Op,
    SourceOp,
    Vertex,
)
from xxpy.errors import DockerfileError, UnsupportedError
from xxpy.platforms import Platform

DEFAULT_SHELL = ("/bin/sh", "-c")
CONTEXT = "local://context"


def refused(what: str, place: str, remedy: str) -> UnsupportedError:
    """The error for a construct that is understood and not run."""
    return UnsupportedError(f"{what} is not supported yet", remedy=remedy, reason="unsupported", place=place)


class Roots(Protocol):
    """Where ``COPY --from`` finds the root of another stage or image."""

    def copied_from(self, name: str, stage: Stage, at: Instruction) -> Digest: ...


class StageMaker:
    """Goes through one stage's instructions, changing its `Made` and adding vertices."""

    def __init__(self, stage: Stage, made: Made, roots: Roots, vertices: dict[Digest, Vertex]) -> None:
        self._stage = stage
        self._made = made
        self._scope = made.scope
        self._roots = roots
        self._vertices = vertices
        self._handlers: dict[str, Callable[[Instruction], None]] = {
            "ADD": self._add_files,
            "ARG": self._arg,
            "CMD": self._cmd,
            "COPY": self._copy,
            "ENTRYPOINT": self._entrypoint,
            "ENV": self._env,
            "EXPOSE": self._expose,
            "HEALTHCHECK": self._healthcheck,
            "LABEL": self._label,
            "MAINTAINER": self._maintainer,
            "ONBUILD": self._on_build,
            "RUN": self._run,
            "SHELL": self._shell,
            "STOPSIGNAL": self._stop_signal,
            "USER": self._user,
            "VOLUME": self._volume,
            "WORKDIR": self._workdir,
        }

    def run(self) -> None:
        """Take every instruction of the stage."""
        for instruction in self._stage.instructions:
            handler = self._handlers.get(instruction.name)
            with triggers_named(instruction):
                if handler is None:
                    raise refused(instruction.name, self._place(instruction), "leave it out")
                handler(instruction)

    def _place(self, at: Instruction) -> str:
        return f"{self._scope.path}:{at.range.start}"

    def _error(self, at: Instruction, message: str, remedy: str, reason: str) -> DockerfileError:
        return DockerfileError(message, remedy=remedy, reason=reason, place=self._place(at))

    def _add(self, op: Op, inputs: tuple[Digest, ...], at: Instruction, platform: Platform | None = None) -> Digest:
        text = f"ONBUILD {at.original}" if at.trigger else at.original
        label = Label(text, self._stage.name or f"stage-{self._stage.index}", at.range.start, at.range.end)
        vertex = Vertex(op, tuple(Input(digest) for digest in inputs), platform, label)
        self._vertices.setdefault(vertex.digest, vertex)
        return vertex.digest

    def _layer(self, op: Op, inputs: tuple[Digest, ...], at: Instruction, platform: Platform | None = None) -> None:
        self._made.root = self._add(op, inputs, at, platform)
        self._made.history.append(HistoryEntry(at.original, self._made.root))

    def _note(self, at: Instruction) -> None:
        self._made.history.append(HistoryEntry(at.original))

    # -- files ---------------------------------------------------------------------------------------------------

    def _run(self, at: Instruction) -> None:
        flags = Flags(at, self._scope, allowed=("network",), later=("mount", "security"))
        network = _NETWORKS.get(flags.get("network", "default"))
        if network is None:
            raise self._error(at, f"--network={flags.get('network')} is none of default, none, host", "", "bad-flag")
        env = {**self._scope.args, **self._scope.env}
        env.setdefault("PATH", DEFAULT_PATH)
        op = ExecOp(
            args=self._command(at),
            env=tuple(f"{name}={value}" for name, value in env.items()),
            cwd=self._made.workdir,
            user=self._made.user,
            network=network,
        )
        self._layer(op, (self._made.root,), at, self._made.platform)

    def _command(self, at: Instruction) -> tuple[str, ...]:
        if at.json:
            return at.args
        shell = self._made.shell or DEFAULT_SHELL
        line = at.args[0] if at.args else ""
        if not at.heredocs:
            return (*shell, line)
        first = at.heredocs[0]
        if len(at.heredocs) == 1 and line.strip() == _opening(first):
            # A heredoc alone is a script: with "#!" run by what it names, else by the shell.
            if first.content.startswith("#!"):
                return _script(first.content)
            return (*shell, first.content)
        bodies = "".join(f"{each.content}{each.name}\n" for each in at.heredocs)
        return (*shell, f"{line}\n{bodies}")

    def _copy(self, at: Instruction) -> None:
        flags = Flags(at, self._scope, **COPY_FLAGS)
        taken = flags.get("from")
        self._files(at, flags, self._roots.copied_from(taken, self._stage, at) if taken else None)

    def _add_files(self, at: Instruction) -> None:
        self._files(at, Flags(at, self._scope, **ADD_FLAGS), None)

    def _files(self, at: Instruction, flags: Flags, taken: Digest | None) -> None:
        """A COPY or ADD; ``taken`` is the root of what COPY takes files from, None for the context."""
        files = copy_files(at, self._scope, self._made.workdir, flags)
        inputs = [self._made.root]
        for source in files.sources:
            if source is not None:
                inputs.append(self._add(source, (), replace(at, original=told(source))))
            else:
                inputs.append(self._add(SourceOp(CONTEXT), (), _context_label(at)) if taken is None else taken)
        op = FileOp(tuple(files.actions))
        # A name of --chown is looked up in the stage, which what is linked does not see.
        if self._made.root and flags.on("link") and is_numeric(flags.get("chown")):
            copied = self._add(op, (SCRATCH, *inputs[1:]), at)
            self._layer(MergeOp(), (self._made.root, copied), replace(at, original=f"LINK {at.original}"))
            self._made.history[-1] = replace(self._made.history[-1], created_by=at.original)
        else:
            self._layer(op, tuple(inputs), at)

    def _workdir(self, at: Instruction) -> None:
        path = self._scope.word(at.args[0], at)
        if not path:
            raise self._error(at, "WORKDIR is empty once its variables are replaced", "name a folder", "empty-path")
        self._made.workdir = absolute(path, self._made.workdir)
        if self._made.workdir == "/":
            self._note(at)
            return
        self._layer(FileOp((MkdirAction(self._made.workdir),)), (self._made.root,), at)

    # -- config --------------------------------------------------------------------------------------------------

    def _arg(self, at: Instruction) -> None:
        for name, default in pairs(at):
            self._scope.declare(name, default, at)
        self._note(at)

    def _env(self, at: Instruction) -> None:
        # All values of one ENV see what was defined before it (Dockerfile reference, "Environment replacement").
        values = {self._scope.word(name, at): self._scope.word(value or "", at) for name, value in pairs(at)}
        if "" in values:
            raise self._error(at, "a name of ENV is empty", "write NAME=value", "empty-name")
        self._scope.env.update(values)
        self._note(at)

    def _label(self, at: Instruction) -> None:
        for name, value in pairs(at):
            self._made.labels[self._scope.word(name, at)] = self._scope.word(value or "", at)
        self._note(at)

    def _cmd(self, at: Instruction) -> None:
        self._made.cmd = self._program(at)
        self._made.own_cmd = True
        self._note(at)

    def _entrypoint(self, at: Instruction) -> None:
        self._made.entrypoint = self._program(at)
        if not self._made.own_cmd:
            # The base's CMD was meant for the base's ENTRYPOINT.
            self._made.cmd = None
        self._note(at)

    def _program(self, at: Instruction) -> tuple[str, ...]:
        if at.json:
            return at.args
        return (*(self._made.shell or DEFAULT_SHELL), at.args[0] if at.args else "")

    def _shell(self, at: Instruction) -> None:
        if not at.json or not at.args:
            raise self._error(at, "SHELL takes the JSON form", 'write SHELL ["/bin/bash", "-c"]', "shell-not-json")
        self._made.shell = at.args
        self._note(at)

    def _user(self, at: Instruction) -> None:
        self._made.user = self._scope.word(at.args[0], at)
        self._note(at)

    def _stop_signal(self, at: Instruction) -> None:
        signal = self._scope.word(at.args[0], at)
        if not is_signal(signal):
            raise self._error(at, f"{signal!r} is no signal", "write SIGTERM, or a number above 0", "bad-signal")
        self._made.stop_signal = signal
        self._note(at)

    def _volume(self, at: Instruction) -> None:
        for word in at.args:
            path = self._scope.word(word, at).strip()
            if not path:
                raise self._error(at, "a path of VOLUME is empty", "name a folder", "empty-path")
            self._made.volumes.add(path)
        self._note(at)

    def _expose(self, at: Instruction) -> None:
        for word in at.args:
            for port in self._scope.words(word, at):
                with self._scope.placed(at):
                    self._made.ports.update(exposed(port).ports)
        self._note(at)

    def _healthcheck(self, at: Instruction) -> None:
        self._made.healthcheck = read_healthcheck(at, self._scope)
        self._note(at)

    def _maintainer(self, at: Instruction) -> None:
        self._made.author = at.args[0]
        self._note(at)

    def _on_build(self, at: Instruction) -> None:
        # It makes nothing of this image: so it is no part of its history.
        self._made.on_build.append(trigger_of(at))


_NETWORKS = {"default": NetMode.UNSET, "none": NetMode.NONE, "host": NetMode.HOST}


def _opening(heredoc: Heredoc) -> str:
    dash = "-" if heredoc.chomp else ""
    name = heredoc.name if heredoc.expand else shlex.quote(heredoc.name)
    return f"<<{dash}{name}"


def _script(content: str) -> tuple[str, ...]:
    # The text goes through the environment of a shell that writes it to a file and becomes it, so that nothing of it
    # is left in the layer and no quoting is needed: $0 of the shell is the script.
    writer = 'f=$(mktemp) && printf %s "$0" >"$f" && chmod +x "$f" && { "$f"; s=$?; rm -f "$f"; exit $s; }'
    return ("/bin/sh", "-c", writer, content)


def _context_label(at: Instruction) -> Instruction:
    return replace(at, original="load the build context")


def absolute(path: str, workdir: str) -> str:
    """``path`` from ``workdir`` on, without ``.`` and ``..``."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{workdir}/{path}").split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
