"""Layers: the same tree gives the same bytes, and no layer writes outside its folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from xxpy.build.layers import OPAQUE, apply_layer, write_layer
from xxpy.build.outputs import GZIP
from xxpy.build.packers import LAYER_TYPES
from xxpy.build.store import Store
from xxpy.errors import StoreError

LAYER_TYPE = LAYER_TYPES[GZIP]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def tree(root: Path) -> Path:
    root.mkdir()
    (root / "dir").mkdir(mode=0o750)
    (root / "dir" / ("long" * 40)).write_text("content")
    (root / "dir/link").symlink_to("/else/where")
    (root / "a").write_text("a")
    os.link(root / "a", root / "b")
    (root / "set").write_text("x")
    (root / "set").chmod(0o4755)
    os.mkfifo(root / "fifo")
    os.setxattr(root / "a", "user.mark", b"\x00\xffv")
    (root / "opaque").mkdir()
    os.setxattr(root / "opaque", OPAQUE, b"y")
    for path in sorted(root.rglob("*")):
        os.utime(path, (1600000000, 1600000000), follow_symlinks=False)
    return root


def test_the_same_tree_gives_the_same_layer(tmp_path: Path, store: Store) -> None:
    one = write_layer(tree(tmp_path / "one"), store)
    two = write_layer(tree(tmp_path / "two"), store)
    assert one == two and one.descriptor.media_type == LAYER_TYPE
    data = gzip.decompress(store.blob(one.descriptor.digest).read_bytes())
    assert one.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()


def test_times_are_cut_at_the_epoch(tmp_path: Path, store: Store) -> None:
    layer = write_layer(tree(tmp_path / "one"), store, 1500000000)
    with tarfile.open(store.blob(layer.descriptor.digest)) as tar:
        assert {entry.mtime for entry in tar if not entry.name.endswith(".wh..wh..opq")} == {1500000000}


def test_there_and_back(tmp_path: Path, store: Store) -> None:
    layer = write_layer(tree(tmp_path / "one"), store)
    back = tmp_path / "back"
    back.mkdir()
    apply_layer(store.blob(layer.descriptor.digest), LAYER_TYPE, back, diff_id=layer.diff_id)
    assert (back / "dir" / ("long" * 40)).read_text() == "content"
    assert os.readlink(back / "dir/link") == "/else/where"
    assert (back / "a").stat().st_ino == (back / "b").stat().st_ino
    assert stat.S_IMODE((back / "set").stat().st_mode) == 0o4755 and stat.S_ISFIFO((back / "fifo").stat().st_mode)
    assert os.getxattr(back / "a", "user.mark") == b"\x00\xffv" and os.getxattr(back / "opaque", OPAQUE) == b"y"
    assert int((back / "dir").stat().st_mtime) == 1600000000
    assert write_layer(back, store) == layer


def blob(tmp_path: Path, fill: Callable[[tarfile.TarFile], None]) -> tuple[Path, str]:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        fill(tar)
    path = tmp_path / "layer.tar"
    path.write_bytes(raw.getvalue())
    return path, "sha256:" + hashlib.sha256(raw.getvalue()).hexdigest()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"", **more: int
) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(data)
        info.uid, info.gid = os.geteuid(), os.getegid()
        for field, value in more.items():
            setattr(info, field, value)
        if "devmajor" in more:
            tar.format = tarfile.GNU_FORMAT  # pax has no record for it
        tar.addfile(info, io.BytesIO(data))

    return add


HOSTILE = {
    "up": [entry("../out", data=b"x")],
    "up-inside": [entry("a/../../out", data=b"x")],
    "through-a-link": [entry("l", tarfile.SYMTYPE, ".."), entry("l/out", data=b"x")],
    "through-an-absolute-link": [entry("l", tarfile.SYMTYPE, "/tmp"), entry("l/out", data=b"x")],
    "hard-link-out": [entry("h", tarfile.LNKTYPE, "../secret")],
    "hard-link-to-link": [entry("l", tarfile.SYMTYPE, "../secret"), entry("h", tarfile.LNKTYPE, "l")],
    "over-a-folder": [entry("d/x", data=b"1"), entry("d", data=b"2")],
    "whiteout-of-nothing": [entry(".wh.", data=b"")],
    "whiteout-of-up": [entry(".wh...", data=b"")],
    "long-name": [entry("n" * 300, data=b"x")],
    "unknown-type": [entry("x", b"Z")],
    "owner-of-no-such-number": [entry("x", uid=1 << 70)],
    "device-of-no-such-number": [entry("x", tarfile.CHRTYPE, devmajor=1 << 52)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_layer_is_refused_and_writes_nothing_outside(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    def fill(tar: tarfile.TarFile) -> None:
        for add in HOSTILE[name]:
            add(tar)

    path, diff_id = blob(tmp_path, fill)
    target = tmp_path / "target"
    target.mkdir()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(StoreError) as caught:
        apply_layer(path, "tar", target, diff_id=diff_id)
    assert caught.value.reason == "bad-layer"
    assert sorted(os.listdir(tmp_path)) == before and not Path("/tmp/out").exists()


def test_an_absolute_name_stays_inside(tmp_path: Path) -> None:
    path, diff_id = blob(tmp_path, entry("/etc/x", data=b"1"))
    (tmp_path / "t").mkdir()
    apply_layer(path, "tar", tmp_path / "t", diff_id=diff_id)
    assert (tmp_path / "t/etc/x").read_bytes() == b"1"


@pytest.mark.parametrize("mtime", [1 << 80, -(1 << 80)])
def test_a_time_that_no_file_can_have_is_brought_near(mtime: int, tmp_path: Path) -> None:
    path, diff_id = blob(tmp_path, entry("x", data=b"1", mtime=mtime))
    (tmp_path / "t").mkdir()
    apply_layer(path, "tar", tmp_path / "t", diff_id=diff_id)
    found = (tmp_path / "t/x").stat().st_mtime
    assert found >= (1 << 31) - 1 if mtime > 0 else found < 0


def test_bounds_and_digests(tmp_path: Path) -> None:
    path, diff_id = blob(tmp_path, entry("x", data=b"1" * 10000))
    for number, (wanted, most, reason) in enumerate(
        [(diff_id, 5000, "bad-layer"), ("sha256:" + "0" * 64, 1 << 30, "digest-mismatch")]
    ):
        target = tmp_path / str(number)
        target.mkdir()
        with pytest.raises(StoreError) as caught:
            apply_layer(path, "tar", target, diff_id=wanted, most_bytes=most)
        assert caught.value.reason == reason


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compressed_layers_whole_and_cut(kind: str, tmp_path: Path) -> None:
    path, diff_id = blob(tmp_path, entry("x", data=os.urandom(100000)))
    raw = path.read_bytes()
    packed = gzip.compress(raw) if kind == "gzip" else zstandard.ZstdCompressor().compress(raw)
    media_type = f"application/vnd.oci.image.layer.v1.tar+{kind}"
    for data, whole in ((packed, True), (packed[: len(packed) // 2], False), (b"\x00" * 100, False)):
        path.write_bytes(data)
        target = tmp_path / str(len(data))
        target.mkdir()
        if whole:
            apply_layer(path, media_type, target, diff_id=diff_id)
            assert (target / "x").stat().st_size == 100000
            continue
        with pytest.raises(StoreError):
            apply_layer(path, media_type, target, diff_id=diff_id)
