"""xx-apt: cross packages, versions that differ, lists that lag behind, Ubuntu's two archives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from xxpy.errors import HostError
from xxpy.pkg import apt, crossnames, lists, skew, sources
from xxpy.platforms import Platform

KNOWN = {
    "gcc-aarch64-linux-gnu", "binutils-aarch64-linux-gnu", "libc6-dev-arm64-cross", "gcc-mingw-w64-x86-64",
    "g++-mingw-w64-x86-64", "g++-aarch64-linux-gnu",
}  # fmt: skip


def policy(argv: Sequence[str]) -> str:
    """What apt-cache policy prints: a block for each name that it has heard of."""
    assert argv[:2] == ["apt-cache", "policy"]
    blocks = []
    for name in argv[2:]:
        if name in KNOWN:
            blocks.append(
                f"{name}:\n  Installed: (none)\n  Candidate: 4:14.2.0-1\n  Version table:\n     4:14.2.0-1 500\n"
            )
        elif "virtual" in name:
            blocks.append(f"{name}:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n")
    return "".join(blocks)


def expand(*args: str, prefer: bool = False) -> list[str]:
    def cross(words: Sequence[str]) -> dict[str, str]:
        return crossnames.cross_names(words, crossnames.suffix_of("aarch64-linux-gnu"), "arm64", prefer, policy)

    return apt.expand(args, "arm64", False, policy, cross)


def test_compilers_become_the_ones_that_make_code_for_the_target() -> None:
    assert expand("install", "gcc", "g++", "binutils", "libc6-dev") == [
        "install", "gcc-aarch64-linux-gnu", "g++-aarch64-linux-gnu", "binutils-aarch64-linux-gnu", "libc6-dev:arm64",
    ]  # fmt: skip
    assert expand("install", "libc6-dev", prefer=True) == ["install", "libc6-dev-arm64-cross"]
    assert expand("install", "gcc=4:14.2.0-1", "gcc:amd64", "virtual") == [
        "install", "gcc-aarch64-linux-gnu=4:14.2.0-1", "gcc:amd64", "virtual:arm64",
    ]  # fmt: skip
    assert expand("remove", "gcc") == ["remove", "gcc-aarch64-linux-gnu"]
    assert expand("search", "gcc") == ["search", "gcc"]
    assert crossnames.suffix_of("x86_64-linux-gnu") == "x86-64-linux-gnu"


def test_windows_packages() -> None:
    windows = Platform.parse("windows/amd64")
    assert crossnames.windows_names(["xx-c-essentials", "libfoo-dev"], windows, policy) == (
        ["gcc-mingw-w64-x86-64"],
        ["libfoo-dev"],
    )
    both = crossnames.windows_names(["xx-c-essentials", "xx-cxx-essentials"], windows, policy)
    assert both == (["gcc-mingw-w64-x86-64", "g++-mingw-w64-x86-64"], [])
    assert crossnames.windows_names(["gcc"], Platform.parse("windows/arm64"), policy) == ([], ["gcc"])


POLICY = """\
libc6:
  Installed: 2.41-12
  Candidate: 2.41-12
  Version table:
     2.41-12 500
        500 http://archive/ trixie-updates/main amd64 Packages
 *** 2.41-11 100
        100 /var/lib/dpkg/status
libc6:arm64:
  Installed: (none)
  Candidate: 2.41-11
  Version table:
     2.41-11 500
        500 http://archive/ trixie/main arm64 Packages
zlib1g:
  Installed: 1.3
  Candidate: 1.3
zlib1g:arm64:
  Installed: (none)
  Candidate: 1.2
unrelated:
  Candidate: 1
"""


def test_a_version_skew_is_named_with_what_mends_it() -> None:
    def ask(argv: Sequence[str]) -> str:
        if argv[0] == "dpkg-query":
            return "libc6 same\nzlib1g same\nbash foreign\nunrelated same\n"
        return POLICY if argv[1] == "policy" else "libpng-dev:arm64\n  Depends: libc6\nlibc6:arm64\nzlib1g:arm64\n"

    found = skew.find_skews(["libpng-dev:arm64"], "arm64", ask)
    assert [(each.name, each.native, each.target, each.offered) for each in found] == [
        ("libc6", "2.41-12", "2.41-11", True), ("zlib1g", "1.3", "1.2", False),
    ]  # fmt: skip
    lines = skew.worded(found, "arm64")
    assert lines[0] == "libc6 is 2.41-12 here and 2.41-11 for arm64, and must be the same in both"
    assert lines[2].startswith("RUN apt-get install -y --allow-downgrades libc6=2.41-11,")
    assert "another mirror" in lines[3]


UPDATE = """\
Get:5 http://archive/debian trixie/main s390x Packages [9 MB]
Err:5 http://archive/debian trixie/main s390x Packages
  File has unexpected size (9 != 8). Mirror sync in progress?
Reading package lists...
E: Failed to fetch http://archive/debian/dists/trixie/main/binary-s390x/Packages.xz  File has unexpected size (9 != 8)
E: Failed to fetch http://archive/debian/dists/trixie/InRelease  Temporary failure resolving 'archive'
E: Some index files failed to download. They have been ignored, or old ones used instead.
"""


def test_indexes_that_lag_behind_are_told_apart_from_other_failures() -> None:
    assert lists.behind(UPDATE, "s390x") == ["http://archive/debian/dists/trixie/main/binary-s390x/Packages.xz"]
    assert lists.behind(UPDATE, "arm64") == []


def test_only_what_is_needed_is_fetched() -> None:
    assert lists.update_command("amd64", "amd64", have_native=False) == ["apt-get", "update", "-q"]
    command = lists.update_command("arm64", "amd64", have_native=True)
    assert {"APT::Architectures::=amd64", "APT::Architectures::=arm64", "Acquire::Languages=none"} <= set(command)
    assert "Acquire::Languages=none" not in lists.update_command("arm64", "amd64", have_native=False)


UBUNTU = "http://archive.ubuntu" + ".com/ubuntu"
PORTS = "http://ports.ubuntu" + ".com/ubuntu-ports/"
ONE_LINE = f"""\
# main
deb {UBUNTU} noble main universe
deb [signed-by=/k.gpg] {UBUNTU} noble-updates main
deb-src {UBUNTU} noble main
deb [arch=amd64] http://other/ x y
"""
DEB822 = f"""\
# comment
Types: deb deb-src
URIs: {UBUNTU}
Suites: noble noble-updates
Components: main
Signed-By: /k.gpg

Types: deb
Architectures: amd64
URIs: http://other/
Suites: x
"""


def test_ubuntus_two_archives_in_one_line_files() -> None:
    kept, added = sources.split_archives(ONE_LINE, False, "amd64", "arm64", "")
    assert added.splitlines() == [
        f"deb [arch=arm64] {PORTS} noble main universe",
        f"deb [signed-by=/k.gpg arch=arm64] {PORTS} noble-updates main",
    ]
    assert f"deb [arch=amd64,i386] {UBUNTU} noble main universe" in kept
    assert "deb [arch=amd64] http://other/ x y" in kept and kept.startswith("# main\n")


def test_ubuntus_two_archives_in_deb822_files() -> None:
    kept, added = sources.split_archives(DEB822, True, "amd64", "arm64", "")
    assert f"URIs: {PORTS}\n" in added and "Types: deb\n" in added and added.count("Architectures: arm64") == 1
    assert "Architectures: amd64 i386" in kept and kept.count("Architectures") == 2


def test_from_ports_to_the_main_archive_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "etc/apt/sources.list.d"
    folder.mkdir(parents=True)
    (folder / "ubuntu.sources").write_text(DEB822.replace(UBUNTU, PORTS))
    assert sources.main_file(str(tmp_path)) == "/etc/apt/sources.list.d/ubuntu.sources"
    assert sources.serve_both("arm64", "armhf", "", str(tmp_path)) == []
    changed = sources.serve_both("arm64", "amd64", "", str(tmp_path))
    assert changed == ["/etc/apt/sources.list.d/xx-amd64-ubuntu.sources", "/etc/apt/sources.list.d/ubuntu.sources"]
    assert f"URIs: {UBUNTU}/\n" in (folder / "xx-amd64-ubuntu.sources").read_text()
    assert sources.serve_both("arm64", "amd64", "", str(tmp_path)) == []


def test_a_private_mirror_needs_to_be_told_the_other_one() -> None:
    text = "deb http://mirror.test/ubuntu noble main\n"
    with pytest.raises(HostError) as caught:
        sources.split_archives(text, False, "amd64", "arm64", "")
    assert caught.value.reason == "no-ports" and "XX_APT_PORTS_MIRROR" in caught.value.remedy
    _, added = sources.split_archives(text, False, "amd64", "arm64", "http://mirror.test/ports")
    assert added == "deb [arch=arm64] http://mirror.test/ports noble main\n"
