"""`xx pull` and `xx push`: images between registries and the store."""

from __future__ import annotations

from pathlib import Path

import click

from xxpy.build.engine import process
from xxpy.build.engine.namespace import interruptible
from xxpy.build.hostca import parse_host_ca
from xxpy.build.image import image_manifests
from xxpy.build.names import normalize_name, short_name
from xxpy.build.registry.client import Registries
from xxpy.build.registry.pull import Puller
from xxpy.build.registry.push import Push, push_image, without_marks
from xxpy.build.registry.reference import parse_reference
from xxpy.build.store import Store
from xxpy.cli.shared import EventLines, default_store, told
from xxpy.errors import SourceError, UsageError
from xxpy.platforms import Platform, parse_list

_STORE = click.option("--store", type=click.Path(path_type=Path), help="The store's folder.  [default: as xx build]")
_HOST_CA = click.option("--host-ca", metavar="auto|off|FILE", default="", help="Trust this machine's CA certificates.")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="Print the digest alone.")
_DEBUG = click.option("-D", "--debug", is_flag=True, help="Echo the programs that are started.")
_ALL = "all"


@click.command("pull", short_help="Pull an image from its registry into the store.")
@click.argument("name")
@click.option("--platform", "platforms", metavar="OS/ARCH[,…]|all", multiple=True, help="[default: this machine's]")
@_HOST_CA
@_STORE
@_QUIET
@_DEBUG
def pull_command(
    name: str, platforms: tuple[str, ...], host_ca: str, store: Path | None, quiet: bool, debug: bool
) -> None:
    """Pull the image NAME so that FROM NAME finds it, whatever the store has under it already.

    Platforms that were pulled before stay beside it if they are of the same image. Exit codes: 2 a wrong name or
    platform, 5 the registry does not give it, 7 the store cannot be written.
    """
    process.debug = debug
    with told():
        reference = parse_reference(name)
        given = ",".join(platforms)
        wanted = tuple(parse_list(given)) if given and given != _ALL else (Platform.host(),)
        place = Store.open(store or default_store())
        puller = Puller(place, Registries(parse_host_ca(host_ca).bundle))
        with interruptible():
            if given == _ALL:
                wanted = puller.platforms(reference)
            pulled = [puller.look_up(reference, each) for each in wanted]
            puller.fetch(pulled, EventLines(quiet))
        for each in dict.fromkeys(pulled):
            shown = each.manifest.digest if quiet else f"{reference} {each.manifest.platform}: {each.manifest.digest}"
            click.echo(shown)


@click.command("push", short_help="Push an image of the store to a registry.")
@click.argument("name")
@click.argument("destination", required=False)
@click.option("--insecure", is_flag=True, help="Plain HTTP, or TLS that is not verified, will do.")
@_HOST_CA
@_STORE
@_QUIET
@_DEBUG
def push_command(
    name: str,
    destination: str | None,
    insecure: bool,
    host_ca: str,
    store: Path | None,
    quiet: bool,
    debug: bool,
) -> None:
    """Push the image NAME of the store, with all its platforms, under its own name or as DESTINATION.

    Exit codes: 2 a wrong name, 5 the store has no such image, 7 the registry does not take it.
    """
    process.debug = debug
    with told():
        full, reference = normalize_name(name), parse_reference(destination or name)
        if reference.digest:
            raise UsageError(
                f"{reference} has a digest: an image is pushed under a tag",
                remedy="name a tag: xx push NAME HOST/REPOSITORY:TAG",
                reason="bad-reference",
            )
        place = Store.open(store or default_store())
        entry = place.resolve(full)
        if entry is None:
            raise SourceError(
                f"there is no image {short_name(full)} in the store",
                remedy=f"build it (xx build -t {short_name(full)} …), or pull it (xx pull {short_name(full)})",
                reason="image-missing",
            )
        top = without_marks(place, entry)
        registries = Registries(parse_host_ca(host_ca).bundle)
        push_image(place, top, [Push(reference, insecure=insecure)], registries, EventLines(quiet))
        platforms = ", ".join(str(one.platform) for one in image_manifests(place, top))
        click.echo(top.digest if quiet else f"{reference} {platforms}: {top.digest}")
