"""``RUN --mount=type=…,key=value``: what each mount shows, with BuildKit's names and defaults.

Source: Dockerfile reference, "RUN --mount" and the sections of its types.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from xxpy.build.credentials import AGENT, DEFAULT_AGENT
from xxpy.build.dockerfile.instructions import Instruction
from xxpy.build.dockerfile.paths import absolute
from xxpy.build.dockerfile.scope import Scope
from xxpy.build.graph import CacheOpt, CacheSharing, Digest, Mount, MountType, SecretOpt
from xxpy.build.runsettings import parse_size
from xxpy.errors import DockerfileError
from xxpy.platforms import Platform

_FLAG = "--mount="
_ALIASES = {
    "dst": "target",
    "destination": "target",
    "src": "source",
    "ro": "readonly",
    "rw": "readwrite",
}
_SWITCHES = ("readonly", "readwrite", "required")
# An id on a mount that has no use for it is let through, as BuildKit does.
_EVERY = ("type", "target", "readonly", "readwrite", "id")
_ALLOWED = {
    MountType.BIND: (*_EVERY, "source", "from"),
    MountType.CACHE: (*_EVERY, "source", "from", "sharing", "mode", "uid", "gid"),
    MountType.TMPFS: (*_EVERY, "size"),
    MountType.SECRET: (*_EVERY, "source", "env", "required", "mode", "uid", "gid"),
    MountType.SSH: (*_EVERY, "required", "mode", "uid", "gid"),
}
_MOST_ID = (1 << 32) - 2

LOCKED = (
    "/var/cache/apt", "/var/lib/apt", "/var/cache/apk", "/etc/apk/cache", "/var/cache/dnf", "/var/cache/libdnf5",
    "/var/cache/yum", "/var/cache/zypp", "/var/cache/pacman", "/var/lib/dnf", "/var/lib/dpkg", "/var/lib/rpm",
)  # fmt: skip
"""Folders of package managers that two of them must not use at once: a cache at or below them is locked."""


@dataclass(frozen=True)
class RunMounts:
    """``mounts`` of an exec, its root's first; ``inputs`` of its vertex after the root; ``env`` added to its own."""

    mounts: tuple[Mount, ...] = (Mount("/"),)
    inputs: tuple[Digest, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def without_mounts(at: Instruction) -> Instruction:
    """``at`` with its other flags alone."""
    return replace(at, flags=tuple(flag for flag in at.flags if not flag.startswith(_FLAG)))


def run_mounts(
    at: Instruction, scope: Scope, workdir: str, platform: Platform, root_of: Callable[[str], Digest]
) -> RunMounts:
    """The mounts of a RUN on ``platform``; ``root_of`` gives the tree of a ``from``, of the context for empty text.

    Raises DockerfileError (``bad-mount``), and what ``root_of`` raises.
    """
    mounts = [Mount("/")]
    inputs: list[Digest] = []
    env: dict[str, str] = {}
    agents = 0
    for flag in at.flags:
        if not flag.startswith(_FLAG):
            continue
        made = _Options(flag.removeprefix(_FLAG), at, scope).mount(workdir, platform, agents)
        if made.mount.type is MountType.SSH:
            agents += 1
            env.setdefault(AGENT, made.mount.dest)
        if made.reads:
            digest = root_of(made.taken_from)
            if digest not in inputs:
                inputs.append(digest)
            mounts.append(replace(made.mount, input=1 + inputs.index(digest)))
        else:
            mounts.append(made.mount)
    return RunMounts(tuple(mounts), tuple(inputs), env)


@dataclass(frozen=True)
class _Made:
    """A mount whose input is still to be found: ``reads`` says whether it has one, ``taken_from`` which."""

    mount: Mount
    reads: bool = False
    taken_from: str = ""


class _Options:
    """The ``key=value`` words of one flag, expanded and checked against what its type takes."""

    def __init__(self, text: str, at: Instruction, scope: Scope) -> None:
        self._text = text
        self._place = f"{scope.path}:{at.range.start}"
        self._given: dict[str, str] = {}
        for word in self._words():
            key, equals, value = word.partition("=")
            key = key.strip().lower()
            key = _ALIASES.get(key, key)
            if not equals and key not in _SWITCHES:
                raise self._bad(f"{word!r} has no value", "write KEY=VALUE, with commas between")
            self._given[key] = scope.word(value, at) if equals else "true"
        self._placed = scope.placed(at)
        try:
            self._type = MountType(self._given.get("type", "bind"))
        except ValueError:
            names = ", ".join(each.value for each in MountType)
            raise self._bad(f"there is no type {self._given['type']!r}", f"types are {names}") from None
        for key in self._given:
            if key not in _ALLOWED[self._type]:
                known = ", ".join(_ALLOWED[self._type])
                raise self._bad(f"type {self._type.value} takes no {key!r}", f"it takes {known}")

    def _words(self) -> list[str]:
        try:
            rows = list(csv.reader([self._text], strict=True))
        except csv.Error as error:
            raise self._bad(str(error), "write KEY=VALUE, with commas between") from None
        return rows[0] if rows else []

    def _bad(self, problem: str, remedy: str) -> DockerfileError:
        return DockerfileError(
            f"--mount={self._text[:80]}: {problem}", remedy=remedy, reason="bad-mount", place=self._place
        )

    def mount(self, workdir: str, platform: Platform, agents: int) -> _Made:
        """The mount; ``agents`` counts the ssh mounts before it."""
        if self._type is MountType.SECRET:
            return _Made(self._secret(workdir))
        if self._type is MountType.SSH:
            name = self._given.get("id") or DEFAULT_AGENT
            dest = self._target(workdir, f"/run/buildkit/ssh_agent.{agents}")
            return _Made(Mount(dest, -1, "", True, -1, MountType.SSH, secret=self._access(name, 0o600)))
        dest = self._target(workdir)
        if self._type is MountType.TMPFS:
            with self._placed:
                size = parse_size(self._given.get("size", ""), "size")
            return _Made(Mount(dest, -1, "", self._readonly(False), -1, MountType.TMPFS, size=size))
        source, taken_from = self._given.get("source", ""), self._given.get("from", "")
        if "from" in self._given and not taken_from:
            raise self._bad("its from is empty once its variables are replaced", "name a stage or an image")
        selector = absolute(source, "/").removeprefix("/")
        if selector and self._type is MountType.CACHE and not taken_from:
            raise self._bad("it has a source and no from", "name the stage that the cache begins with: from=STAGE")
        if self._type is MountType.CACHE:
            mount = Mount(
                dest, -1, selector, self._readonly(False), -1, MountType.CACHE, cache=self._cache(dest, platform)
            )
            return _Made(mount, bool(taken_from), taken_from)
        return _Made(Mount(dest, -1, selector, self._readonly(True), -1), True, taken_from)

    def _target(self, workdir: str, default: str = "") -> str:
        text = self._given.get("target") or default
        if not text:
            raise self._bad("it has no target", "say where the step sees it: target=/path")
        path = absolute(text, workdir)
        if path == "/":
            raise self._bad("its target is /", "name a folder or a file below it")
        return path

    def _secret(self, workdir: str) -> Mount:
        source = self._given.get("source", "")
        name = self._given.get("id") or source
        if source and name != source:
            raise self._bad("it has an id and a source", "write id=NAME alone")
        target = self._given.get("target", "")
        name = name or target.rstrip("/").rpartition("/")[2]
        if not name:
            raise self._bad("it has no id", "name the secret: id=NAME")
        env = self._given.get("env", "")
        if "=" in env or "\0" in env:
            raise self._bad(f"{env!r} is no name of a variable", "write env=NAME")
        dest = "" if env and not target else self._target(workdir, f"/run/secrets/{name}")
        secret = replace(self._access(name, 0o400), env=env)
        return Mount(dest, -1, "", True, -1, MountType.SECRET, secret=secret)

    def _access(self, name: str, mode: int) -> SecretOpt:
        optional = not self._switch("required", False)
        return SecretOpt(name, self._number("uid"), self._number("gid"), self._mode(mode), optional)

    def _cache(self, dest: str, platform: Platform) -> CacheOpt:
        name = self._given.get("id", "")
        said = self._given.get("sharing", "")
        locked = any(dest == folder or dest.startswith(f"{folder}/") for folder in LOCKED)
        try:
            sharing = CacheSharing(said or ("locked" if locked else "shared"))
        except ValueError:
            raise self._bad(f"there is no sharing {said!r}", "it is shared, private or locked") from None
        # What one platform's programs leave is not for another's: only an id that is written down is for all.
        return CacheOpt(
            name or f"{platform}:{dest}", sharing, self._mode(0o755), self._number("uid"), self._number("gid")
        )

    def _readonly(self, default: bool) -> bool:
        if self._switch("readonly", False) and self._switch("readwrite", False):
            raise self._bad("it is both readonly and readwrite", "write one of them")
        if "readwrite" in self._given:
            return not self._switch("readwrite", False)
        return self._switch("readonly", default)

    def _switch(self, key: str, default: bool) -> bool:
        text = self._given.get(key, "")
        if key not in self._given:
            return default
        if text.lower() not in ("true", "false", "1", "0", "t", "f"):
            raise self._bad(f"{key}={text} is neither true nor false", f"write {key} or {key}=false")
        return text.lower() in ("true", "1", "t")

    def _number(self, key: str) -> int:
        text = self._given.get(key, "0")
        if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > _MOST_ID:
            raise self._bad(f"{key}={text} is no id", "write a number")
        return int(text)

    def _mode(self, default: int) -> int:
        text = self._given.get("mode", "")
        if "mode" not in self._given:
            return default
        try:
            mode = int(text, 8)
        except ValueError:
            mode = -1
        if not 0 <= mode <= 0o7777:
            raise self._bad(f"mode={text} is no octal mode", "write it as 0755 or 600")
        return mode
