"""What ``--metadata-file`` and ``--iidfile`` hold, under the names that buildx gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xxpy.build.descriptor import Descriptor
from xxpy.build.image import image_manifests
from xxpy.build.outputs import Output, names_for
from xxpy.build.store import Store


def build_metadata(
    store: Store, written: Descriptor, tags: Sequence[str], outputs: Sequence[Output]
) -> dict[str, object]:
    """The image ``written``, an index or a manifest, and its names.

    ``containerimage.config.digest`` is there where it is of one platform, ``image.name`` where it has a name.
    """
    made: dict[str, object] = {}
    config = config_digest(store, written)
    if config:
        made["containerimage.config.digest"] = config
    made["containerimage.descriptor"] = written.to_json()
    made["containerimage.digest"] = written.digest
    names = list(tags) or sorted({name for output in outputs for name in names_for(output, tags)})
    if names:
        made["image.name"] = ",".join(names)
    return made


def config_digest(store: Store, written: Descriptor) -> str:
    """The digest of the config of an image of one platform, which Docker calls the image's ID; empty for several."""
    manifests = image_manifests(store, written)
    if len(manifests) != 1:
        return ""
    body: dict[str, Any] = store.read_json(manifests[0].digest)
    return Descriptor.from_json(body.get("config")).digest


def image_id(store: Store, written: Descriptor) -> str:
    """What buildx writes to ``--iidfile`` and prints with ``-q``: the config's digest, else that of the index."""
    return config_digest(store, written) or written.digest
