"""Files of an image as files of this machine, beside those of the user."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from xxpy.build.engine.rooted import remove_tree
from xxpy.build.treefolder import FolderSink, merged_folder
from xxpy.errors import UsageError


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.linkname, made.size, made.mtime = kind, mode, link, size, 1_000_000
    made.uid = made.gid = os.getuid()
    return made


def folder(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    return entry(name, tarfile.DIRTYPE, mode)


def fill(root: Path, *entries: tarfile.TarInfo) -> FolderSink:
    """Each file has its own name as content."""
    sink = FolderSink(root, owners=False)
    for one in entries:
        one.size = len(os.fsencode(one.name)) if one.isreg() else 0
        sink.entry(one)
        if one.size:
            sink.content(os.fsencode(one.name))
    sink.end()
    return sink


def test_kinds_modes_and_times(tmp_path: Path) -> None:
    marked = entry("d/marked")
    marked.pax_headers = {"SCHILY.xattr.user.word": "value", "SCHILY.xattr.nowhere.word": "x"}
    sink = fill(
        tmp_path, folder("d", 0o555), entry("d/f", mode=0o4755), entry("d/hard", tarfile.LNKTYPE, link="d/f"),
        entry("d/l", tarfile.SYMTYPE, link="/etc/passwd"), entry("d/p", tarfile.FIFOTYPE), marked,
        entry("d/\udcff"),
    )  # fmt: skip
    made = tmp_path / "d"
    assert stat.S_IMODE(made.stat().st_mode) == 0o555 and made.stat().st_mtime == 1_000_000
    assert stat.S_IMODE((made / "f").stat().st_mode) == 0o4755 and (made / "f").stat().st_nlink == 2
    assert os.readlink(made / "l") == "/etc/passwd" and (made / "l").lstat().st_mtime == 1_000_000
    assert (made / "p").is_fifo() and (made / "hard").read_text() == "d/f"
    assert os.getxattr(made / "marked", "user.word") == b"value"
    assert any("d/marked" in text for text in sink.notices())
    made.chmod(0o755)


def test_devices_that_cannot_be_made_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", forbidden)
    names = [f"n{number}" for number in range(5)]
    sink = fill(
        tmp_path, *(entry(name, tarfile.CHRTYPE) for name in names), entry("z", tarfile.LNKTYPE, link="n0"), entry("f")
    )
    assert os.listdir(tmp_path) == ["f"]
    assert sink.notices() == ["n0, n1, n2 and 3 more left out: only real root can make device nodes"]


def merge(dest: Path, *entries: tarfile.TarInfo) -> None:
    with merged_folder(str(dest)) as temporary:
        fill(temporary, *entries)


def test_a_new_folder(tmp_path: Path) -> None:
    merge(tmp_path / "a/b", entry("f"))
    assert (tmp_path / "a/b/f").read_text() == "f" and os.listdir(tmp_path / "a") == ["b"]
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o755


def test_what_is_there_stays_unless_the_result_has_it(tmp_path: Path) -> None:
    dest = tmp_path / "out"
    (dest / "d/mine").mkdir(parents=True)
    (dest / "d/mine/file").write_text("mine")
    (dest / "d/f").write_text("old")
    (dest / "empty").mkdir()
    for _ in range(2):
        merge(dest, folder("d", 0o555), entry("d/f"), folder("d/new", 0o555), entry("d/new/g"), entry("empty"))
        assert (dest / "d/f").read_text() == "d/f" and (dest / "d/mine/file").read_text() == "mine"
        assert (dest / "d/new/g").read_text() == "d/new/g" and (dest / "empty").is_file()
        assert stat.S_IMODE((dest / "d").stat().st_mode) == stat.S_IMODE((dest / "d/new").stat().st_mode) == 0o555
        assert (dest / "d").stat().st_mtime == 1_000_000 and sorted(os.listdir(dest)) == ["d", "empty"]
        (dest / "d").chmod(0o755)
        (dest / "d/new").chmod(0o755)


def test_links_in_the_destination_are_not_followed(tmp_path: Path) -> None:
    outside, dest = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    dest.mkdir()
    (dest / "d").symlink_to(outside)
    (dest / "f").symlink_to(outside / "f")
    merge(dest, folder("d"), entry("d/x"), entry("f"))
    assert os.listdir(outside) == []
    assert (dest / "d").is_dir() and not (dest / "d").is_symlink() and (dest / "f").read_text() == "f"


def test_a_link_to_the_destination_is(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    merge(tmp_path / "out", entry("f"))
    assert (tmp_path / "out").is_symlink() and (tmp_path / "real/f").exists()


def test_a_folder_with_files_is_not_replaced_and_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / "out/z").mkdir(parents=True)
    (tmp_path / "out/z/mine").touch()
    with pytest.raises(UsageError) as caught:
        merge(tmp_path / "out", entry("a"), entry("z"))
    assert caught.value.reason == "output-in-the-way"
    assert os.listdir(tmp_path / "out") == ["z"] and os.listdir(tmp_path) == ["out"]


def test_a_stopped_one_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for dest in (tmp_path / "there", tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt), merged_folder(str(dest)) as temporary:
            fill(temporary, folder("d", 0o500), entry("d/f"))
            raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["there"] and os.listdir(tmp_path / "there") == []


def test_merging_has_a_bottom(tmp_path: Path) -> None:
    names = ["/".join(["d"] * depth) for depth in range(1, 1500)]
    merge(tmp_path / "out", *map(folder, names))
    with pytest.raises(UsageError) as caught:
        merge(tmp_path / "out", *map(folder, names))
    assert caught.value.reason == "output-in-the-way" and os.listdir(tmp_path / "out") == ["d"]
    remove_tree(tmp_path / "out")
