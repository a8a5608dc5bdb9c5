"""Who the user is to a registry, as ``docker login`` left it: config.json and the credential helpers it names; else as
``podman login`` and ``skopeo login`` left it.

Nothing of it is printed, kept or put on a command line: helpers are told the host on stdin.
Sources: Docker's reference, "docker login", "Credential stores" and "Credential helper protocol";
containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xxpy.build.engine import process
from xxpy.build.registry.reference import HUB_SERVER
from xxpy.errors import HostError, SourceError

_MOST_TEXT = 1 << 20
_SECONDS = 60
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = ("docker.io", "index.docker.io", HUB_SERVER)
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN_USER = "<token>"
"""The user that helpers name where the secret is an identity token."""
_NO_ENTRY = "credentials not found"


@dataclass(frozen=True)
class Login:
    """``identity`` is a refresh token in place of a password, ``bearer`` a token that is sent as it is.

    ``place`` is the file or the credential helper that it is from, empty where there is no login.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    place: str = field(default="", compare=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header, empty without a user."""
        if not self.user:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Logins:
    """Logins by host; config.json is read with the first that is asked for, a helper started once for each host."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._config: Mapping[str, Any] | None = None
        self._known: dict[str, Login] = {}

    def of(self, host: str) -> Login:
        """The login at ``host``; an empty one where there is none.

        Raises SourceError (``login-invalid``), HostError (``program-missing``, ``credential-helper``).
        """
        if host not in self._known:
            self._known[host] = self._find(host)
        return self._known[host]

    @property
    def _path(self) -> Path:
        named = os.environ.get("DOCKER_CONFIG", "")
        folder = self._folder or (Path(named) if named else Path.home() / ".docker")
        return folder / "config.json"

    def _find(self, host: str) -> Login:
        if self._config is None:
            self._config = self._read(self._path)
        names = (_HUB_KEY, *_HUB_NAMES) if host in _HUB_NAMES else (host,)
        helpers = _object(self._config, "credHelpers")
        helper = next((helpers[name] for name in names if name in helpers), self._config.get("credsStore"))
        if helper:
            found = self._asked(str(helper), names[0])
            if found is not None:
                return found
        for path, config in self._configs():
            entries = {_plain(key): value for key, value in _object(config, "auths").items()}
            for name in names:
                if isinstance(entry := entries.get(_plain(name)), dict):
                    return self._entry(name, entry, path)
        return Login()

    def _configs(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Docker's config.json, then what ``podman login`` and ``skopeo login`` write (containers-auth.json(5))."""
        yield self._path, self._config or {}
        for path in _containers_files():
            yield path, self._read(path)

    def _read(self, path: Path) -> Mapping[str, Any]:
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_TEXT + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise _bad(path, error.strerror or "it cannot be read") from None
        try:
            value = json.loads(data) if len(data) <= _MOST_TEXT else None
        except (ValueError, RecursionError):
            # What json would say may quote the text.
            raise _bad(path, "it is not JSON") from None
        if not isinstance(value, dict):
            raise _bad(path, f"it is no JSON object of at most {_MOST_TEXT} bytes")
        return value

    def _entry(self, name: str, entry: Mapping[str, Any], path: Path) -> Login:
        given = {key: value for key, value in entry.items() if isinstance(value, str)}
        user, password = given.get("username", ""), given.get("password", "")
        if auth := given.get("auth", ""):
            try:
                user, colon, password = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
            except (binascii.Error, ValueError):
                colon = ""
            if not colon:
                raise _bad(path, f"auths: the auth of {name} is not base64 of USER:PASSWORD")
        found = Login(user, password, given.get("identitytoken", ""), given.get("registrytoken", ""), str(path))
        # Beside a credential helper, docker login writes an entry with nothing in it.
        return Login() if found == Login() else found

    def _asked(self, helper: str, server: str) -> Login | None:
        """What ``docker-credential-HELPER get`` says of a server; None if it knows none."""
        if not _HELPER.fullmatch(helper):
            raise _bad(self._path, f"{helper[:40]!r} is no name of a credential helper")
        program = f"docker-credential-{helper}"
        try:
            # It needs what the user has: a key ring, a session bus, a cloud's variables.
            said = process.output_of(
                [program, "get"],
                env=os.environ,
                timeout=_SECONDS,
                stdin=server.encode(),
                package="the helper's package",
            )
        except HostError as error:
            if error.reason == "program-failed" and _NO_ENTRY in error.message:
                return None
            if error.reason == "program-missing":
                error.remedy = f"install {program}, or take it out of {self._path}"
                raise
            raise HostError(
                f"the credential helper {program} fails for {server}",
                remedy=f"see what it says: echo {server} | {program} get",
                reason="credential-helper",
            ) from None
        try:
            value = json.loads(said)
            user, secret = value["Username"], value["Secret"]
        except (ValueError, TypeError, KeyError, RecursionError):
            user = secret = None
        if not isinstance(user, str) or not isinstance(secret, str):
            raise HostError(
                f"the credential helper {program} answers what is no login for {server}",
                remedy="log in again: docker login",
                reason="credential-helper",
            )
        user, identity = ("", secret) if user == _TOKEN_USER else (user, "")
        return Login(user, "" if identity else secret, identity, place=program)


def _containers_files() -> Iterator[Path]:
    """Where podman and skopeo keep logins: the file that is named, else that of the session, else the user's."""
    if named := os.environ.get("REGISTRY_AUTH_FILE", ""):
        yield Path(named)
        return
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    yield (Path(session) / "containers" if session else Path(f"/run/containers/{os.getuid()}")) / "auth.json"
    config = os.environ.get("XDG_CONFIG_HOME", "")
    yield (Path(config) if config else Path.home() / ".config") / "containers" / "auth.json"


def _bad(path: Path, why: str) -> SourceError:
    return SourceError(
        f"the logins of registries cannot be read: {why}",
        remedy="log in again: docker login HOST; or name another folder with DOCKER_CONFIG",
        reason="login-invalid",
        place=str(path),
    )


def _object(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _plain(key: str) -> str:
    """A key of ``auths`` as a host: older versions of Docker wrote URLs."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]
