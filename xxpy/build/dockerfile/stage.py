"""One stage, instruction by instruction: what each adds to the graph and to the image's config.

Source: Dockerfile reference, one section for each instruction. What is not run yet is refused by name, with its line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from xxpy.build.dockerfile.copy import ADD_FLAGS, COPY_FLAGS, copy_files, is_numeric
from xxpy.build.dockerfile.flags import Flags
from xxpy.build.dockerfile.instructions import Instruction, Stage
from xxpy.build.dockerfile.mounts import run_mounts, without_mounts
from xxpy.build.dockerfile.parse import pairs
from xxpy.build.dockerfile.paths import absolute
from xxpy.build.dockerfile.remote import told
from xxpy.build.dockerfile.words import split_words
from xxpy.build.graph import (
    SCRATCH,
    Digest,
    ExecOp,
    FileOp,
    HistoryEntry,
    ImageConfig,
    Input,
    Label,
    MergeOp,
    MkdirAction,
    NetMode,
    Op,
    SecurityMode,
    SourceOp,
    Vertex,
)
from xxpy.build.runsettings import INSECURE, NETWORKS, RunSettings
from xxpy.errors import DockerfileError, UnsupportedError
from xxpy.platforms import Platform

if TYPE_CHECKING:
    from xxpy.build.dockerfile.scope import Scope

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
CONTEXT = "local://context"


def refused(what: str, place: str, remedy: str) -> UnsupportedError:
    """The error for a construct that is understood and not run."""
    return UnsupportedError(f"{what} is not supported yet", remedy=remedy, reason="unsupported", place=place)


@dataclass
class Made:
    """A stage so far: its root, and what the image's config would be if it ended here."""

    platform: Platform
    scope: Scope
    root: Digest
    workdir: str = "/"
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    own_cmd: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    ports: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    history: list[HistoryEntry] = field(default_factory=list)
    from_line: int = 0

    def start_from(self, config: ImageConfig) -> None:
        """Take over what a base image sets."""
        self.scope.set_env(dict(pair.partition("=")[::2] for pair in config.env))
        self.workdir = config.working_dir or "/"
        self.user, self.stop_signal, self.shell = config.user, config.stop_signal, config.shell
        self.entrypoint, self.cmd = config.entrypoint, config.cmd
        self.labels.update(config.labels)
        self.ports.update(config.exposed_ports)
        self.volumes.update(config.volumes)

    def continued(self, scope: Scope) -> Made:
        """A stage that begins where this one ended."""
        scope.inherit(self.scope)
        return replace(
            self,
            scope=scope,
            own_cmd=False,
            labels=dict(self.labels),
            ports=set(self.ports),
            volumes=set(self.volumes),
            history=list(self.history),
        )

    def config(self) -> ImageConfig:
        """The image's config as it stands."""
        env = self.scope.env if "PATH" in self.scope.env else {"PATH": DEFAULT_PATH, **self.scope.env}
        return ImageConfig(
            env=tuple(f"{name}={value}" for name, value in env.items()),
            entrypoint=self.entrypoint,
            cmd=self.cmd,
            working_dir=self.workdir,
            user=self.user,
            labels=tuple(sorted(self.labels.items())),
            exposed_ports=tuple(sorted(self.ports)),
            volumes=tuple(sorted(self.volumes)),
            stop_signal=self.stop_signal,
            shell=self.shell,
        )


class Roots(Protocol):
    """Where ``COPY --from`` finds the root of another stage or image."""

    def copied_from(self, name: str, stage: Stage, at: Instruction) -> Digest: ...


class StageMaker:
    """Goes through one stage's instructions, changing its `Made` and adding vertices."""

    def __init__(
        self, stage: Stage, made: Made, roots: Roots, vertices: dict[Digest, Vertex], settings: RunSettings
    ) -> None:
        self._stage = stage
        self._made = made
        self._scope = made.scope
        self._roots = roots
        self._vertices = vertices
        self._settings = settings
        self._handlers: dict[str, Callable[[Instruction], None]] = {
            "ADD": self._add_files,
            "ARG": self._arg,
            "CMD": self._cmd,
            "COPY": self._copy,
            "ENTRYPOINT": self._entrypoint,
            "ENV": self._env,
            "EXPOSE": self._expose,
            "LABEL": self._label,
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
            if handler is None:
                raise refused(instruction.name, self._place(instruction), "leave it out")
            handler(instruction)

    def _place(self, at: Instruction) -> str:
        return f"{self._scope.path}:{at.range.start}"

    def _error(self, at: Instruction, message: str, remedy: str, reason: str) -> DockerfileError:
        return DockerfileError(message, remedy=remedy, reason=reason, place=self._place(at))

    def _add(self, op: Op, inputs: tuple[Digest, ...], at: Instruction, platform: Platform | None = None) -> Digest:
        label = Label(at.original, self._stage.name or f"stage-{self._stage.index}", at.range.start, at.range.end)
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
        flags = Flags(without_mounts(at), self._scope, allowed=("network", "security"), later=("device",))
        shown = run_mounts(at, self._scope, self._made.workdir, self._made.platform, lambda name: self._root(name, at))
        env = self._scope.variables()
        env.setdefault("PATH", DEFAULT_PATH)
        op = ExecOp(
            args=self._command(at),
            env=tuple(f"{name}={value}" for name, value in ({**shown.env} | env).items()),
            cwd=self._made.workdir,
            user=self._made.user,
            mounts=shown.mounts,
            network=self._network(flags, at),
            security=self._security(flags, at),
            extra_hosts=self._settings.extra_hosts,
            shm_size=self._settings.shm_size,
            ulimits=self._settings.ulimits,
        )
        self._layer(op, (self._made.root, *shown.inputs), at, self._made.platform)

    def _root(self, name: str, at: Instruction) -> Digest:
        """The tree that ``from`` means, of the context where nothing is named."""
        if name:
            return self._roots.copied_from(name, self._stage, at)
        return self._add(SourceOp(CONTEXT), (), _context_label(at))

    def _network(self, flags: Flags, at: Instruction) -> NetMode:
        said = flags.get("network", "default")
        if said not in NETWORKS:
            raise self._error(
                at, f"--network={said} is none of {', '.join(NETWORKS)}", "leave it out for the default", "bad-flag"
            )
        return self._settings.network if NETWORKS[said] is NetMode.UNSET else NETWORKS[said]

    def _security(self, flags: Flags, at: Instruction) -> SecurityMode:
        said = flags.get("security", SecurityMode.SANDBOX.value)
        if said not in ("sandbox", "insecure"):
            raise self._error(at, f"--security={said} is none of sandbox, insecure", "leave it out", "bad-flag")
        if said == "insecure" and not self._settings.insecure:
            remedy = f"allow it for this build: --allow {INSECURE}"
            raise self._error(at, "RUN --security=insecure is not allowed", remedy, "insecure-not-allowed")
        return SecurityMode(said)

    def _command(self, at: Instruction) -> tuple[str, ...]:
        if at.json:
            return at.args
        shell = self._made.shell or DEFAULT_SHELL
        line = at.args[0] if at.args else ""
        if not at.heredocs:
            return (*shell, line)
        first = at.heredocs[0]
        if len(at.heredocs) == 1 and _is_opening(line, self._scope.escape):
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
        # Who makes it owns it, as with BuildKit.
        self._layer(FileOp((MkdirAction(self._made.workdir, self._made.user),)), (self._made.root,), at)

    # -- config --------------------------------------------------------------------------------------------------

    def _arg(self, at: Instruction) -> None:
        for name, default in pairs(at):
            value = None if default is None else self._scope.word(default, at)
            self._scope.declare(name, value)
        self._note(at)

    def _env(self, at: Instruction) -> None:
        # All values of one ENV see what was defined before it (Dockerfile reference, "Environment replacement").
        values = {self._scope.word(name, at): self._scope.word(value or "", at) for name, value in pairs(at)}
        if "" in values:
            raise self._error(at, "a name of ENV is empty", "write NAME=value", "empty-name")
        self._scope.set_env(values)
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
        self._made.stop_signal = self._scope.word(at.args[0], at)
        self._note(at)

    def _volume(self, at: Instruction) -> None:
        for word in at.args:
            self._made.volumes.add(self._scope.word(word, at))
        self._note(at)

    def _expose(self, at: Instruction) -> None:
        for word in at.args:
            for port in self._scope.words(word, at):
                self._made.ports.update(self._ports(port, at))
        self._note(at)

    def _ports(self, text: str, at: Instruction) -> list[str]:
        number, _, protocol = text.partition("/")
        first, _, last = number.partition("-")
        fine = all(part.isascii() and part.isdigit() and int(part) < 65536 for part in (first, last or first))
        if not fine or protocol.lower() not in ("", "tcp", "udp", "sctp"):
            raise self._error(at, f"{text!r} is no port", "write 8080, 8080/udp or 8000-8010", "bad-port")
        ports = range(int(first), int(last or first) + 1)
        if not ports:
            raise self._error(at, f"{text!r} is no range of ports", "write the lower one first: 8000-8010", "bad-port")
        return [f"{port}/{protocol.lower() or 'tcp'}" for port in ports]


def _is_opening(line: str, escape: str) -> bool:
    """Whether a line is the beginning of a here-document and nothing else, however its delimiter is quoted."""
    return line.lstrip().startswith("<<") and len(split_words(line, escape)) == 1


def _script(content: str) -> tuple[str, ...]:
    # The text goes through the environment of a shell that writes it to a file and becomes it, so that nothing of it
    # is left in the layer and no quoting is needed: $0 of the shell is the script.
    writer = 'f=$(mktemp) && printf %s "$0" >"$f" && chmod +x "$f" && { "$f"; s=$?; rm -f "$f"; exit $s; }'
    return ("/bin/sh", "-c", writer, content)


def _context_label(at: Instruction) -> Instruction:
    return replace(at, original="load the build context")
