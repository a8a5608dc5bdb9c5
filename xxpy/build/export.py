"""Exporters of images: an OCI image layout, or what ``docker load`` reads, as one tar or as a folder.

Docker's archive is an OCI image layout too, with a ``manifest.json`` for older readers, as Docker 25
and newer write it.
Sources: OCI image-spec, image-layout.md; Docker's Image Specification v1.2, "Combined Image JSON + Filesystem
Changeset Format", for manifest.json.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from xxpy.build.convert import converted
from xxpy.build.descriptor import Descriptor, canonical_json
from xxpy.build.destination import output_file, output_folder
from xxpy.build.image import image_manifests
from xxpy.build.layers import content_of
from xxpy.build.layoutindex import LAYOUT_FILE, REF_NAME, index_json, read_index
from xxpy.build.names import short_name, tag_of
from xxpy.build.outputs import Output, names_for
from xxpy.build.store import Store
from xxpy.build.tarwriter import TarWriter
from xxpy.platforms import Platform

_FULL_NAME = "io.containerd.image.name"


def export_image(
    store: Store, index: Descriptor, tags: Sequence[str], output: Output, bases: Mapping[Platform, int] | None = None
) -> Descriptor:
    """Write the image ``index`` with all it refers to, under ``tags`` (full); what was written, an index or a manifest.

    ``bases`` counts the layers of each platform's base image. The destination is replaced when all is written, or left
    as it was. Equal images give equal bytes. Raises StoreError (``disk-full``, ``store-unwritable``).
    """
    written = converted(store, index, output.format, bases or {})
    names = names_for(output, tags)
    docker = output.kind == "docker"
    if docker:
        (written,) = image_manifests(store, written)
    if output.tar:
        with output_file(output.dest) as file:
            write_archive(store, written, names, file, docker=docker)
    else:
        with output_folder(output.dest) as folder:
            kept = [] if docker else _kept(Path(output.dest), names, folder)
            _write_folder(store, _files(store, written, names, docker, kept), _reachable(store, written), folder)
    return written


def _kept(old: Path, names: Sequence[str], folder: Path) -> list[Descriptor]:
    """The images of other tags in the layout ``old``: their entries, and their blobs in ``folder``, its successor.

    As BuildKit does. Raises StoreError where ``old`` is damaged, OSError.
    """
    if not (old / "index.json").is_file():
        return []
    tags = {"", *map(tag_of, names)}
    entries = read_index(old / "index.json", "name another dest=, or remove this one")
    kept = [one for one in entries if dict(one.annotations).get(REF_NAME, "") not in tags]
    if kept:
        target = folder / "blobs" / "sha256"
        target.mkdir(parents=True)
        for blob in (old / "blobs" / "sha256").iterdir():
            # Those of the image that is replaced stay too: others may refer to them.
            _link(blob, target / blob.name)
    return kept


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_archive(store: Store, written: Descriptor, names: Sequence[str], out: IO[bytes], *, docker: bool) -> None:
    """Write an index or a manifest as a tar to ``out``, for ``docker load`` too if ``docker``. Raises OSError."""
    _write_tar(store, _files(store, written, names, docker), _reachable(store, written), out)


def _files(
    store: Store, written: Descriptor, names: Sequence[str], docker: bool, others: Sequence[Descriptor] = ()
) -> dict[str, bytes]:
    """What stands beside the blobs; ``others`` are images that are there already."""
    files = {"oci-layout": LAYOUT_FILE}
    if docker:
        files["manifest.json"] = canonical_json([_docker_entry(store, written, names)])
    entries = [_named(written, name) for name in names] or [written]
    return files | {"index.json": index_json([*others, *entries])}


def _named(entry: Descriptor, name: str) -> Descriptor:
    marks = dict(entry.annotations) | {_FULL_NAME: name, REF_NAME: tag_of(name)}
    return Descriptor(entry.media_type, entry.digest, entry.size, None, tuple(sorted(marks.items())))


def _docker_entry(store: Store, manifest: Descriptor, names: Sequence[str]) -> dict[str, Any]:
    """The one entry of ``manifest.json``. Docker wants a tag in each name and takes none with a digest."""
    body = store.read_json(manifest.digest)
    tagged = [_tagged(name) for name in names if "@" not in name]
    layers = [_blob_path(Descriptor.from_json(each)) for each in body["layers"]]
    return {
        "Config": _blob_path(Descriptor.from_json(body["config"])),
        "RepoTags": tagged or None,
        "Layers": layers,
    }


def _tagged(name: str) -> str:
    short = short_name(name)
    return short if short.endswith(f":{tag_of(name)}") else f"{short}:{tag_of(name)}"


def _blob_path(part: Descriptor) -> str:
    return "blobs/" + part.digest.replace(":", "/")


def _reachable(store: Store, top: Descriptor) -> list[str]:
    """Digests of the index, its manifests, their configs and layers; each once, sorted.

    Raises StoreError for one that is not there in its size (``blob-missing``, ``digest-mismatch``).
    """
    found = {top.digest}
    todo = [top.digest]
    while todo:
        body: dict[str, Any] = store.read_json(todo.pop())
        for part in body.get("manifests", []):
            digest = Descriptor.from_json(part).digest
            found.add(digest)
            todo.append(digest)
        for part in (*([body["config"]] if "config" in body else []), *body.get("layers", [])):
            blob = Descriptor.from_json(part)
            store.require(blob)
            found.add(blob.digest)
    return sorted(found)


def _write_tar(store: Store, files: Mapping[str, bytes], blobs: list[str], out: IO[bytes]) -> None:
    tar = TarWriter(out)
    for folder in ("blobs", "blobs/sha256"):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.entry(entry)
    for digest in blobs:
        path = store.blob(digest)
        size = path.stat().st_size
        tar.entry(_file_entry(f"blobs/sha256/{path.name}", size))
        for data in content_of(os.fspath(path), size):
            tar.content(data)
    for name, data in sorted(files.items()):
        tar.entry(_file_entry(name, len(data)))
        tar.content(data)
    tar.end()


def _file_entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o644, size
    return entry


def _write_folder(store: Store, files: Mapping[str, bytes], blobs: list[str], folder: Path) -> None:
    target = folder / "blobs" / "sha256"
    target.mkdir(parents=True, exist_ok=True)
    for digest in blobs:
        (target / store.blob(digest).name).unlink(missing_ok=True)
        shutil.copyfile(store.blob(digest), target / store.blob(digest).name)
    for name, data in files.items():
        (folder / name).write_bytes(data)
