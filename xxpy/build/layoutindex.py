"""``index.json`` of an OCI image layout, read with its checks, and written.

Source: OCI image-spec, image-layout.md and image-index.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xxpy.build.descriptor import Descriptor, canonical_json, parse_json_object
from xxpy.errors import StoreError

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of the file ``oci-layout``."""

MOST_INDEX = 32 << 20
"""Bytes of an ``index.json``, at most: a hundred thousand names."""


def read_index(path: Path, remedy: str) -> list[Descriptor]:
    """The entries of the ``index.json`` at ``path``.

    Raises OSError, and StoreError as `index_entries` does, with ``remedy``.
    """
    with path.open("rb") as file:
        data = file.read(MOST_INDEX + 1)
    return index_entries(data, str(path), remedy)


def index_entries(data: bytes, where: str, remedy: str) -> list[Descriptor]:
    """The entries of an index that is in ``where``.

    Raises StoreError (``json-invalid``, ``descriptor-invalid``, ``digest-invalid``) with ``remedy``.
    """
    try:
        if len(data) > MOST_INDEX:
            raise StoreError(f"{where} has more than {MOST_INDEX} bytes", reason="json-invalid")
        listed = parse_json_object(data, where).get("manifests")
        if not isinstance(listed, list):
            raise StoreError(
                f"{where} is no index of an OCI layout: it has no list of manifests", reason="json-invalid"
            )
        return [Descriptor.from_json(each) for each in listed]
    except StoreError as error:
        if not error.message.startswith(where):
            error.message = f"{where}: {error.message}"
        error.remedy = error.remedy or remedy
        raise


def index_json(entries: Sequence[Descriptor]) -> bytes:
    """An ``index.json`` of these entries."""
    manifests = [entry.to_json() for entry in entries]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})
