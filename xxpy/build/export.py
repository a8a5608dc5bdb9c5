"""Exporters: ``-o type=…``. So far ``oci``, an OCI image layout as one tar or as a folder.

Sources: OCI image-spec, image-layout.md; Docker's reference of ``docker buildx build --output`` for the syntax.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
import shutil
import sys
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xxpy.build.descriptor import Descriptor
from xxpy.build.disk import storing, sync_directory
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.names import tag_of
from xxpy.build.store import LAYOUT_FILE, REF_NAME, Store, index_json
from xxpy.errors import UsageError

_FULL_NAME = "io.containerd.image.name"
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


@dataclass(frozen=True)
class Output:
    """One ``-o``: ``dest`` is a path or ``-`` for stdout; ``tar`` is false for a folder."""

    kind: str
    dest: str
    tar: bool = True


def parse_output(text: str) -> Output:
    """Read ``type=oci,dest=PATH[,tar=false]``, as buildx does a line of CSV.

    Raises UsageError: ``bad-output``, ``output-unsupported``.
    """
    fields = dict(_fields(text))
    kind = fields.pop("type", "")
    if kind != "oci":
        raise UsageError(
            f"-o {text}: an output of type {kind or 'local'} is not supported yet",
            remedy="write -o type=oci,dest=FILE.tar; with -t alone the image stays in the store",
            reason="output-unsupported",
        )
    dest = fields.pop("dest", "")
    tar = fields.pop("tar", "true").lower()
    if not dest or tar not in (*_TRUE, *_FALSE):
        problem = "dest=PATH is missing" if not dest else f"tar={tar} is neither true nor false"
        raise UsageError(f"-o {text}: {problem}", remedy="write -o type=oci,dest=FILE.tar", reason="bad-output")
    if fields:
        raise UsageError(
            f"-o {text}: {next(iter(fields))} is not known",
            remedy="type=oci takes dest= and tar=",
            reason="bad-output",
        )
    if dest == "-" and tar in _FALSE:
        raise UsageError(f"-o {text}: a folder cannot go to stdout", remedy="name a folder", reason="bad-output")
    return Output(kind, dest, tar in _TRUE)


def _fields(text: str) -> Iterable[tuple[str, str]]:
    for field in next(csv.reader([text]), []):
        key, equals, value = field.partition("=")
        if not equals:
            yield from (("type", "local"), ("dest", key))
        else:
            yield key.strip().lower(), value


def check_dest(output: Output) -> None:
    """Refuse before the build what could not be written after it. Raises UsageError (``bad-output``)."""
    path = Path(output.dest)
    problem = ""
    if output.dest == "-":
        if sys.stdout.isatty():
            problem = "a terminal cannot take an archive; send stdout to a file"
    elif output.tar and path.is_dir():
        problem = f"{path} is a folder; name a file, or add tar=false"
    elif not output.tar and path.exists() and not (path / "oci-layout").is_file() and _holds_something(path):
        problem = f"{path} is there and is no OCI layout"
    if problem:
        raise UsageError(problem, remedy="name another dest=", reason="bad-output")


def _holds_something(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def export_oci(store: Store, index: Descriptor, names: Sequence[str], output: Output) -> int:
    """Write the image ``index`` with all it refers to, under ``names`` (full); the number of its bytes.

    The destination is replaced when all is written, or left as it was. Equal images give equal bytes.
    Raises StoreError (``disk-full``, ``store-unwritable``).
    """
    entries = [_named(index, name) for name in names] or [index]
    blobs = _reachable(store, index)
    size = sum(store.blob(digest).stat().st_size for digest in blobs)
    if output.dest == "-":
        _write_tar(store, entries, blobs, sys.stdout.buffer)
        sys.stdout.flush()
        return size
    dest = Path(output.dest).absolute()
    with storing(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        temporary = dest.with_name(f".{dest.name}.{secrets.token_hex(4)}")
        try:
            if output.tar:
                with temporary.open("xb") as file:
                    _write_tar(store, entries, blobs, file)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(temporary, dest)
            else:
                _write_folder(store, entries, blobs, temporary)
                _exchange(temporary, dest)
            sync_directory(dest.parent)
        finally:
            if temporary.is_dir():
                remove_tree(temporary)
            else:
                temporary.unlink(missing_ok=True)
    return size


def _named(index: Descriptor, name: str) -> Descriptor:
    marks = ((_FULL_NAME, name), (REF_NAME, tag_of(name)))
    return Descriptor(index.media_type, index.digest, index.size, None, marks)


def _reachable(store: Store, index: Descriptor) -> list[str]:
    """Digests of the index, its manifests, their configs and layers; each once, sorted."""
    found = {index.digest}
    todo = [index.digest]
    while todo:
        body: dict[str, Any] = store.read_json(todo.pop())
        for part in body.get("manifests", []):
            digest = Descriptor.from_json(part).digest
            found.add(digest)
            todo.append(digest)
        for part in (*([body["config"]] if "config" in body else []), *body.get("layers", [])):
            found.add(Descriptor.from_json(part).digest)
    return sorted(found)


def _write_tar(store: Store, entries: list[Descriptor], blobs: list[str], out: IO[bytes]) -> None:
    # tarfile's own stream copies in pieces of 16 KiB, which takes three times as long for images of 100 MB.
    for folder in ("blobs", "blobs/sha256"):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        out.write(entry.tobuf(tarfile.PAX_FORMAT))
    for digest in blobs:
        path = store.blob(digest)
        with path.open("rb") as file:
            _add_file(out, f"blobs/sha256/{path.name}", os.fstat(file.fileno()).st_size, file)
    for name, data in (("index.json", index_json(entries)), ("oci-layout", LAYOUT_FILE)):
        _add_file(out, name, len(data), io.BytesIO(data))
    # Two empty blocks end an archive (POSIX pax, "ustar Interchange Format").
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _add_file(out: IO[bytes], name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o644, size
    out.write(entry.tobuf(tarfile.PAX_FORMAT))
    shutil.copyfileobj(content, out, 1 << 20)
    out.write(bytes(-size % tarfile.BLOCKSIZE))


def _write_folder(store: Store, entries: list[Descriptor], blobs: list[str], folder: Path) -> None:
    target = folder / "blobs" / "sha256"
    target.mkdir(parents=True)
    for digest in blobs:
        shutil.copyfile(store.blob(digest), target / store.blob(digest).name)
    (folder / "index.json").write_bytes(index_json(entries))
    (folder / "oci-layout").write_bytes(LAYOUT_FILE)


def _exchange(temporary: Path, dest: Path) -> None:
    if not dest.exists():
        os.rename(temporary, dest)
        return
    old = dest.with_name(f".{dest.name}.{secrets.token_hex(4)}")
    os.rename(dest, old)
    os.rename(temporary, dest)
    remove_tree(old)
