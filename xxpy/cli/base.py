"""`xx base`: base images from the distribution's own archive, without a registry."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from xxpy.build.base import Progress, make_base, missing_platforms, recipe_for
from xxpy.build.names import short_name
from xxpy.build.store import Store
from xxpy.build.using import using
from xxpy.cli.shared import default_store, told
from xxpy.platforms import Platform, parse_list


@click.command("base", short_help="Make a base image from the distribution's archive.")
@click.argument("name")
@click.option("--platform", "platforms", metavar="OS/ARCH[,…]", multiple=True, help="Platforms.  [default: this one]")
@click.option("--mirror", metavar="URL", default="", help="Take packages from here.  [default: the distribution's own]")
@click.option(
    "--apt-option", "apt_options", metavar="LINE", multiple=True, help="A line of apt.conf(5), kept in the image."
)
@click.option("--store", type=click.Path(path_type=Path), help="The store's folder.  [default: as xx build]")
@click.option("--force", is_flag=True, help="Make it again even if it is there, as after security updates.")
def base_command(
    name: str, platforms: tuple[str, ...], mirror: str, apt_options: tuple[str, ...], store: Path | None, force: bool
) -> None:
    """Make the image NAME (debian:trixie, ubuntu:noble, busybox) so that FROM NAME finds it.

    Debian and Ubuntu are bootstrapped by mmdebstrap, which checks the archive's signatures; busybox is the package
    busybox-static, of which nothing is run. Platforms that are there already are left as they are.
    """
    with told():
        wanted = tuple(parse_list(",".join(platforms))) if platforms else (Platform.host(),)
        recipe = recipe_for(name, mirror, apt_options=apt_options)
        place = Store.open(store or default_store())
        missing = list(wanted) if force else missing_platforms(place, recipe, wanted)
        short = short_name(recipe.name)
        for platform in wanted:
            if platform not in missing:
                click.echo(f"{short} {platform}: already there", err=True)
        if missing:
            with using(place):
                make_base(place, recipe, missing, _Shown(short))


class _Shown:
    """A line for each thing that happens; at a terminal with a spinner under them while it takes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        what = f"done in {progress.seconds:.1f}s, {progress.text}" if progress.done else f"{progress.text} …"
        sys.stderr.write(f"{self._name} {progress.platform}: {what}\n")
        sys.stderr.flush()
