"""Which hosts are asked for an image, and how: mirrors, plain HTTP, authorities, out of a file of the user's.

The file is XX_REGISTRIES, else ``xx/registries.toml`` in the user's configuration (XDG Base Directory specification).
Its tables are those of ``buildkitd.toml``: ``[registry."HOST"]`` with ``mirrors``, ``http``, ``insecure`` and ``ca``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xxpy.build.registry.reference import HUB_SERVER, Reference
from xxpy.errors import SourceError

VARIABLE = "XX_REGISTRIES"
TIMEOUT = 30.0
"""Seconds to wait for more of an answer, where the file does not say otherwise."""

_MOST_TEXT = 1 << 20
_MOST_SECONDS = 3600
_PLACE = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::[0-9]{1,5})?(?:/[a-z0-9._/-]+)?")
_KEYS = ("mirrors", "http", "insecure", "ca")


@dataclass(frozen=True)
class HostSettings:
    """What the file says of one host. ``http`` is plain HTTP, ``insecure`` TLS that is not verified, or plain HTTP."""

    mirrors: tuple[str, ...] = ()
    http: bool = False
    insecure: bool = False
    ca: str = ""


@dataclass(frozen=True)
class Settings:
    """The file's tables by host, and the seconds to wait for more of an answer."""

    hosts: Mapping[str, HostSettings] = field(default_factory=dict)
    timeout: float = TIMEOUT


@dataclass(frozen=True)
class Endpoint:
    """A server that is asked. ``prefix`` stands before the repository; of ``schemes`` the first that answers is taken.

    ``ca`` is a PEM file of its authorities, empty for the usual ones. ``verify`` is false for TLS that is not verified.
    """

    host: str
    prefix: str = ""
    schemes: tuple[str, ...] = ("https",)
    verify: bool = True
    ca: str = ""
    mirror: bool = False


def read_settings() -> Settings:
    """The user's file; nothing where there is none. Raises SourceError (``registries-invalid``)."""
    named = os.environ.get(VARIABLE, "")
    config = os.environ.get("XDG_CONFIG_HOME", "") or str(Path.home() / ".config")
    path = Path(named) if named else Path(config) / "xx" / "registries.toml"
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_TEXT + 1)
    except FileNotFoundError:
        if named:
            raise _bad(path, "there is no such file") from None
        return Settings()
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from None
    try:
        if len(data) > _MOST_TEXT:
            raise ValueError(f"it has more than {_MOST_TEXT} bytes")
        return parse_settings(data.decode())
    except ValueError as error:
        raise _bad(path, str(error)) from None


def parse_settings(text: str) -> Settings:
    """The file's text as values. Raises ValueError with what is wrong."""
    # Most builds ask no registry, and start without this.
    import tomllib

    tables = tomllib.loads(text)
    if unknown := [key for key in tables if key not in ("registry", "timeout")]:
        raise ValueError(f"{unknown[0]} is not known")
    timeout = tables.get("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= _MOST_SECONDS:
        raise ValueError(f"timeout is not a number of seconds up to {_MOST_SECONDS}")
    hosts = tables.get("registry", {})
    if not isinstance(hosts, dict):
        raise ValueError("registry is no table")
    return Settings({_server(host): _host(host, table) for host, table in hosts.items()}, float(timeout))


_PORT = re.compile(r"^[^/]*:([0-9]{1,9})")


def _server(host: str) -> str:
    return HUB_SERVER if host in ("docker.io", "index.docker.io") else host


def _host(host: str, table: Any) -> HostSettings:
    if not isinstance(table, dict) or "/" in host or not _PLACE.fullmatch(host):
        raise ValueError(f'registry.{host!r} is no host with a table: write [registry."HOST"]')
    for key, value in table.items():
        if key not in _KEYS:
            raise ValueError(f"registry.{host!r}: {key} is not known; there are {', '.join(_KEYS)}")
        if key in ("http", "insecure") and not isinstance(value, bool):
            raise ValueError(f"registry.{host!r}: {key} is neither true nor false")
    mirrors, ca = table.get("mirrors", []), table.get("ca", [])
    ca = [ca] if isinstance(ca, str) else ca
    if any(int(each) > 65535 for mirror in mirrors for each in _PORT.findall(str(mirror))):
        raise ValueError(f"registry.{host!r}: a mirror has no such port")
    if not isinstance(mirrors, list) or not all(isinstance(each, str) and _PLACE.fullmatch(each) for each in mirrors):
        raise ValueError(f"registry.{host!r}: mirrors is no list of HOST[:PORT][/PATH]")
    if not isinstance(ca, list) or len(ca) > 1 or not all(isinstance(each, str) for each in ca):
        raise ValueError(f"registry.{host!r}: ca is not one PEM file")
    if ca and not Path(ca[0]).is_file():
        raise ValueError(f"registry.{host!r}: ca: there is no file {ca[0]}")
    return HostSettings(tuple(mirrors), table.get("http", False), table.get("insecure", False), ca[0] if ca else "")


def endpoints_for(settings: Settings, reference: Reference, *, insecure: bool = False) -> list[Endpoint]:
    """The servers that an image may come from: mirrors in their order, the registry itself last.

    ``insecure`` is what ``registry.insecure=true`` says of the registry itself.
    """
    own = settings.hosts.get(reference.server, HostSettings())
    mirrors = []
    for place in own.mirrors:
        host, _, prefix = place.partition("/")
        mirrors.append(_endpoint(settings, _server(host), prefix.strip("/"), mirror=True, insecure=False))
    return [*mirrors, _endpoint(settings, reference.server, "", mirror=False, insecure=insecure)]


def _endpoint(settings: Settings, host: str, prefix: str, *, mirror: bool, insecure: bool) -> Endpoint:
    said = settings.hosts.get(host, HostSettings())
    # As Docker's engine has it, loopback may be plain HTTP or have any certificate, unless its authority is named.
    open_ = said.insecure or insecure or (is_loopback(host) and not said.ca)
    schemes = ("http",) if said.http else ("https", "http") if open_ else ("https",)
    return Endpoint(host, prefix, schemes, verify=not open_, ca=said.ca, mirror=mirror)


def is_loopback(host: str) -> bool:
    """Whether ``HOST[:PORT]`` is this machine."""
    import ipaddress

    name = host.rpartition(":")[0] or host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _bad(path: Path, why: str) -> SourceError:
    return SourceError(
        f"the settings of registries cannot be taken: {why}",
        remedy="write them as docs/registry.md shows, or name another file with XX_REGISTRIES",
        reason="registries-invalid",
        place=str(path),
    )
