"""``-o`` as ``docker buildx build`` takes it: what is written, where, and in which form. Values and checks, no writing.

Sources: Docker's reference of ``--output`` and of the exporters image, registry, oci, docker, local and tar.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xxpy.build.annotations import KINDS, Annotation, parse_annotation
from xxpy.build.disk import open_descriptor
from xxpy.build.names import normalize_name, short_name
from xxpy.errors import StoreError, UsageError

GZIP, ZSTD, UNCOMPRESSED = COMPRESSIONS = ("gzip", "zstd", "uncompressed")
_MOST_LEVEL = {"": 9, GZIP: 9, ZSTD: 22}

NAMED_KINDS = ("image", "registry")
"""Outputs that go nowhere but to names: of the store, of a registry."""
IMAGE_KINDS, TREE_KINDS = ("oci", "docker", *NAMED_KINDS), ("local", "tar")
_FORM_PARAMETERS: tuple[str, ...] = (
    "name", "compression", "compression-level", "force-compression", "rewrite-timestamp", "oci-mediatypes",
    "annotation.KEY",
)  # fmt: skip
_ARCHIVE_PARAMETERS: tuple[str, ...] = ("dest", "tar", *_FORM_PARAMETERS)
_NAMED_PARAMETERS: tuple[str, ...] = (
    "push", "push-by-digest", "registry.insecure", "name-canonical", *_FORM_PARAMETERS
)  # fmt: skip
_TREE_PARAMETERS: tuple[str, ...] = ("dest", "platform-split")
_NOT_SERVED = {"cacheonly": "leave -o out: the result of each step stays in the store"}
LAYOUT_S = ("oci-layout", "index.json", "blobs", "manifest.json", "ingest")
"""What is in a folder that an OCI layout was written to: by us, for Docker, by BuildKit."""
_BUILDKIT_S = (
    "unpack", "store", "context", "attestation-prefix", "attestation-inline", "dangling-name-prefix",
    "prefer-nondist-layers", "oci-artifact", "buildinfo", "mode", *_ARCHIVE_PARAMETERS, *_NAMED_PARAMETERS,
)  # fmt: skip
"""Parameters that BuildKit's exporters know, and ours not each."""

_ANNOTATION = re.compile(r"annotation(?:-(?P<kind>[a-z-]+))?(?:\[(?P<platform>[^\]]+)\])?\.(?P<key>.+)", re.DOTALL)
BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
"""Values of parameters and switches, as Docker's command line takes them, in any case."""


@dataclass(frozen=True)
class Format:
    """How an image is written where that is not as it lies in the store.

    ``compression`` is of layers that this build made, of all if ``force``; empty leaves each as it is. ``level`` is
    None for the usual one. ``oci`` is false for Docker's media types.
    """

    compression: str = ""
    level: int | None = None
    force: bool = False
    oci: bool = True
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Output:
    """One ``-o``.

    ``kind`` is one of `IMAGE_KINDS` or `TREE_KINDS`, ``dest`` a path or ``-`` for stdout, empty for `NAMED_KINDS` and
    for an engine that takes the image. ``tar`` is false for a folder. ``names`` (full) count where the build has no
    ``-t``. ``split`` says whether each platform has a folder of its own, None if there are several platforms.
    ``rewrite`` is false to ask for times later than SOURCE_DATE_EPOCH. ``push`` sends it to the names' registries,
    ``by_digest`` without a tag, over plain HTTP or unverified TLS if ``insecure``. ``canonical`` also keeps it in the
    store by ``NAME@DIGEST``.
    """

    kind: str
    dest: str
    tar: bool = True
    names: tuple[str, ...] = ()
    format: Format = field(default_factory=Format)
    split: bool | None = None
    rewrite: bool | None = None
    push: bool = False
    by_digest: bool = False
    insecure: bool = False
    canonical: bool = False

    @property
    def is_loaded(self) -> bool:
        """Whether an engine on this machine takes it."""
        return self.kind == "docker" and not self.dest

    @property
    def is_image(self) -> bool:
        """Whether it holds images, not the files of their roots."""
        return self.kind in IMAGE_KINDS

    def splits(self, platforms: int) -> bool:
        """Whether each of ``platforms`` (a count) gets a folder of its own."""
        return platforms > 1 if self.split is None else self.split


def parse_output(text: str) -> Output:
    """Read ``DIR``, ``-`` or ``type=…,dest=PATH[,…]``, a line of CSV.

    Raises UsageError: ``bad-output``, ``output-unsupported``, ``bad-reference``.
    """
    fields = _fields(text)
    kind = fields.pop("type", "")
    if kind in _NOT_SERVED:
        raise UsageError(
            f"-o {text}: an output of type {kind} is not supported",
            remedy=_NOT_SERVED[kind],
            reason="output-unsupported",
        )
    if kind in IMAGE_KINDS:
        made = _image_output(kind, fields, text)
        known = _NAMED_PARAMETERS if kind in NAMED_KINDS else _ARCHIVE_PARAMETERS
    elif kind in TREE_KINDS:
        made = Output(kind, fields.pop("dest", ""), kind == "tar", split=_boolean(fields, "platform-split", text))
        known = _TREE_PARAMETERS
    else:
        problem = f"there is no output of type {kind}" if kind else "type= is missing"
        raise _bad(text, problem, f"types: {', '.join((*IMAGE_KINDS, *TREE_KINDS))}")
    for key in fields:
        if key in _BUILDKIT_S:
            reason = "output-unsupported"
            problem = f"-o {text}: {key}= is not supported for type={kind}"
        else:
            reason, problem = "bad-output", f"-o {text}: {key}= is not known"
        raise UsageError(problem, remedy=f"type={kind} takes: {', '.join(known)}", reason=reason)
    return _with_dest(made, text)


def with_shorthands(outputs: Sequence[Output], *, push: bool, load: bool) -> tuple[Output, ...]:
    """``outputs`` with what ``--push`` and ``--load`` stand for: outputs of their own, unless one fits already."""
    found = [replace(each, push=True) if push and each.kind == "image" else each for each in outputs]
    if push and not any(each.push for each in found):
        found.append(Output("registry", "", push=True))
    if load and not any(each.is_loaded for each in found):
        found.append(parse_output("type=docker"))
    return tuple(found)


def _with_dest(made: Output, text: str) -> Output:
    """``made``, to stdout where buildx writes there. Raises UsageError (``bad-output``)."""
    if made.dest == "-" and not made.tar:
        raise _bad(text, "a folder cannot go to stdout", "name a folder: dest=DIR")
    if made.dest or made.kind in NAMED_KINDS:
        return made
    if not made.tar:
        raise _bad(text, "dest=DIR is missing", f"write -o type={made.kind},dest=DIR")
    if made.kind == "docker":
        return made
    return Output(made.kind, "-", True, made.names, made.format, made.split, made.rewrite)


def _fields(text: str) -> dict[str, str]:
    try:
        row = next(csv.reader([text]), [])
    except csv.Error as error:
        raise _bad(text, f"it is no line of CSV ({error})", "write -o type=oci,dest=FILE") from error
    if row == [text] and not text.startswith("type="):
        return {"type": "tar" if text == "-" else "local", "dest": text}
    fields = {}
    for part in row:
        key, equals, value = part.partition("=")
        if not equals:
            raise _bad(text, f"{part!r} is no KEY=VALUE", "write -o DIR or -o type=TYPE,dest=PATH")
        key = key.strip()
        fields[key if key.startswith("annotation") else key.lower()] = value
    return fields


def _image_output(kind: str, fields: dict[str, str], text: str) -> Output:
    compression = fields.pop("compression", "")
    if compression == "estargz":
        raise UsageError(
            f"-o {text}: compression=estargz is not supported",
            remedy=f"compressions: {', '.join(COMPRESSIONS)}",
            reason="output-unsupported",
        )
    if compression not in ("", *COMPRESSIONS):
        raise _bad(text, f"compression={compression} is not known", f"compressions: {', '.join(COMPRESSIONS)}")
    level = _level(fields.pop("compression-level", ""), compression, text)
    annotations = _annotations(fields, text)
    oci = _boolean(fields, "oci-mediatypes", text)
    # As with BuildKit: what Docker's media types cannot say takes OCI's.
    needs_oci = compression == ZSTD or bool(annotations)
    if oci is False and needs_oci:
        what = "compression=zstd" if compression == ZSTD else "annotation"
        raise _bad(text, f"{what} needs OCI media types", "leave oci-mediatypes=false out")
    form = Format(
        compression,
        level,
        force=bool(_boolean(fields, "force-compression", text)),
        oci=(kind != "docker" or needs_oci) if oci is None else oci,
        annotations=annotations,
    )
    given = fields.pop("name", "")
    names = tuple(normalize_name(each.strip()) for each in given.split(",") if each.strip())
    rewrite = _boolean(fields, "rewrite-timestamp", text)
    if kind in NAMED_KINDS:
        return _named_output(Output(kind, "", True, names, form, rewrite=rewrite), fields, text)
    tar = _boolean(fields, "tar", text)
    return Output(kind, fields.pop("dest", ""), tar is not False, names, form, rewrite=rewrite)


def _named_output(made: Output, fields: dict[str, str], text: str) -> Output:
    push = _boolean(fields, "push", text)
    by_digest, canonical = (bool(_boolean(fields, key, text)) for key in ("push-by-digest", "name-canonical"))
    insecure = bool(_boolean(fields, "registry.insecure", text))
    sent = made.kind == "registry" if push is None else push
    return replace(made, push=sent, by_digest=by_digest, insecure=insecure, canonical=canonical)


def _level(text: str, compression: str, output: str) -> int | None:
    if not text:
        return None
    most = _MOST_LEVEL.get(compression)
    if most is None:
        raise _bad(output, f"compression-level={text} with compression={compression}", "leave one of them out")
    if not text.isascii() or not text.isdigit() or int(text[:9]) > most:
        problem = f"compression-level={text} is no level of {compression or GZIP}"
        raise _bad(output, problem, f"levels are 0 to {most}")
    return int(text)


def _annotations(fields: dict[str, str], text: str) -> tuple[Annotation, ...]:
    found: list[Annotation] = []
    for key in [each for each in fields if each.startswith("annotation")]:
        match = _ANNOTATION.fullmatch(key)
        kind = (match["kind"] or KINDS[0]) if match else ""
        if match is None or kind not in KINDS:
            raise _bad(text, f"{key}= is no annotation", "write annotation.KEY=VALUE or annotation-index.KEY=VALUE")
        where = f"[{match['platform']}]" if match["platform"] else ""
        found += parse_annotation(f"{kind}{where}:{match['key']}={fields.pop(key)}")
    return tuple(found)


def _boolean(fields: dict[str, str], key: str, text: str) -> bool | None:
    value = fields.pop(key, None)
    if value is None:
        return None
    if value.lower() not in BOOLEANS:
        raise _bad(text, f"{key}={value} is neither true nor false", f"write {key}=true or {key}=false")
    return BOOLEANS[value.lower()]


def _bad(text: str, problem: str, remedy: str) -> UsageError:
    return UsageError(f"-o {text}: {problem}", remedy=remedy, reason="bad-output")


def check_outputs(outputs: Sequence[Output], platforms: int, epoch: int | None, tags: Sequence[str] = ()) -> None:
    """Refuse before a build of ``platforms`` (a count) what could not be written after it; ``tags`` as `names_for`.

    Raises UsageError (``bad-output``, ``one-platform``, ``output-unsupported``), StoreError (``store-unwritable``).
    """
    taken: dict[str, str] = {}
    for output in outputs:
        if output.kind == "docker" and output.dest and platforms > 1:
            raise UsageError(
                f"-o type=docker holds the image of one platform, this build has {platforms}",
                remedy="make it for one of them, or write -o type=oci,dest=FILE",
                reason="one-platform",
            )
        if output.rewrite is False and epoch is not None:
            raise UsageError(
                "-o …,rewrite-timestamp=false: with SOURCE_DATE_EPOCH no time in a layer is later than that",
                remedy="leave one of them out",
                reason="output-unsupported",
            )
        if output.kind in NAMED_KINDS:
            _check_names(output, names_for(output, tags))
        if not output.dest:
            continue
        where = "stdout" if output.dest == "-" else os.path.realpath(output.dest)
        if where in taken:
            raise UsageError(f"two outputs go to {taken[where]}", remedy="give each its own", reason="bad-output")
        taken[where] = where if output.dest == "-" else output.dest
        check_dest(output)


def _check_names(output: Output, names: Sequence[str]) -> None:
    if not names and (output.push or output.canonical or output.kind == "image"):
        problem = f"-o type={output.kind}: the image has no name"
        raise UsageError(problem, remedy="add -t NAME, or name=NAME to the output", reason="bad-output")
    if pinned := [name for name in names if "@" in name]:
        raise UsageError(
            f"-o type={output.kind}: {short_name(pinned[0])} has a digest, which only the finished image has",
            remedy="name a repository, and a tag",
            reason="bad-output",
        )


def check_dest(output: Output) -> None:
    """Refuse a destination that cannot be written. Raises UsageError (``bad-output``), StoreError."""
    path, problem, remedy = Path(output.dest), "", "name another dest="
    if output.dest == "-":
        if sys.stdout.isatty():
            problem, remedy = "a terminal cannot take an archive", "send stdout to a file, or name one: dest=FILE"
    elif output.tar and path.is_dir():
        problem = f"{path} is a folder, and a file is to be written"
        remedy = f"name a file: dest=FILE{'; or add tar=false' if output.is_image else ''}"
    elif not output.tar and path.exists() and not path.is_dir():
        problem = f"{path} is a file, and a folder is to be written"
        remedy = "name a folder: dest=DIR; or move the file away"
    elif not output.tar and output.is_image and _holds_something(path) and (other := _no_layout_s(path)):
        problem = f"{path} holds {other}, and so is more than an OCI layout"
    if problem:
        raise UsageError(problem, remedy=remedy, reason="bad-output")
    if output.dest != "-":
        _check_writable(path.absolute(), output.dest, merged=output.kind == "local")


def check_file(flag: str, path: Path) -> None:
    """Refuse before a build the file of ``flag`` if it could not be written after it. Raises as `check_dest`."""
    if not path.name or path.is_dir():
        raise UsageError(f"{flag} {str(path)!r} is no file", remedy="name a file", reason="bad-output")
    _check_writable(path.absolute(), str(path), remedy=f"name another file: {flag} FILE")


def check_folder(flag: str, path: Path) -> None:
    """As `check_file`, for a folder that is added to, or made."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{flag}: {path} is a file, no folder", remedy="name a folder: dest=DIR", reason="bad-output")
    _check_writable(path.absolute(), str(path), merged=True)


def _no_layout_s(path: Path) -> str:
    """The name of something in a folder that is of no OCI layout; it would be lost."""
    if not (path / "oci-layout").is_file():
        return sorted(os.listdir(path))[0]
    return next((name for name in sorted(os.listdir(path)) if name not in LAYOUT_S), "")


def _holds_something(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _check_writable(path: Path, shown: str, *, merged: bool = False, remedy: str = "name another dest=") -> None:
    """``merged`` says that a folder is added to, not replaced."""
    special = open_descriptor(path) >= 0 or (path.exists() and not path.is_file() and not path.is_dir())
    own = special or (merged and path.is_dir())
    nearest = path if own else next(each for each in path.parents if os.path.lexists(each) or each == each.parent)
    if not special and not nearest.is_dir():
        raise UsageError(f"cannot write {shown}: {nearest} is no folder", remedy=remedy, reason="bad-output")
    needed = os.W_OK if special else os.W_OK | os.X_OK
    if not os.access(nearest, needed, effective_ids=True):
        raise StoreError(
            f"cannot write {shown}: {nearest} is not writable for user {os.geteuid()}",
            remedy=remedy,
            reason="store-unwritable",
        )


def names_for(output: Output, tags: Sequence[str]) -> tuple[str, ...]:
    """The names (full) that an image is written under: those of ``-t``, else of ``name=``, as with buildx."""
    return tuple(tags) or output.names
