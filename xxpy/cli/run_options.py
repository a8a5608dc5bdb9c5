"""The flags of `xx build` that say how each RUN is run, and what it is given in secret."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import click

from xxpy.build.credentials import Credentials, parse_credentials
from xxpy.build.runsettings import RunSettings, parse_add_host, parse_allow, parse_network, parse_size, parse_ulimit


@dataclass(frozen=True)
class RunFlags:
    """The flags as they were given."""

    secrets: tuple[str, ...]
    agents: tuple[str, ...]
    network: str
    add_hosts: tuple[str, ...]
    shm_size: str
    ulimits: tuple[str, ...]
    allowed: tuple[str, ...]

    def settings(self) -> RunSettings:
        """What they say of every RUN. Raises UsageError."""
        return RunSettings(
            network=parse_network(self.network),
            extra_hosts=tuple(parse_add_host(text) for text in self.add_hosts),
            shm_size=parse_size(self.shm_size, "--shm-size"),
            ulimits=tuple({limit.name: limit for limit in map(parse_ulimit, self.ulimits)}.values()),
            insecure=parse_allow(self.allowed),
        )

    def credentials(self) -> Credentials:
        """What steps are given in secret, read now. Raises UsageError."""
        return parse_credentials(self.secrets, self.agents)


_OPTIONS = (
    click.option("--secret", "secrets", metavar="id=ID[,src=FILE|env=NAME]", multiple=True, help="A secret for RUNs."),
    click.option("--ssh", "agents", metavar="default|ID[=SOCKET]", multiple=True, help="An ssh-agent for RUNs."),
    click.option("--network", metavar="default|none|host", default="default", help="The network of RUNs."),
    click.option("--add-host", "add_hosts", metavar="NAME:ADDRESS", multiple=True, help="A line of /etc/hosts."),
    click.option("--shm-size", metavar="SIZE", default="", help="The size of /dev/shm, as in 128m."),
    click.option("--ulimit", "ulimits", metavar="NAME=SOFT[:HARD]", multiple=True, help="A resource limit of RUNs."),
    click.option("--allow", "allowed", metavar="ENTITLEMENT", multiple=True, help="Allow security.insecure."),
)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the flags; it takes them together as ``run``."""
    names = [each.name for each in fields(RunFlags)]

    @functools.wraps(command)
    def taking(**given: Any) -> None:
        run = RunFlags(**{name: given.pop(name) for name in names})
        command(**given, run=run)

    for option in reversed(_OPTIONS):
        taking = option(taking)
    return taking
