"""Which recipe a name means, and busybox' applets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xxpy.build import busybox
from xxpy.build.base import recipe_for
from xxpy.errors import SourceError, UsageError


def test_recipes(tmp_path: Path) -> None:
    found = recipe_for("debian:trixie", root=str(tmp_path))
    assert (found.name, found.kind, found.suite) == ("docker.io/library/debian:trixie", "debian", "trixie")
    assert recipe_for("debian:bookworm-slim").suite == "bookworm"
    assert recipe_for("ubuntu:noble", "http://mirror.test").mirror == "http://mirror.test"
    assert recipe_for("busybox", root=str(tmp_path)).suite == "trixie"
    (tmp_path / "etc").mkdir()
    for text, suite in (
        ("ID=ubuntu\nVERSION_CODENAME=noble", "trixie"),
        ("ID=debian\nVERSION_CODENAME=forky", "forky"),
    ):
        (tmp_path / "etc/os-release").write_text(text + "\n")
        assert recipe_for("busybox", root=str(tmp_path)).suite == suite
    assert recipe_for("busybox:sid", root=str(tmp_path)).suite == "sid"


@pytest.mark.parametrize("name", ["alpine:3", "debian", "debian:--evil", "debian:12.5", "team/debian:trixie", "BAD"])
def test_what_cannot_be_made(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe_for(name)
    assert caught.value.reason in ("base-unknown", "bad-reference")


def test_busybox(tmp_path: Path) -> None:
    names = ["[", "[[", *sorted(["sh", "ls", "env", *(f"applet{number}" for number in range(60))])]
    program = b"\x7fELF junk\0more" + b"\0" + b"\0".join(name.encode() for name in names) + b"\0\0rest"
    assert busybox.applets(program) == names
    # What stands before the table is anything, also what looks like its beginning.
    assert busybox.applets(b"[\0[[\0x\0\0 " + program.replace(b"more\0", b"more ")) == names
    busybox.make_tree(program, tmp_path)
    assert (tmp_path / "bin/busybox").read_bytes() == program and os.readlink(tmp_path / "bin/sh") == "busybox"
    assert (tmp_path / "tmp").stat().st_mode & 0o7777 == 0o1777
    for broken in (b"", b"\0[\0[[\0sh\0\0", b"no table", b"\0[\0[[\0" + b"../x\0" * 100):
        with pytest.raises(SourceError):
            busybox.applets(broken)
