"""`xx image`: the image that brings the xx commands into a stage."""

from __future__ import annotations

from pathlib import Path

import click

from xxpy.build.deliver import deliver_image
from xxpy.build.hostca import parse_host_ca
from xxpy.build.image import image_manifests, image_size
from xxpy.build.load import check_load
from xxpy.build.names import normalize_name, tag_name
from xxpy.build.outputs import check_outputs, parse_output
from xxpy.build.progress import MODES
from xxpy.build.registry.client import Registries
from xxpy.build.store import Store
from xxpy.build.using import using
from xxpy.build.xximage import SUITE, ensure
from xxpy.cli.shared import EventLines, XxImageShown, default_store, told
from xxpy.errors import UsageError
from xxpy.platforms import Platform, parse_list

_OUTPUTS = "write -o type=oci,dest=FILE, -o type=docker,dest=FILE, or -o type=registry"


@click.command("image", short_help="Make the image of the xx commands.")
@click.argument("name")
@click.option("--platform", "platforms", metavar="OS/ARCH[,…]", multiple=True, help="Platforms.  [default: this one]")
@click.option("--suite", default=SUITE, show_default=True, metavar="SUITE", help="The Debian suite of its Python.")
@click.option("-t", "--tag", "tags", metavar="NAME", multiple=True, help="A name in the store.")
@click.option("-o", "--output", "outputs", metavar="type=oci,dest=FILE", multiple=True, help="Where to write it.")
@click.option("--host-ca", metavar="auto|off|FILE", default="", help="Give steps this machine's CA certificates.")
@click.option("--progress", type=click.Choice(MODES), default="auto", show_default=True, help="How it is shown.")
@click.option("--store", type=click.Path(path_type=Path), help="The store's folder.  [default: as xx build]")
def image_command(
    name: str,
    platforms: tuple[str, ...],
    suite: str,
    tags: tuple[str, ...],
    outputs: tuple[str, ...],
    host_ca: str,
    progress: str,
    store: Path | None,
) -> None:
    """Make the image NAME, which is xx: what COPY --from=xx / / puts into a stage.

    `FROM xx` in a Dockerfile makes it by itself where the store has no image of that name; this is for taking it
    elsewhere. Its platforms are those of the machines that builds run on. Not every suite has every platform.
    """
    with told():
        if name != "xx":
            raise UsageError(f"{name} is no image that comes with xx", remedy="xx image xx", reason="image-unknown")
        wanted = tuple(parse_list(",".join(platforms))) if platforms else (Platform.host(),)
        written = [parse_output(text) for text in outputs]
        for text, output in zip(outputs, written, strict=True):
            if not output.is_image:
                raise UsageError(f"-o {text}: xx image writes images", remedy=_OUTPUTS, reason="output-unsupported")
        names = list(dict.fromkeys(tag_name(tag) for tag in tags))
        check_outputs(written, len(wanted), None, names)
        check_load(written, wanted)
        place = Store.open(store or default_store())
        authorities = parse_host_ca(host_ca)
        with using(place):
            index = ensure(place, wanted, XxImageShown(progress), suite, authorities)
            for full in names:
                place.tag(full, index)
            for output in written:
                called = names or output.names or [normalize_name("xx")]
                listener = EventLines(progress in ("quiet", "none", "rawjson"))
                deliver_image(place, index, called, output, {}, Registries(authorities.bundle), listener)
            for manifest in image_manifests(place, index):
                click.echo(
                    f"xx {manifest.platform}: {manifest.digest}  {image_size(place, manifest) / 1e6:.1f} MB", err=True
                )
