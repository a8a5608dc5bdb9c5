"""Which recipe a name means, and busybox' applets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xxpy.build import busybox
from xxpy.build.base import recipe_for
from xxpy.build.bootstrap import bootstrap_error
from xxpy.errors import HostError, SourceError, StoreError, UsageError, XxError
from xxpy.platforms import Platform


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


APT = "I: running apt-get update...\n"


@pytest.mark.parametrize(
    ("said", "kind", "reason", "words"),
    [
        ("Err:2 http://a.test/debian nope Release\n  404  Not Found [IP: 192.0.2.1 80]\n"
         "E: The repository 'http://a.test/debian nope Release' does not have a Release file.\n",
         UsageError, "suite-unknown", "http://a.test/debian has no release 'nope'"),
        ("Err:2 http://a.test/debian nope Release\n  503  Busy\n"
         "E: The repository 'http://a.test/debian nope Release' does not have a Release file.\n",
         HostError, "bootstrap-failed", "503"),
        ("E: apt-get update did not find any indices for architecture 'mips' in suite 'trixie'\n",
         UsageError, "platform-unserved", "for linux/mips"),
        ("E: Failed to fetch http://a.test/debian/dists/trixie/InRelease  Could not resolve 'a.test'\n",
         SourceError, "archive-unreachable", "http://a.test/debian cannot be reached: Could not resolve 'a.test'"),
        ("E: Failed to fetch http://a.test/debian/dists/trixie/InRelease  Could not connect to a.test:80\n",
         SourceError, "archive-unreachable", "Could not connect"),
        ("E: Failed to fetch http://a.test/debian/dists/trixie/InRelease  The following signatures were invalid\n",
         HostError, "bootstrap-failed", "signatures were invalid"),
        ("dpkg-deb: error: failed to write: No space left on device\nE: Sub-process returned an error code\n",
         StoreError, "disk-full", "no space left to make debian:x for linux/mips"),
        ("E: You don't have enough free space in /s/root/var/cache/apt/archives/.\n",
         StoreError, "disk-full", "no space left"),
        ("", HostError, "bootstrap-failed", "exit code 25"),
    ],
)  # fmt: skip
def test_what_a_failed_bootstrap_means(said: str, kind: type[XxError], reason: str, words: str) -> None:
    error = bootstrap_error(APT + said, "ended with exit code 25", "debian:x", Platform("linux", "mips"))
    assert type(error) is kind and error.reason == reason and words in error.message and error.remedy
    if kind is not HostError:
        assert "\n" not in error.message


def test_of_a_long_failure_the_end_is_shown() -> None:
    said = "".join(f"line {number}\n" for number in range(100))
    error = bootstrap_error(said, "ended with exit code 1", "debian:x", Platform("linux", "arm64"))
    assert "line 99" in error.message and "line 80\n" not in error.message


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
