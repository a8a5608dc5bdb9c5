"""Builders: named engines with their settings, each a file of the user's configuration, and which of them is current.

``NAME.json`` in the folder ``builders`` below XX_CONFIG, else ``$XDG_CONFIG_HOME/xx``, else ``~/.config/xx``, holds an
object of ``name``, ``driver``, ``endpoint`` and ``driver-opts`` (a list of ``KEY=VALUE``); the file ``builder`` beside
that folder holds the current one's name. Words and rules are those of ``docker buildx create``.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from xxpy.build.descriptor import parse_json_object
from xxpy.build.disk import storing
from xxpy.errors import StoreError, UsageError, XxError

EMBEDDED, DOCKER, CONTAINER, KUBERNETES, REMOTE = DRIVERS = (
    "embedded", "docker", "docker-container", "kubernetes", "remote",
)  # fmt: skip
VARIABLE = "XX_CONFIG"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*=.*", re.DOTALL)
_MOST_TEXT = 64 << 10
_CURRENT = "builder"


@dataclass(frozen=True)
class Builder:
    """One builder. ``endpoint`` is what buildx takes: a Docker context or host, a buildkitd's address, or empty.

    ``options`` are ``KEY=VALUE`` for the driver. ``own`` is false for one of buildx's own, which has no file here.
    """

    name: str
    driver: str
    endpoint: str = ""
    options: tuple[str, ...] = ()
    own: bool = True

    @property
    def is_embedded(self) -> bool:
        """Whether builds run in our own engine."""
        return self.driver == EMBEDDED

    @property
    def instance(self) -> str:
        """What buildx calls it: of the docker driver there is one for each Docker context, by that's name."""
        if self.driver != DOCKER or not self.own:
            return self.name
        return self.endpoint if self.endpoint and "://" not in self.endpoint else "default"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that have docker and buildx reach it; an empty value stands for one that must not be set."""
        if self.driver != DOCKER or not self.own or not self.endpoint:
            return {}
        if "://" in self.endpoint:
            return {"DOCKER_HOST": self.endpoint, "DOCKER_CONTEXT": ""}
        return {"DOCKER_HOST": "", "DOCKER_CONTEXT": self.endpoint}


BUILT_IN = Builder(EMBEDDED, EMBEDDED)
"""The builder that is always there."""


def config_folder() -> Path:
    """XX_CONFIG, or the folder ``xx`` of the user's configuration (XDG Base Directory specification)."""
    if named := os.environ.get(VARIABLE, ""):
        return Path(named)
    config = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(config) if config else Path.home() / ".config") / "xx"


def new_builder(name: str, driver: str, endpoint: str, options: tuple[str, ...]) -> Builder:
    """A builder, checked. Raises UsageError (``bad-builder``)."""
    if not _NAME.fullmatch(name):
        raise _bad(f"{name[:80]!r} is no name of a builder", "letters, digits, _ . and -, at most 64")
    if driver not in DRIVERS:
        raise _bad(f"there is no driver {driver[:80]}", f"drivers: {', '.join(DRIVERS)}")
    for option in options:
        if not _OPTION.fullmatch(option):
            raise _bad(f"--driver-opt {option[:80]!r} is no KEY=VALUE", "write --driver-opt KEY=VALUE")
    if driver == EMBEDDED and (endpoint or options):
        raise _bad("the embedded driver takes no endpoint and no options", "leave them out")
    if driver == DOCKER and options:
        raise _bad("the docker driver takes no options", "leave --driver-opt out, or take --driver docker-container")
    if driver == REMOTE and not endpoint:
        raise _bad(
            "the remote driver needs the address of a buildkitd",
            "name it last: xx builder create --driver remote tcp://HOST:1234 (or unix:///PATH)",
        )
    if endpoint.startswith("-") or any(ord(each) < 0x21 for each in endpoint):
        raise _bad(f"{endpoint[:80]!r} is no endpoint", "name a Docker context, or an address as tcp://HOST:1234")
    return Builder(name, driver, endpoint, options)


def _bad(message: str, remedy: str) -> UsageError:
    return UsageError(message, remedy=remedy, reason="bad-builder")


def _exists(name: str) -> UsageError:
    remedy = "give --name another"
    return UsageError(
        f"there is a builder {name} already",
        remedy=remedy if name == EMBEDDED else f"{remedy}, or remove it: xx builder rm {name}",
        reason="builder-exists",
    )


def split_options(text: str) -> list[str]:
    """The options of one ``--driver-opt``, a line of CSV: ``"nodeselector=a=1,b=2",namespace=x``.

    Raises UsageError (``bad-builder``).
    """
    try:
        return [each for each in next(csv.reader([text], strict=True), []) if each]
    except csv.Error as error:
        raise _bad(f"--driver-opt {text[:80]!r} is no line of CSV ({error})", "write --driver-opt KEY=VALUE") from None


class Builders:
    """The builders below ``root``, as `config_folder`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "builders"

    def all(self, damaged: Callable[[str, XxError], None] = lambda _name, _error: None) -> list[Builder]:
        """Every builder, `BUILT_IN` first, then by name; ``damaged`` is told whose file cannot be read, and why."""
        try:
            names = sorted(path.stem for path in self._folder.iterdir() if path.suffix == ".json")
        except OSError:
            names = []
        found = [BUILT_IN]
        for name in names:
            try:
                builder = self.get(name)
            except XxError as error:
                damaged(name, error)
            else:
                found += [builder] if builder is not None and builder != BUILT_IN else []
        return found

    def get(self, name: str) -> Builder | None:
        """The builder of that name; None if there is none. Raises StoreError (``builder-unreadable``)."""
        if name == EMBEDDED:
            return BUILT_IN
        if not _NAME.fullmatch(name):
            return None
        path = self._path(name)
        try:
            with path.open("rb") as file:
                data = parse_json_object(file.read(_MOST_TEXT), str(path))
        except FileNotFoundError:
            return None
        except (OSError, StoreError) as error:
            raise self._unreadable(path, str(error)) from error
        driver, endpoint, options = data.get("driver"), data.get("endpoint", ""), data.get("driver-opts", [])
        if not isinstance(driver, str) or not isinstance(endpoint, str) or not isinstance(options, list):
            raise self._unreadable(path, "driver, endpoint and driver-opts have not the types they should")
        try:
            return new_builder(name, driver, endpoint, tuple(str(each) for each in options))
        except UsageError as error:
            raise self._unreadable(path, error.message) from error

    def _unreadable(self, path: Path, why: str) -> StoreError:
        return StoreError(
            f"cannot read the builder {path}: {why}",
            remedy=f"make it again: xx builder rm {path.stem}; xx builder create --name {path.stem} …",
            reason="builder-unreadable",
        )

    def free_name(self, driver: str) -> str:
        """A name for a new builder of ``driver`` that none has."""
        numbers = range(1, 10_000)
        return next(name for number in numbers if not self._path(name := f"{driver}-{number}").exists())

    def add(self, builder: Builder) -> None:
        """Keep a new builder. Raises UsageError (``builder-exists``), StoreError."""
        if builder.name == EMBEDDED or self._path(builder.name).exists():
            raise _exists(builder.name)
        value = {
            "name": builder.name,
            "driver": builder.driver,
            "endpoint": builder.endpoint,
            "driver-opts": list(builder.options),
        }
        self._write(self._path(builder.name), json.dumps(value, indent=2) + "\n", new=True)

    def remove(self, name: str) -> None:
        """Forget a builder; if it is the current one, `BUILT_IN` is that from now on. Raises StoreError."""
        with storing(self._path(name), "set XX_CONFIG"):
            self._path(name).unlink(missing_ok=True)
        if self.current() == name:
            self.use("")

    def use(self, name: str) -> None:
        """Let builds take ``name`` where they are told nothing else; empty for `BUILT_IN`. Raises StoreError."""
        path = self._root / _CURRENT
        if name in ("", EMBEDDED):
            with storing(path, "set XX_CONFIG"):
                path.unlink(missing_ok=True)
        else:
            self._write(path, f"{name}\n")

    def current(self) -> str:
        """The current builder's name."""
        try:
            name = (self._root / _CURRENT).read_text(errors="replace")[:200].strip()
        except OSError:
            return EMBEDDED
        return name if _NAME.fullmatch(name) else EMBEDDED

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _write(self, path: Path, text: str, *, new: bool = False) -> None:
        with storing(path, "set XX_CONFIG"):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                with temporary.open("x") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                if not new:
                    os.rename(temporary, path)
                    return
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    # Another process was first.
                    raise _exists(path.stem) from None
            finally:
                temporary.unlink(missing_ok=True)


def buildx_own(name: str, driver: str = "") -> Builder:
    """One of buildx's own builders, whose settings buildx has."""
    return replace(Builder(name, driver), own=False)
