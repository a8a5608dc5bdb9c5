"""xx-clang: the command line for each target, and the aliases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.cc import clang
from xxpy.errors import HostError, UsageError
from xxpy.info.osrelease import OsRelease
from xxpy.info.target import Target

ROOT = Path(__file__).parents[2]
DEBIAN = OsRelease("debian", "13", (), "trixie")


def target(platform: str) -> Target:
    return Target.from_env({"TARGETPLATFORM": platform}, DEBIAN, "x86_64")


TRIPLES = {
    "linux/amd64": "x86_64-linux-gnu",
    "linux/arm64": "aarch64-linux-gnu",
    "linux/arm/v7": "armv7-linux-gnueabihf",
    "linux/arm/v6": "armv6-linux-gnueabi",
    "linux/arm/v5": "armv5-linux-gnueabi",
    "linux/386": "i686-linux-gnu",
    "linux/riscv64": "riscv64-linux-gnu",
    "linux/ppc64le": "powerpc64le-linux-gnu",
    "linux/s390x": "s390x-linux-gnu",
    "linux/mips64le": "mips64el-linux-gnuabi64",
}


@pytest.mark.parametrize("platform", TRIPLES)
def test_clangs_triple(platform: str) -> None:
    assert clang.clang_triple(target(platform)) == TRIPLES[platform]


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, text: str = 'echo "$0 $*"') -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def flags(*args: str, env: dict[str, str] | None = None, platform: str = "linux/arm64") -> list[str]:
    return clang.command_line(list(args), target(platform), env or {}, cxx=False)[1:]


def test_the_linker_is_named_only_where_one_runs(bin_folder: Path) -> None:
    program(bin_folder, "clang")
    program(bin_folder, "ld.lld")
    start = "--target=aarch64-linux-gnu"
    assert flags("x.c") == [start, "-fuse-ld=lld", "x.c"]
    assert flags("-shared", "x.o", "-o", "x.so")[:2] == [start, "-fuse-ld=lld"]
    for args in (
        ["-c", "x.c"],
        ["-S", "x.c"],
        ["-E", "-"],
        ["--version"],
        ["-print-target-triple"],
        ["-MM", "x.c"],
        [],
    ):
        assert flags(*args) == [start, *args]
    assert flags("-fuse-ld=mold", "x.c") == [start, "-fuse-ld=mold", "x.c"]


def test_which_linker(bin_folder: Path) -> None:
    program(bin_folder, "clang")
    with pytest.raises(HostError) as caught:
        flags("x.c")
    assert caught.value.reason == "no-linker"
    gnu = program(bin_folder, "aarch64-linux-gnu-ld")
    assert f"--ld-path={gnu}" in flags("x.c")
    program(bin_folder, "ld.lld")
    assert "-fuse-ld=lld" in flags("x.c")
    assert f"--ld-path={gnu}" in flags("x.c", env={"XX_CC_PREFER_LINKER": "ld"})
    with pytest.raises(UsageError) as wrong:
        flags("x.c", env={"XX_CC_PREFER_LINKER": "gold"})
    assert wrong.value.reason == "linker-unknown"


def test_which_clang(bin_folder: Path) -> None:
    with pytest.raises(HostError) as caught:
        clang.find_clang(cxx=True)
    assert caught.value.reason == "no-clang"
    for name in ("clang-9", "clang-19", "clang-14", "clang++-14", "clang-format-20"):
        program(bin_folder, name)
    assert clang.find_clang(cxx=False).endswith("/clang-19") and clang.find_clang(cxx=True).endswith("/clang++-14")
    program(bin_folder, "clang")
    assert clang.find_clang(cxx=False).endswith("/clang")


def wrapper(folder: Path, name: str) -> None:
    code = "import sys; sys.argv[0] = sys.argv.pop(1); from xxpy.cli.xx_cc import main; sys.exit(main())"
    program(folder, name, f'PYTHONPATH={ROOT} exec {sys.executable} -c \'{code}\' "$0" "$@"')


def run(folder: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "TARGETPLATFORM": "linux/arm64", "XX_VENDOR": "debian", **env}
    return subprocess.run(
        [str(folder / argv[0]), *argv[1:]], env=environment, capture_output=True, text=True, check=False
    )


def test_aliases_name_their_target_whatever_the_environment_says(bin_folder: Path) -> None:
    for name in ("clang", "clang++", "ld.lld"):
        program(bin_folder, name, 'echo "$(basename "$0") $*"')
    for name in ("xx-clang", "xx-clang++"):
        wrapper(bin_folder, name)
    done = run(bin_folder, "xx-clang", "--setup-target-triple", TARGETPLATFORM="linux/arm/v7")
    assert done.returncode == 0, done
    names = sorted(name for name in os.listdir(bin_folder) if name.startswith("arm"))
    assert names == [
        "arm-linux-gnueabihf-clang", "arm-linux-gnueabihf-clang++", "armv7-linux-gnueabihf-clang",
        "armv7-linux-gnueabihf-clang++",
    ]  # fmt: skip
    for name in names:
        done = run(bin_folder, name, "-c", "x.c")
        assert done.stdout == f"{'clang++' if name.endswith('++') else 'clang'} --target=armv7-linux-gnueabihf -c x.c\n"
    assert run(bin_folder, "xx-clang", "--print-target-triple").stdout == "aarch64-linux-gnu\n"


def test_errors_are_two_lines_and_the_exit_code_is_clangs(bin_folder: Path) -> None:
    wrapper(bin_folder, "xx-cc")
    wrapper(bin_folder, "nonsense-linux-gnu-clang")
    for argv in (["xx-cc", "x.c"], ["nonsense-linux-gnu-clang", "x.c"]):
        done = run(bin_folder, *argv, PATH=f"{bin_folder}:/nowhere")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 2, done
    program(bin_folder, "clang", "exit 33")
    assert run(bin_folder, "xx-cc", "-c", "x.c").returncode == 33
    assert "--setup-target-triple" in run(bin_folder, "xx-cc", "--help").stdout
