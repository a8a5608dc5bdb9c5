"""`xx images`: the images that the store has names for, and taking names away."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from xxpy.build.listing import NamedImage, named_images, only_name, remove_names
from xxpy.build.names import short_name
from xxpy.build.naming import harmless, human_size
from xxpy.cli.shared import store_option, store_to_read, told
from xxpy.cli.tables import ago, columns, short_id
from xxpy.cli.usage import Group


@click.group(
    "images", cls=Group, invoke_without_command=True, short_help="List the images of the store, or remove names."
)
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="One JSON object a line.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but the digests.")
@store_option
@click.pass_context
def images_group(context: click.Context, form: str, quiet: bool, store: Path | None) -> None:
    """List the images that have a name in the store."""
    if context.invoked_subcommand is not None:
        return
    with told():
        images = list(named_images(store_to_read(store)))
        if quiet:
            # Two names may stand for one image.
            for digest in dict.fromkeys(image.digest for image in images):
                click.echo(digest)
        elif form == "json":
            for image in images:
                click.echo(json.dumps(_as_object(image)))
        else:
            now = time.time_ns()
            rows = [_row(image, now) for image in images]
            click.echo(columns(("NAME", "PLATFORMS", "ID", "CREATED", "SIZE"), rows))


@images_group.command("rm", short_help="Take names away.")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@store_option
def rm_command(names: tuple[str, ...], store: Path | None) -> None:
    """Take names away. What images have that no other has goes with the next xx cache prune.

    For NAME an image's ID will do, where it has no other name.
    """
    with told():
        place = store_to_read(store)
        full = list(dict.fromkeys(only_name(place, name, "say which of them go") for name in names))
        remove_names(place, full)
        for name in full:
            click.echo(f"removed {short_name(name)}")
        click.echo("their blobs stay until xx cache prune", err=True)


def _row(image: NamedImage, now: int) -> tuple[str, str, str, str, str]:
    name, id_ = short_name(image.name), short_id(image.digest)
    if image.problem:
        return name, f"damaged: {image.problem}", id_, "-", "-"
    return name, ",".join(image.platforms), id_, _age(image.created, now), human_size(image.size)


def _age(created: str, now: int) -> str:
    try:
        made = datetime.fromisoformat(created)
    except ValueError:
        return harmless(created) or "-"
    seconds = (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()
    # SOURCE_DATE_EPOCH may be 0, which is a time here.
    return ago(max(1, int(seconds * 1e9)), now)


def _as_object(image: NamedImage) -> dict[str, object]:
    made: dict[str, object] = {
        "Name": image.name,
        "Platforms": list(image.platforms),
        "Digest": image.digest,
        "CreatedAt": image.created,
        "Size": image.size,
    }
    return made | {"Problem": image.problem} if image.problem else made
