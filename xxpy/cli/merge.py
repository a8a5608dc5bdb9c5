"""`xx merge`: one image of what several machines have built, without a registry."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from xxpy.build.annotations import Annotation, parse_annotation
from xxpy.build.deliver import deliver_image
from xxpy.build.engine.namespace import interruptible
from xxpy.build.image import image_manifests
from xxpy.build.load import check_load
from xxpy.build.merge import check_annotations, merge
from xxpy.build.names import short_name, tag_name
from xxpy.build.outputs import Format, Output, check_outputs
from xxpy.build.registry.client import Registries
from xxpy.build.sources import Source, StoreSource, needs_store, opened
from xxpy.build.store import Store
from xxpy.build.using import using
from xxpy.cli.delivery import chosen_outputs, delivery_options
from xxpy.cli.shared import EventLines, default_store, store_option, store_to_read, told
from xxpy.errors import UsageError


@click.command("merge", short_help="Make one image of several platforms' images.")
@click.argument("sources", metavar="SOURCE…", nargs=-1, required=True)
@click.option("-t", "--tag", "tags", metavar="NAME", multiple=True, help="The image's name in the store.")
@delivery_options
@click.option("--append", is_flag=True, help="Add to what NAME has.")
@click.option("--annotation", "annotations", metavar="index:NAME=VALUE", multiple=True, help="Of the index.")
@store_option
def merge_command(
    sources: tuple[str, ...],
    tags: tuple[str, ...],
    append: bool,
    annotations: tuple[str, ...],
    store: Path | None,
) -> None:
    """Make one image of all platforms that the SOURCEs have.

    A SOURCE is a name or an ID of the store, a folder with an OCI layout or an archive; as PATH:TAG where it holds
    several images; or docker://NAME in a registry. A platform may be in two of them only if it is the same image.
    Attestations go with their manifests.
    """
    with told(), interruptible():
        said = tuple(each for text in annotations for each in parse_annotation(text))
        check_annotations(said)
        written = chosen_outputs()
        _require_unchanged(written)
        names = tuple(dict.fromkeys(tag_name(tag) for tag in tags))
        if not names and not written:
            raise UsageError("neither -t nor -o says where the image goes", remedy="give one", reason="no-destination")
        if append and len(names) != 1:
            raise UsageError("--append adds to the image of one -t", remedy="give -t NAME once", reason="bad-append")
        check_outputs(written, 1, None, names)
        # Its blobs go there; what it has itself is only to be had of one that is there.
        own = any(map(needs_store, sources))
        place = store_to_read(store) if own else Store.open(store or default_store())
        with using(place):
            click.echo(_merged(place, sources, names, written, said, append=append))


def _require_unchanged(outputs: Sequence[Output]) -> None:
    """Refuse what would write other manifests than are merged. Raises UsageError (``output-unsupported``)."""
    for output in outputs:
        if not output.is_image:
            raise UsageError(
                f"-o type={output.kind}: xx merge writes images",
                remedy="write -o type=oci,dest=FILE",
                reason="output-unsupported",
            )
        # What docker load takes has Docker's media types.
        form = replace(output.format, oci=True) if output.kind == "docker" else output.format
        if form != Format():
            raise UsageError(
                f"-o type={output.kind}: manifests that are merged stay as they are",
                remedy="leave compression, annotations and media types out; --annotation is of the index",
                reason="output-unsupported",
            )


def _merged(
    store: Store,
    sources: Sequence[str],
    names: Sequence[str],
    outputs: Sequence[Output],
    annotations: Sequence[Annotation],
    *,
    append: bool,
) -> str:
    """Merge, name and write; the index's digest. Raises XxError."""
    # What a name stands for now is what it must stand for at the end.
    before = {name: store.resolve(name) for name in names}
    with ExitStack() as stack:
        given: list[Source] = []
        for name, entry in before.items():
            if append and entry is not None:
                given.append(StoreSource(store, short_name(name), entry))
        given += [stack.enter_context(opened(store, text)) for text in sources]
        index = merge(store, given, annotations)
    platforms = [one.platform for one in image_manifests(store, index) if one.platform is not None]
    check_outputs(outputs, len(platforms), None, names)
    check_load(outputs, platforms)
    for name in names:
        store.retag(name, index, before[name])
    for output in outputs:
        deliver_image(store, index, names, output, {}, Registries(), EventLines(quiet=False))
    return index.digest
