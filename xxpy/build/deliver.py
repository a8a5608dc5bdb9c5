"""Where the images of a build go: a file or folder, an engine, the store's names, registries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xxpy.build.convert import converted
from xxpy.build.descriptor import Descriptor
from xxpy.build.events import Exporting, Listener, Notice
from xxpy.build.export import export_image
from xxpy.build.load import load_image
from xxpy.build.names import short_name
from xxpy.build.outputs import NAMED_KINDS, Output, names_for
from xxpy.build.registry.client import Registries
from xxpy.build.registry.push import Push, push_image
from xxpy.build.registry.reference import parse_reference
from xxpy.build.store import Store
from xxpy.platforms import Platform


def deliver_image(
    store: Store,
    index: Descriptor,
    tags: Sequence[str],
    output: Output,
    bases: Mapping[Platform, int],
    registries: Registries,
    listener: Listener,
) -> Descriptor:
    """Write the image ``index`` as ``output`` wants it; what was written, an index or a manifest.

    ``bases`` as `export_image`. Raises as that, `load_image` and `push_image` do.
    """
    if output.is_loaded:
        listener(Exporting("loading the image into this machine's engine"))
        taken, line = load_image(store, index, tags, output, bases)
        listener(Notice(line))
        return taken
    if output.kind not in NAMED_KINDS:
        listener(Exporting(f"writing {output.dest if output.dest != '-' else 'the image to stdout'}"))
        return export_image(store, index, tags, output, bases)
    written = converted(store, index, output.format, bases)
    names = names_for(output, tags)
    if output.push:
        pushes = [Push(parse_reference(name), output.by_digest, output.insecure) for name in names]
        push_image(store, written, pushes, registries, listener)
    if output.kind == "image":
        listener(Exporting(f"naming {', '.join(map(short_name, names))}"))
        for name in names if not output.by_digest else ():
            store.tag(name, written)
        for reference in map(parse_reference, names) if output.canonical else ():
            store.tag(f"{reference.host}/{reference.repository}@{written.digest}", written)
    return written
