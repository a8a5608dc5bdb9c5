"""Archives as they are written: what tarfile and GNU tar read out of them is what was put in."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xxpy.build.tarwriter import TarWriter, header

KINDS = (
    tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
    tarfile.BLKTYPE,
)  # fmt: skip
# What a plain header holds, and a little more.
NAMES = st.text(st.sampled_from("aé/\udcff."), min_size=1, max_size=120).filter(lambda name: name.strip("/"))
NUMBERS = st.one_of(st.integers(0, 2000), st.integers(8**7 - 2, 8**7 + 2), st.integers(0, 2**32 - 2))
TIMES = st.one_of(st.integers(-5, 2**31), st.integers(8**11 - 2, 8**11 + 2), st.sampled_from([1.5, 0.0]))


@settings(max_examples=500)
@given(NAMES, NAMES, st.sampled_from(KINDS), st.integers(0, 0o7777), NUMBERS, NUMBERS, TIMES,
       st.sampled_from([0, 511, 8**11 - 1, 8**11, 8**12]), st.booleans())  # fmt: skip
def test_a_header_says_what_the_entry_does(
    name: str, link: str, kind: bytes, mode: int, uid: int, gid: int, mtime: float, size: int, marked: bool
) -> None:
    entry = tarfile.TarInfo(name.strip("/"))
    entry.type, entry.mode, entry.uid, entry.gid, entry.mtime = kind, mode, uid, gid, mtime
    entry.linkname = link if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    entry.size = size if kind == tarfile.REGTYPE else 0
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        entry.devmajor, entry.devminor = 8, 1
    if marked:
        entry.pax_headers = {"SCHILY.xattr.user.mark": "value"}
    data = header(entry)
    assert len(data) % tarfile.BLOCKSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(data + bytes(1024)), mode="r|", errors="surrogateescape") as tar:
        read = tar.next()
    assert read is not None
    for attribute in ("name", "linkname", "type", "mode", "uid", "gid", "mtime", "size", "devmajor", "devminor"):
        assert getattr(read, attribute) == getattr(entry, attribute), attribute
    assert ("SCHILY.xattr.user.mark" in read.pax_headers) == marked


def test_an_archive_is_padded_and_ended(tmp_path: Path) -> None:
    out = io.BytesIO()
    tar = TarWriter(out)
    for name, content in (("a", b"x" * 513), ("b", b""), ("c/\udcff" + "n" * 200, b"y" * 512)):
        made = tarfile.TarInfo(name)
        made.size = len(content)
        tar.entry(made)
        if content:
            tar.content(content[:100])
            tar.content(content[100:])
    tar.end()
    assert len(out.getvalue()) % tarfile.BLOCKSIZE == 0 and out.getvalue().endswith(bytes(1024))
    out.seek(0)
    with tarfile.open(fileobj=out) as read:
        assert [(one.name[:3], one.size) for one in read] == [("a", 513), ("b", 0), ("c/\udcff", 512)]
        last = read.extractfile(read.getmembers()[2])
        assert last is not None and last.read() == b"y" * 512


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_gnu_tar_checks_the_sum_of_a_plain_header(kind: bytes) -> None:
    entry = tarfile.TarInfo("name")
    entry.type, entry.linkname, entry.mtime = kind, "to" if kind == tarfile.SYMTYPE else "", 1
    done = subprocess.run(["tar", "-t"], input=header(entry) + bytes(1024), capture_output=True, check=True)
    assert done.stdout.strip(b"/\n") == b"name" and done.stderr == b""
