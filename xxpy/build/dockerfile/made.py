"""Made: a stage while it is made, its root and what the image's config would be if it ended here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from xxpy.build.dockerfile.scope import Scope
from xxpy.build.graph import Digest, Healthcheck, HistoryEntry, ImageConfig
from xxpy.platforms import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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
    healthcheck: Healthcheck | None = None
    author: str = ""
    on_build: list[str] = field(default_factory=list)
    """Triggers that this stage sets; those it got from its base have run."""
    history: list[HistoryEntry] = field(default_factory=list)
    from_line: int = 0
    """The line of the FROM that names the image or scratch which all this began with."""

    def start_from(self, config: ImageConfig) -> None:
        """Take over what a base image sets, but not its triggers."""
        self.scope.set_env(dict(pair.partition("=")[::2] for pair in config.env))
        self.workdir = config.working_dir or "/"
        self.user, self.stop_signal, self.shell = config.user, config.stop_signal, config.shell
        self.entrypoint, self.cmd = config.entrypoint, config.cmd
        self.healthcheck, self.author = config.healthcheck, config.author
        self.labels.update(config.labels)
        self.ports.update(config.exposed_ports)
        self.volumes.update(config.volumes)

    def continued(self, scope: Scope) -> Made:
        """A stage that begins where this one ended: all of it, ARGs included, but its triggers."""
        scope.inherit(self.scope)
        return replace(
            self,
            scope=scope,
            own_cmd=False,
            labels=dict(self.labels),
            ports=set(self.ports),
            volumes=set(self.volumes),
            on_build=[],
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
            healthcheck=self.healthcheck,
            on_build=tuple(self.on_build),
            author=self.author,
        )
