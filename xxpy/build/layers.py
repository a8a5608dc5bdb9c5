"""A snapshot as an OCI layer, and back: overlayfs' way of saying "deleted" against the image format's.

Sources: OCI image-spec, layer.md (whiteouts, opaque folders); kernel, Documentation/filesystems/overlayfs.rst (a
character device 0:0, the xattr ``user.overlay.opaque``); POSIX pax for what a plain tar header cannot hold.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.compressed import MOST_BYTES, MOST_ENTRIES, BadStream, Bounded, by_media_type
from xxpy.build.descriptor import Descriptor
from xxpy.build.outputs import GZIP
from xxpy.build.packers import LAYER_TYPES, packer
from xxpy.build.store import Store
from xxpy.build.tarentry import LATEST, XATTR, make_device, write_content
from xxpy.build.tarwriter import TarWriter
from xxpy.errors import StoreError

OPAQUE = "user.overlay.opaque"

_WHITEOUT = ".wh."
_OPAQUE_ENTRY = ".wh..wh..opq"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A layer's blob, and the digest of its tar before compression (``diff_id`` of OCI's config.md)."""

    descriptor: Descriptor
    diff_id: str


def write_layer(directory: Path, store: Store, epoch: int | None = None, compression: str = GZIP) -> Layer:
    """The changes in ``directory``, an overlayfs upper folder, as a blob of ``store``.

    The same tree gives the same bytes: entries are sorted, times are whole seconds, and none is later than ``epoch``
    (seconds since 1970) where that is given. Sockets are left out. Raises StoreError, OSError.
    """
    with store.writer() as out:
        packed = packer(out, compression)
        tar = TarWriter(packed)
        seen: dict[tuple[int, int], str] = {}
        for name, full in sorted_tree(os.fspath(directory)):
            _add(tar, name, full, seen, epoch)
        tar.end()
        diff_id = packed.end()
        return Layer(out.commit(LAYER_TYPES[compression]), diff_id)


def sorted_tree(root: str) -> Iterator[tuple[str, str]]:
    """Everything below ``root``, a folder before what it holds: names relative to it, and whole paths."""
    todo = [("", root)]
    while todo:
        name, full = todo.pop()
        if name:
            yield name, full
        if not name or stat.S_ISDIR(os.lstat(full).st_mode):
            prefix = f"{name}/" if name else ""
            todo += [(prefix + each, f"{full}/{each}") for each in sorted(os.listdir(full), reverse=True)]


def is_whiteout(info: os.stat_result) -> bool:
    """Whether a file of an upper folder says that what is below it is deleted."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def _add(tar: TarWriter, name: str, full: str, seen: dict[tuple[int, int], str], epoch: int | None) -> None:
    info = os.lstat(full)
    if is_whiteout(info):
        folder, _, last = name.rpartition("/")
        tar.entry(_blank(f"{folder}/{_WHITEOUT}{last}" if folder else _WHITEOUT + last))
        return
    entry = entry_of(name, full, info, seen, epoch)
    if entry is None:
        return
    tar.entry(entry)
    for data in content_of(full, entry.size):
        tar.content(data)
    if entry.isdir() and _xattr(full, OPAQUE) == b"y":
        tar.entry(_blank(f"{name}/{_OPAQUE_ENTRY}"))


def content_of(full: str, size: int) -> Iterator[bytes]:
    """The ``size`` bytes of a file, piece by piece. Raises OSError if there are fewer."""
    if not size:
        return
    fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while size:
            data = os.read(fd, min(size, _PIECE))
            if not data:
                raise OSError(f"{full} became shorter while it was read")
            size -= len(data)
            yield data
    finally:
        os.close(fd)


def entry_of(
    name: str, full: str, info: os.stat_result, seen: dict[tuple[int, int], str], epoch: int | None
) -> tarfile.TarInfo | None:
    """The header of the file ``full``; None for a socket, which no tar can hold.

    ``seen`` has the names of files with several links, by device and inode: the first name has the content.
    """
    mode = info.st_mode
    if stat.S_ISSOCK(mode):
        return None
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(mode), info.st_uid, info.st_gid
    entry.mtime = int(info.st_mtime) if epoch is None else min(int(info.st_mtime), epoch)
    entry.pax_headers = _pax_xattrs(full)
    if stat.S_ISDIR(mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(full)
    elif stat.S_ISREG(mode):
        first = seen.setdefault((info.st_dev, info.st_ino), name) if info.st_nlink > 1 else name
        if first != name:
            entry.type, entry.linkname = tarfile.LNKTYPE, first
        else:
            entry.size = info.st_size
    elif stat.S_ISFIFO(mode):
        entry.type = tarfile.FIFOTYPE
    else:
        entry.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        entry.devmajor, entry.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    return entry


def _blank(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode = 0
    return entry


def _xattr(full: str, name: str) -> bytes:
    try:
        return os.getxattr(full, name, follow_symlinks=False)
    except OSError:
        return b""


def _pax_xattrs(full: str) -> dict[str, str]:
    names = [
        name
        for name in os.listxattr(full, follow_symlinks=False)
        if not name.startswith(("user.overlay.", "trusted.", "security.selinux", "system."))
    ]
    # tarfile writes what is no UTF-8 as it was when it was decoded with surrogateescape.
    return {f"{XATTR}{name}": _xattr(full, name).decode("utf-8", "surrogateescape") for name in sorted(names)}


def apply_layer(blob: Path, media_type: str, directory: Path, *, diff_id: str, most_bytes: int = MOST_BYTES) -> None:
    """Unpack a layer into the empty folder ``directory`` as overlayfs wants it.

    Nothing is written outside ``directory``, whatever the layer says. Raises StoreError: ``bad-layer``,
    ``digest-mismatch`` (what was unpacked is then the caller's to remove).
    """
    with blob.open("rb") as raw:
        stream = Bounded(by_media_type(raw, media_type), most_bytes)
        buffered = io.BufferedReader(stream, 1 << 20)
        times: list[tuple[str, int]] = []
        size = 0
        try:
            with tarfile.open(fileobj=buffered, mode="r|") as tar:
                for count, entry in enumerate(tar):
                    # The holes of a sparse file are not in the stream.
                    size += entry.size
                    if count >= MOST_ENTRIES or size > most_bytes:
                        raise _bad(f"it has more than {MOST_ENTRIES} entries or {most_bytes} bytes")
                    _unpack(tar, entry, os.fspath(directory), times)
            while buffered.read(1 << 20):
                pass
        except (tarfile.TarError, BadStream, ValueError, OverflowError) as error:
            raise _bad(str(error)) from error
    _check_digest(stream, diff_id)
    for path, mtime in reversed(times):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (mtime, mtime), follow_symlinks=False)


def plain_pieces(blob: Path, media_type: str, diff_id: str) -> Iterator[bytes]:
    """A layer's tar before compression, piece by piece.

    Raises StoreError: ``bad-layer``; ``digest-mismatch`` at the end, if it was not the one of ``diff_id``.
    """
    with blob.open("rb") as raw:
        stream = Bounded(by_media_type(raw, media_type), MOST_BYTES)
        try:
            while data := stream.read(1 << 20):
                yield data
        except BadStream as error:
            raise _bad(str(error)) from error
    _check_digest(stream, diff_id)


def _check_digest(stream: Bounded, diff_id: str) -> None:
    found = "sha256:" + stream.hash.hexdigest()
    if found != diff_id:
        raise StoreError(
            f"a layer unpacks to {found}, its image says {diff_id}",
            remedy="make or fetch the image again",
            reason="digest-mismatch",
        )


def _bad(why: str) -> StoreError:
    return StoreError(f"a layer cannot be unpacked: {why}", remedy="make or fetch the image again", reason="bad-layer")


def _place(root: str, name: str) -> tuple[str, str]:
    """The folder and the last part of an entry's name. No part of it is a link or leads up: StoreError else."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or any(len(os.fsencode(part)) > 255 for part in parts):
        raise _bad(f"it names {name[:100]!r}")
    here = root
    for part in parts[:-1]:
        here = f"{here}/{part}"
        try:
            mode = os.lstat(here).st_mode
        except FileNotFoundError:
            os.mkdir(here, 0o755)
            continue
        if not stat.S_ISDIR(mode):
            raise _bad(f"{name[:100]!r} leads through something that is no folder")
    return here, parts[-1] if parts else ""


def _unpack(tar: tarfile.TarFile, entry: tarfile.TarInfo, root: str, times: list[tuple[str, int]]) -> None:
    folder, last = _place(root, entry.name)
    if last == _OPAQUE_ENTRY:
        os.setxattr(folder, OPAQUE, b"y")
        return
    if last.startswith(_WHITEOUT):
        if len(last) == len(_WHITEOUT) or last in (".wh...", ".wh.."):
            raise _bad(f"it names {entry.name[:100]!r}")
        full = f"{folder}/{last.removeprefix(_WHITEOUT)}"
        _clear(full, keep_folder=False)
        os.mknod(full, stat.S_IFCHR | 0o600, 0)
        return
    full = f"{folder}/{last}" if last else root
    if last:
        _clear(full, keep_folder=entry.isdir())
    _create(tar, entry, root, full)
    if entry.islnk():
        return
    os.chown(full, entry.uid, entry.gid, follow_symlinks=False)
    if not entry.issym():
        os.chmod(full, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            name = key.removeprefix(XATTR)
            if name != key and not name.startswith(("user.overlay.", "trusted.")):
                os.setxattr(full, name, value.encode("utf-8", "surrogateescape"))
    times.append((full, max(-LATEST, min(int(entry.mtime), LATEST))))


def _clear(full: str, *, keep_folder: bool) -> None:
    """Remove what an earlier entry of the same name made."""
    try:
        mode = os.lstat(full).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        if keep_folder:
            return
        try:
            os.rmdir(full)
        except OSError:
            raise _bad("an entry takes the place of a folder that is not empty") from None
    else:
        os.unlink(full)


def _create(tar: tarfile.TarFile, entry: tarfile.TarInfo, root: str, full: str) -> None:
    if entry.isdir():
        if not os.path.isdir(full):
            os.mkdir(full)
    elif entry.issym():
        os.symlink(entry.linkname, full)
    elif entry.islnk():
        folder, last = _place(root, entry.linkname)
        source = f"{folder}/{last}"
        if not os.path.lexists(source) or os.path.isdir(source) or os.path.islink(source):
            raise _bad(f"{entry.name[:100]!r} is a link to what the layer does not have")
        os.link(source, full, follow_symlinks=False)
    elif entry.isreg():
        write_content(tar, entry, full)
    elif entry.isfifo():
        os.mkfifo(full)
    elif entry.ischr() or entry.isblk():
        if not make_device(entry, full):
            raise _bad(f"it holds the device {entry.name[:100]!r}, which only real root can make")
    else:
        raise _bad(f"{entry.name[:100]!r} is of a type that is not known")
