"""xx-clang: the command line for each target, and the aliases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.cc import clang, describe, state
from xxpy.cc.find import find_clang, find_gcc, find_zig, llvm_version
from xxpy.cc.linker import Linker, find_linker
from xxpy.cc.toolchain import Toolchain, clang_triple, level_flags, multiarch, target_of_triple, zig_triple
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
    assert clang_triple(target(platform)) == TRIPLES[platform]


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
    return clang.command_line(list(args), target(platform), {"PATH": os.environ["PATH"], **(env or {})}, cxx=False)[1:]


def test_the_linker_is_named_only_where_one_runs(bin_folder: Path) -> None:
    program(bin_folder, "clang")
    program(bin_folder, "ld.lld")
    start = "--target=aarch64-linux-gnu"
    # Beside clang, where it looks by itself; a path would win over a -fuse-ld that follows.
    linker = ["-fuse-ld=lld"]
    assert flags("x.c") == [start, *linker, "x.c"]
    assert flags("-shared", "x.o", "-o", "x.so")[:2] == [start, *linker]
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
    # It says what it does, and does it; without a file there is nothing to do.
    assert flags("-v", "x.c") == [start, *linker, "-v", "x.c"] and flags("-v") == [start, "-v"]
    assert flags("-fuse-ld=mold", "x.c") == [start, "-fuse-ld=mold", "x.c"]


def test_a_linker_that_does_not_lie_beside_clang_is_given_by_its_path(bin_folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    program(bin_folder, "clang")
    lld = program(elsewhere, "ld.lld")
    path = f"{bin_folder}:{elsewhere}"
    assert flags("x.c", env={"PATH": path})[1:3] == ["-fuse-ld=lld", f"--ld-path={lld}"]


def linker(platform: str, **env: str) -> Linker:
    return find_linker(target(platform), {"PATH": os.environ["PATH"], **env}, "")


def test_which_linker(bin_folder: Path) -> None:
    program(bin_folder, "clang")
    with pytest.raises(HostError) as caught:
        flags("x.c")
    assert caught.value.reason == "no-linker"
    found = {"lld": program(bin_folder, "ld.lld", "echo LLD 19.1.7 for tests"), "mold": program(bin_folder, "mold")}
    found["ld"] = program(bin_folder, "aarch64-linux-gnu-ld")
    found["gold"] = program(bin_folder, "aarch64-linux-gnu-ld.gold")
    assert linker("linux/arm64").kind == "lld"
    for kind, path in found.items():
        assert linker("linux/arm64", XX_CC_PREFER_LINKER=kind) == Linker(kind, str(path))
    # One that is not here for the target gives way to one that is.
    assert linker("linux/ppc64le", XX_CC_PREFER_LINKER="gold").kind == "lld"
    assert linker("linux/mips64le", XX_CC_PREFER_LINKER="mold").kind == "lld"
    with pytest.raises(UsageError) as wrong:
        linker("linux/arm64", XX_CC_PREFER_LINKER="wild")
    assert wrong.value.reason == "choice-unknown"
    program(bin_folder, "powerpc64le-linux-gnu-ld")
    assert linker("linux/ppc64le", XX_CC_PREFER_STATIC_LINKER="1").kind == "ld"
    assert linker("linux/arm64", XX_CC_PREFER_STATIC_LINKER="1").kind == "lld"


@pytest.mark.parametrize(("arch", "version", "serves"), [
    ("s390x", 17, False), ("s390x", 18, True), ("riscv64", 14, False), ("riscv64", 15, True), ("loong64", 16, False),
    ("amd64", 9, True),
])  # fmt: skip
def test_architectures_that_an_old_lld_does_not_serve(bin_folder: Path, arch: str, version: int, serves: bool) -> None:
    program(bin_folder, "ld.lld", f"echo 'LLD {version}.0.6 (compatible with GNU linkers)'")
    if serves:
        assert linker(f"linux/{arch}").kind == "lld"
        return
    with pytest.raises(HostError) as caught:
        linker(f"linux/{arch}")
    assert caught.value.reason == "lld-too-old" and "binutils-" in caught.value.remedy
    gnu = program(bin_folder, f"{target(f'linux/{arch}').triple}-ld")
    assert linker(f"linux/{arch}") == Linker("ld", str(gnu))


def path_env(**env: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **env}


def test_which_clang(bin_folder: Path) -> None:
    with pytest.raises(HostError) as caught:
        find_clang(True, path_env())
    assert caught.value.reason == "no-clang"
    for name in ("clang-9", "clang-19", "clang-14", "clang++-14", "clang-format-20"):
        program(bin_folder, name)
    assert find_clang(False, path_env()).endswith("/clang-19") and find_clang(True, path_env()).endswith("/clang++-14")
    assert find_clang(False, path_env(XX_CLANG="clang-14")).endswith("/clang-14")
    assert find_clang(True, path_env(XX_CLANG="clang-14")).endswith("/clang++-14")
    with pytest.raises(HostError):
        find_clang(False, path_env(XX_CLANG="/none/clang"))
    program(bin_folder, "clang")
    assert find_clang(False, path_env()).endswith("/clang")
    # One that is a wrapper of ours is no clang.
    (bin_folder / "clang").unlink()
    program(bin_folder, "xx-clang")
    (bin_folder / "clang").symlink_to("xx-clang")
    assert find_clang(False, path_env()).endswith("/clang-19")


def test_versions_of_llvm(tmp_path: Path, bin_folder: Path) -> None:
    folder = tmp_path / "llvm-21/bin"
    folder.mkdir(parents=True)
    assert llvm_version(str(program(folder, "clang"))) == 21
    assert llvm_version(str(program(bin_folder, "clang", "echo Debian clang version 14.0.6"))) == 14
    assert llvm_version(str(program(bin_folder, "clang", "exit 1"))) == 0


def test_gcc_and_zig(bin_folder: Path) -> None:
    with pytest.raises(HostError) as caught:
        find_gcc("aarch64-linux-gnu", True, False, path_env())
    assert caught.value.reason == "no-gcc"
    gcc = program(bin_folder, "aarch64-linux-gnu-gcc")
    # C needs no g++.
    assert flags("-c", "x.c", env={"XX_CC_PREFER_COMPILER": "gcc"}) == ["-c", "x.c"]
    assert Toolchain(target("linux/arm64"), path_env(XX_CC_PREFER_COMPILER="gcc")).cc == [str(gcc)]
    with pytest.raises(HostError) as none:
        find_zig(path_env())
    assert none.value.reason == "no-zig"
    program(bin_folder, "zig")
    env = {"XX_CC_PREFER_COMPILER": "zig", "XX_CC_GLIBC": "2.31"}
    assert flags("x.c", env=env) == ["cc", "-target", "aarch64-linux-gnu.2.31", "x.c"]
    with pytest.raises(UsageError):
        flags("x.c", env={"XX_CC_PREFER_COMPILER": "tcc"})


@pytest.mark.parametrize(("platform", "triple"), [
    ("linux/amd64", "x86_64-linux-gnu"), ("linux/arm/v7", "arm-linux-gnueabihf"), ("linux/arm/v5", "arm-linux-gnueabi"),
    ("linux/386", "x86-linux-gnu"), ("linux/mips64le", "mips64el-linux-gnuabi64"), ("windows/386", "x86-windows-gnu"),
    ("linux/mips", "mips-linux-gnueabihf"), ("darwin/arm64", "aarch64-macos"), ("windows/arm64", "aarch64-windows-gnu"),
    ("linux/loong64", "loongarch64-linux-gnu"),
])  # fmt: skip
def test_zigs_triples(platform: str, triple: str) -> None:
    assert zig_triple(target(platform)) == triple


def test_levels_and_folders() -> None:
    assert level_flags(target("linux/amd64/v3")) == ["-march=x86-64-v3"] and level_flags(target("linux/amd64")) == []
    assert level_flags(target("linux/arm/v6")) == ["-march=armv6"]
    assert multiarch(target("linux/386")) == "i386-linux-gnu"
    assert multiarch(target("linux/mips64le")) == "mips64el-linux-gnuabi64"


def test_every_triple_is_known_again() -> None:
    current = target("linux/amd64")
    for platform in (*TRIPLES, "windows/amd64", "darwin/arm64", "linux/loong64"):
        plain = [] if platform == "linux/arm/v6" else [target(platform).triple]
        for triple in (*plain, clang_triple(target(platform))):
            found = target_of_triple(triple, {}, current)
            assert found is not None and clang_triple(found) == clang_triple(target(platform)), triple
    assert target_of_triple("sparc-linux-gnu", {}, current) is None


def test_the_files_for_build_systems(bin_folder: Path) -> None:
    for name in ("clang", "clang++", "ld.lld", "llvm-ar", "qemu-aarch64"):
        program(bin_folder, name)
    chain = Toolchain(target("linux/arm64"), path_env())
    names = describe.Names(
        "/b/aarch64-linux-gnu-clang", "/b/aarch64-linux-gnu-clang++", {"ar": "/b/ar", "pkg-config": "/b/pc"}
    )
    cmake = describe.cmake_toolchain(chain, names)
    assert 'set(CMAKE_SYSTEM_NAME "Linux")' in cmake and 'set(CMAKE_SYSTEM_PROCESSOR "aarch64")' in cmake
    assert 'set(CMAKE_AR "/b/ar")' in cmake and "CMAKE_SYSROOT" not in cmake
    assert f'set(CMAKE_CROSSCOMPILING_EMULATOR "{bin_folder}/qemu-aarch64")' in cmake
    assert "-DCMAKE_SYSTEM_NAME=Linux" in describe.cmake_defines(chain, names)
    meson = describe.meson_cross(chain, names)
    assert "cpu_family = 'aarch64'" in meson and "endian = 'little'" in meson and "pkg-config = '/b/pc'" in meson
    site = describe.config_site(chain, names)
    assert ": ${CC=/b/aarch64-linux-gnu-clang}\n" in site and ": ${ac_cv_func_malloc_0_nonnull=yes}\n" in site
    script = describe.pkg_config_script(chain, "pkg-config")
    assert "/usr/lib/aarch64-linux-gnu/pkgconfig:" in script and "SYSROOT" not in script
    native = describe.cmake_toolchain(Toolchain(target("linux/amd64"), path_env()), names)
    assert "CMAKE_SYSTEM_NAME" not in native and "EMULATOR" not in native


def wrapper(folder: Path, name: str) -> None:
    code = "import sys; sys.argv[0] = sys.argv.pop(1); from xxpy.cli.xx_cc import main; sys.exit(main())"
    program(folder, name, f'PYTHONPATH={ROOT} exec {sys.executable} -c \'{code}\' "$0" "$@"')


def run(folder: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin", "TARGETPLATFORM": "linux/arm64", "XX_VENDOR": "debian",
        "XX_STATE": str(folder / "state"), **env,
    }  # fmt: skip
    return subprocess.run(
        [str(folder / argv[0]), *argv[1:]], env=environment, capture_output=True, text=True, check=False
    )


CLANG = """\
case $* in *-print-target-triple) case $1 in --target=*) echo "${1#--target=}" ;; esac; exit ;; esac
echo "$(basename "$0") $*"
"""


@pytest.fixture
def stage(bin_folder: Path) -> Path:
    """A folder with programs of clang's names, and the wrappers."""
    for name in ("clang", "clang++"):
        program(bin_folder, name, CLANG)
    program(bin_folder, "ld.lld", "echo LLD 19.1.7")
    for name in ("xx-clang", "xx-clang++", "xx-cc"):
        wrapper(bin_folder, name)
    return bin_folder


def test_a_set_up_tells_the_launcher_which_alias_serves(stage: Path) -> None:
    told = stage / "state/aarch64-linux-gnu/alias"
    run(stage, "xx-clang", "--setup-target-triple")
    assert told.read_text() == f"{stage}/aarch64-linux-gnu-clang\nany\nlinux/arm64\n"
    # Where links depend on the folders of the moment, compiling alone may skip Python.
    program(stage, "aarch64-linux-gnu-ld")
    (stage / "ld.lld").unlink()
    run(stage, "xx-clang", "--setup-target-triple")
    assert told.read_text().splitlines()[1] == "compile"
    # What was set up by a user's choice is not what later calls mean.
    run(stage, "xx-clang", "--setup-target-triple", XX_CC_PREFER_LINKER="ld")
    assert not told.exists()


def test_aliases_are_symlinks_to_clang_with_its_configuration(stage: Path) -> None:
    done = run(stage, "xx-clang", "--setup-target-triple", TARGETPLATFORM="linux/arm/v7")
    assert done.returncode == 0, done
    for triple in ("arm-linux-gnueabihf", "armv7-linux-gnueabihf"):
        for end in ("clang", "clang++", "cc", "c++"):
            # One program is both: its name says which.
            assert (stage / f"{triple}-{end}").resolve() == stage / "clang"
        assert "-fuse-ld=lld\n" in (stage / f"{triple}.cfg").read_text()
    assert "--target=armv7-linux-gnueabihf\n" in (stage / "armv7-linux-gnueabihf.cfg").read_text()
    # The name's own architecture would win over the file's.
    plain = (stage / "arm-linux-gnueabihf.cfg").read_text()
    assert "--target" not in plain and "-march=armv7-a\n" in plain
    assert run(stage, "xx-clang", "--print-target-triple").stdout == "aarch64-linux-gnu\n"


def test_a_clang_that_reads_no_configuration_is_called_by_a_script(stage: Path, tmp_path: Path) -> None:
    real = program(tmp_path, "ccache", 'echo "ccache $*"')
    for name in ("clang", "clang++"):
        (stage / name).unlink()
        (stage / name).symlink_to(real)
    assert run(stage, "xx-clang", "--setup-target-triple").returncode == 0
    done = run(stage, "aarch64-linux-gnu-clang", "-c", "x.c")
    config = stage / "state/aarch64-linux-gnu/clang.cfg"
    assert done.stdout == f"ccache --config {config} -c x.c\n"
    assert "--target=aarch64-linux-gnu\n" in config.read_text()


def test_what_packages_bring_is_not_replaced(stage: Path) -> None:
    gnu = program(stage, "aarch64-linux-gnu-as", "echo GNU as")
    (stage / "aarch64-linux-gnu-ar").symlink_to(program(stage, "gnu-ar"))
    (stage / "aarch64-linux-gnu-nm").symlink_to("llvm-nm")
    program(stage, "llvm-ar"), program(stage, "llvm-nm")
    for _ in range(2):
        assert run(stage, "xx-clang", "--setup-target-triple").returncode == 0
        assert "GNU as" in gnu.read_text() and (stage / "aarch64-linux-gnu-ar").resolve().name == "gnu-ar"
        assert (stage / "aarch64-linux-gnu-nm").resolve().name == "llvm-nm"


def test_the_first_call_sets_up(stage: Path) -> None:
    done = run(stage, "xx-clang", "-c", "x.c")
    assert done.stdout == "clang --target=aarch64-linux-gnu -c x.c\n"
    assert (stage / "aarch64-linux-gnu-clang").exists()


def test_a_target_that_is_given(stage: Path) -> None:
    for args in (["--target=s390x-linux-gnu"], ["-target", "s390x-linux-gnu"]):
        assert run(stage, "xx-clang", *args, "-c", "x.c").stdout == "clang --target=s390x-linux-gnu -c x.c\n"
        assert run(stage, "xx-clang", *args, "--print-target-triple").stdout == "s390x-linux-gnu\n"
    # One that nothing here knows is clang's business, and so is a configuration of the user's own.
    assert run(stage, "xx-clang", "--target=avr", "x.c").stdout == "clang --target=avr x.c\n"
    assert run(stage, "xx-clang", "--config", "/my.cfg", "x.c").stdout == "clang --config /my.cfg x.c\n"


def test_wrap_and_unwrap(stage: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    path = f"{first}:{stage}:/usr/bin:/bin"
    for _ in range(2):
        assert run(stage, "xx-clang", "--wrap", PATH=path).returncode == 0
        for name in ("clang", "clang++"):
            done = run(first, name, "-c", "x.c", PATH=path, XX_STATE=str(stage / "state"))
            assert done.stdout == f"{name} --target=aarch64-linux-gnu -c x.c\n", done
    assert run(stage, "xx-clang", "--unwrap", PATH=path).returncode == 0
    assert list(first.iterdir()) == [] and not state.is_wrapped({"XX_STATE": str(stage / "state")})
    assert run(stage, "xx-clang", "--unwrap", PATH=path).returncode == 0


def test_what_is_printed(stage: Path) -> None:
    assert run(stage, "xx-clang", "--print-sysroot").stdout == "/\n"
    assert run(stage, "xx-clang", "-print-target-triple").stdout == "aarch64-linux-gnu\n"
    for option, name in (
        ("cmake-toolchain-file", "toolchain.cmake"),
        ("meson-cross-file", "cross.ini"),
        ("config-site", "config.site"),
    ):
        done = run(stage, "xx-clang", f"--print-{option}")
        assert done.stdout == f"{stage}/state/aarch64-linux-gnu/{name}\n" and Path(done.stdout.strip()).exists()
    assert (
        f"-DCMAKE_C_COMPILER={stage}/aarch64-linux-gnu-clang " in run(stage, "xx-clang", "--print-cmake-defines").stdout
    )
    done = subprocess.run(
        ["/bin/sh", "-c", run(stage, "xx-clang", "--print-env").stdout + "echo $CC"], capture_output=True, text=True
    )
    assert done.stdout == f"{stage}/aarch64-linux-gnu-clang\n"


def test_a_missing_sdk_is_named(stage: Path) -> None:
    done = run(stage, "xx-clang", "-c", "x.c", TARGETPLATFORM="darwin/arm64")
    assert done.returncode == 1 and "no macOS SDK in /xx-sdk" in done.stderr and "zig" in done.stderr


def test_where_nothing_can_be_written(stage: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = run(stage, "xx-clang", "--setup-target-triple", XX_STATE=str(blocked / "state"))
    assert done.returncode == 1 and "cannot write" in done.stderr
    # Compiling itself needs no set-up.
    assert run(stage, "xx-clang", "-c", "x.c", XX_STATE=str(blocked / "state")).returncode == 0


def test_errors_are_two_lines_and_the_exit_code_is_clangs(bin_folder: Path) -> None:
    wrapper(bin_folder, "xx-cc")
    wrapper(bin_folder, "nonsense-linux-gnu-clang")
    for argv in (["xx-cc", "x.c"], ["nonsense-linux-gnu-clang", "x.c"]):
        done = run(bin_folder, *argv, PATH=f"{bin_folder}:/nowhere")
        assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 2, done
    program(bin_folder, "clang", "exit 33")
    assert run(bin_folder, "xx-cc", "-c", "x.c").returncode == 33
    assert "--setup-target-triple" in run(bin_folder, "xx-cc", "--help").stdout
