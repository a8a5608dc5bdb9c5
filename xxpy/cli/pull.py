"""`xx pull`: images from registries into the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from xxpy.build.engine import process
from xxpy.build.engine.namespace import interruptible
from xxpy.build.events import Notice
from xxpy.build.hostca import parse_host_ca
from xxpy.build.registry.client import Registries
from xxpy.build.registry.pull import Puller
from xxpy.build.registry.reference import parse_reference
from xxpy.build.sources import REMOTE
from xxpy.build.store import Store
from xxpy.build.using import using
from xxpy.cli.shared import EventLines, default_store, told
from xxpy.platforms import Platform, parse_list

_ALL = "all"

_OPTIONS = (
    click.option("--host-ca", metavar="auto|off|FILE", default="", help="Trust this machine's CA certificates."),
    click.option("--store", type=click.Path(path_type=Path), help="The store's folder.  [default: as xx build]"),
    click.option("-q", "--quiet", is_flag=True, help="Print the digest alone."),
    click.option("-D", "--debug", is_flag=True, help="Echo the programs that are started."),
)


def registry_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the flags that `xx pull` and `xx push` share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("pull", short_help="Pull an image from its registry into the store.")
@click.argument("name")
@click.option("--platform", "platforms", metavar="OS/ARCH[,…]|all", multiple=True, help="[default: this machine's]")
@registry_options
def pull_command(
    name: str, platforms: tuple[str, ...], host_ca: str, store: Path | None, quiet: bool, debug: bool
) -> None:
    """Pull the image NAME so that FROM NAME finds it, whatever the store has under it already.

    Platforms that were pulled before stay beside it if they are of the same image. Exit codes: 2 a wrong name or
    platform, 5 the registry does not give it, 7 the store cannot be written.
    """
    process.debug = debug
    with told():
        reference = parse_reference(name.removeprefix(REMOTE))
        given = ",".join(platforms)
        wanted = tuple(parse_list(given)) if given and given != _ALL else (Platform.host(),)
        place = Store.open(store or default_store())
        lines = EventLines(quiet)
        puller = Puller(place, Registries(parse_host_ca(host_ca).bundle, told=lambda text: lines(Notice(text))))
        with using(place), interruptible():
            if given == _ALL:
                wanted = puller.platforms(reference)
            pulled = [puller.look_up(reference, each) for each in wanted]
            puller.fetch(pulled, lines)
        for each in dict.fromkeys(pulled):
            shown = each.manifest.digest if quiet else f"{reference} {each.manifest.platform}: {each.manifest.digest}"
            click.echo(shown)
