"""`xx push`: images of the store to registries."""

from __future__ import annotations

import re
from pathlib import Path

import click

from xxpy.build.engine import process
from xxpy.build.hostca import parse_host_ca
from xxpy.build.image import image_manifests
from xxpy.build.listing import meant, only_name
from xxpy.build.registry.client import Registries
from xxpy.build.registry.push import Push, push_image
from xxpy.build.registry.reference import Reference, parse_reference
from xxpy.build.sources import REMOTE
from xxpy.build.using import using
from xxpy.cli.pull import registry_options
from xxpy.cli.shared import EventLines, store_to_read, told
from xxpy.errors import UsageError

_HOST = re.compile(r"(?:localhost|[A-Za-z0-9-]*\.[A-Za-z0-9.-]*):[0-9]+")
"""What reads as a name and a tag, and can only be meant for a host and its port."""


@click.command("push", short_help="Push an image of the store to a registry.")
@click.argument("name")
@click.argument("destination", required=False)
@click.option("--insecure", is_flag=True, help="Plain HTTP, or TLS that is not verified, will do.")
@registry_options
def push_command(
    name: str,
    destination: str | None,
    insecure: bool,
    host_ca: str,
    store: Path | None,
    quiet: bool,
    debug: bool,
) -> None:
    """Push the image NAME of the store (or its ID), with all its platforms, under its own name or as DESTINATION.

    Exit codes: 2 a wrong name, 5 the store has no such image, 7 the registry does not take it.
    """
    process.debug = debug
    with told():
        name = name.removeprefix(REMOTE)
        # What is wrong with a name is said before the store is looked at.
        _tagged(destination or name)
        if destination and _HOST.fullmatch(destination.removeprefix(REMOTE)):
            raise UsageError(
                f"{destination} is a registry without a repository",
                remedy=f"name one, as in {destination}/app:1.0",
                reason="bad-reference",
            )
        place = store_to_read(store)
        _, entry = meant(place, name)
        where = f"name one of them, or where it goes: xx push {name} HOST/REPOSITORY:TAG"
        reference = _tagged(destination or only_name(place, name, where))
        registries = Registries(parse_host_ca(host_ca).bundle)
        with using(place):
            push_image(place, entry, [Push(reference, insecure=insecure)], registries, EventLines(quiet))
        platforms = ", ".join(str(one.platform) for one in image_manifests(place, entry))
        click.echo(entry.digest if quiet else f"{reference} {platforms}: {entry.digest}")


def _tagged(name: str) -> Reference:
    reference = parse_reference(name.removeprefix(REMOTE))
    if reference.digest:
        raise UsageError(
            f"{reference} has a digest: an image is pushed under a tag",
            remedy="name a tag: xx push NAME HOST/REPOSITORY:TAG",
            reason="bad-reference",
        )
    return reference
