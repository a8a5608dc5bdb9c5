"""Copying and unpacking as plain functions on folders: what needs no root."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from xxpy.build import compressed
from xxpy.build.compressed import BadStream, Bounded, by_magic
from xxpy.build.engine import unpack as module
from xxpy.build.engine.copy import Origin, StageTree
from xxpy.build.engine.files import apply
from xxpy.build.engine.unpack import is_archive, unpack
from xxpy.build.graph import CopyAction, MakeFileAction
from xxpy.errors import SourceError

ME = (os.getuid(), os.getgid())


def tar_of(*entries: tarfile.TarInfo, content: bytes = b"content") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry in entries:
            entry.size = len(content) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o755 if kind == tarfile.DIRTYPE else 0o644
    return made


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKERS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd}


@pytest.mark.parametrize("name", PACKERS)
def test_streams_whole_joined_cut_and_damaged(name: str) -> None:
    pack = PACKERS[name]
    data = os.urandom(300_000)
    assert Bounded(by_magic(io.BytesIO(pack(data)))).readall() == data
    if name == "plain":
        return
    assert Bounded(by_magic(io.BytesIO(pack(data) + pack(b"more")))).readall() == data + b"more"
    damaged = bytearray(pack(data))
    damaged[100_000:100_100] = b"\xff" * 100
    with pytest.raises(BadStream):
        Bounded(by_magic(io.BytesIO(bytes(damaged)))).readall()
    if name != "zstd":
        with pytest.raises(BadStream):
            Bounded(by_magic(io.BytesIO(pack(data)[:-20]))).readall()


@pytest.mark.parametrize("name", PACKERS)
def test_bombs_end(name: str) -> None:
    with pytest.raises(BadStream):
        Bounded(by_magic(io.BytesIO(PACKERS[name](bytes(1 << 20)))), limit=1 << 19).readall()


def test_an_xz_stream_may_not_ask_for_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_MOST_MEMORY", 1 << 20)
    with pytest.raises(BadStream):
        Bounded(by_magic(io.BytesIO(lzma.compress(bytes(1 << 20))))).readall()


def test_xz_padding_between_streams() -> None:
    data = lzma.compress(b"a") + bytes(8) + lzma.compress(b"b") + bytes(4)
    assert Bounded(by_magic(io.BytesIO(data))).readall() == b"ab"


def test_what_is_an_archive(tmp_path: Path) -> None:
    good = tar_of(entry("f"))
    for name, data in {"tar": good, "gz": gzip.compress(good), "xz": lzma.compress(good)}.items():
        (tmp_path / name).write_bytes(data)
        assert is_archive(str(tmp_path / name)), name
    for data in (b"", b"text", tar_of(), gzip.compress(b"x"), b"\x1f\x8b\x08broken", b"BZh9broken", bytes(2000)):
        (tmp_path / "no").write_bytes(data)
        assert not is_archive(str(tmp_path / "no")), data[:10]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/in").mkdir(parents=True)
    return tmp_path / "root"


def unpacked(root: Path, *entries: tarfile.TarInfo) -> list[str]:
    (root.parent / "a.tar").write_bytes(tar_of(*entries))
    said: list[str] = []
    unpack(str(root.parent / "a.tar"), root, str(root / "in"), ME, said.append)
    return said


HOSTILE = [
    [entry("../x")],
    [entry("a/../../x")],
    [entry("/../x")],
    [entry("x" * 300)],
    [entry("l", tarfile.LNKTYPE, "../../secret")],
    [entry("l", tarfile.LNKTYPE, "/nowhere")],
    [entry("s", tarfile.SYMTYPE, "../../../secret"), entry("l", tarfile.LNKTYPE, "s/x")],
    [entry("odd", b"Z")],
    [entry(".")],
]


@pytest.mark.parametrize("entries", HOSTILE)
def test_nothing_leads_out(root: Path, entries: list[tarfile.TarInfo]) -> None:
    (root.parent / "secret").write_text("secret")
    before = sorted(path.name for path in root.parent.iterdir())
    with pytest.raises(SourceError) as caught:
        unpacked(root, *entries)
    assert caught.value.reason in ("bad-archive", "too-many-links")
    assert sorted(path.name for path in root.parent.iterdir()) == sorted({*before, "a.tar"})


def test_links_are_followed_in_the_folder_only(root: Path) -> None:
    unpacked(
        root,
        entry("abs", tarfile.SYMTYPE, "/"), entry("abs/one"), entry("up", tarfile.SYMTYPE, "../../.."), entry("up/two"),
        entry("through", tarfile.SYMTYPE, "one"), entry("through"),
    )  # fmt: skip
    assert (root / "in/one").is_file() and (root / "in/two").is_file()
    assert not (root / "in/through").is_symlink() and (root / "in/through").read_text() == "content"
    assert sorted(path.name for path in root.iterdir()) == ["in"]


def test_a_sparse_file_cannot_fill_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)
    (root.parent / "big").touch()
    os.truncate(root.parent / "big", 1 << 30)
    archive = root.parent / "a.tar"
    subprocess.run(["tar", "-C", str(root.parent), "--sparse", "-cf", str(archive), "big"], check=True)
    assert archive.stat().st_size < 1 << 16
    with pytest.raises(SourceError):
        unpack(str(archive), root, str(root / "in"), ME, lambda text: None)


def test_too_many_entries(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    with pytest.raises(SourceError):
        unpacked(root, entry("a"), entry("b"), entry("c"))


def test_a_whiteout_of_overlayfs_is_not_made_of_a_device(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", refused)
    said = unpacked(root, entry("null", tarfile.CHRTYPE), entry("f"))
    assert len(said) == 1 and "null" in said[0] and (root / "in/f").exists()


def copied(source: Path, root: Path, action: CopyAction) -> None:
    apply([action], root, lambda _: Origin(StageTree(source), ME), lambda text: None)


def test_files_folders_and_links_in_the_way(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_text("new")
    (root / "elsewhere").mkdir()
    (root / "in/f").symlink_to("/elsewhere/kept")
    (root / "elsewhere/kept").write_text("kept")
    copied(source, root, CopyAction(1, ("d",), "/in"))
    assert not (root / "in/f").is_symlink() and (root / "elsewhere/kept").read_text() == "kept"
    (root / "in/d").symlink_to("/elsewhere")
    with pytest.raises(SourceError) as caught:
        copied(source, root, CopyAction(1, (".",), "/in"))
    assert caught.value.reason == "copy-onto-file" and "/in/d" in caught.value.message
    copied(source, root, CopyAction(1, ("d/f",), "/in/d/"))
    assert (root / "elsewhere/f").read_text() == "new"
    (root / "dir/f").mkdir(parents=True)
    with pytest.raises(SourceError) as caught:
        copied(source, root, CopyAction(1, ("d",), "/dir"))
    assert caught.value.reason == "copy-onto-folder"


def test_a_here_document_goes_into_a_folder_that_is_there(root: Path) -> None:
    def no_origin(index: int) -> Origin:
        raise AssertionError

    for dest in ("/in", "/new/file"):
        apply([MakeFileAction(dest, "text", "", 0o600, "E")], root, no_origin, lambda text: None)
    assert (root / "in/E").read_text() == (root / "new/file").read_text() == "text"


@pytest.mark.parametrize("time", ["nan", "inf", "-inf"])
def test_a_time_that_is_no_number_is_one_that_files_can_have(time: str, root: Path) -> None:
    odd = entry("f")
    odd.pax_headers = {"mtime": time}
    assert unpacked(root, odd) == []
    found = (root / "in/f").stat().st_mtime
    assert found >= (1 << 31) - 1 if time == "inf" else found == 0
