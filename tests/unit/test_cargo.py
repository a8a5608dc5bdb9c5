"""xx-cargo: Rust's triples, where --target goes, and what build scripts are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.cargo import arguments
from xxpy.cargo.triple import rust_triple
from xxpy.errors import PlatformError
from xxpy.info.osrelease import OsRelease
from xxpy.info.target import Target

ROOT = Path(__file__).parents[2]
DEBIAN = OsRelease("debian", "13", (), "trixie")
ALPINE = OsRelease("alpine", "3.20.3")


def target(platform: str, distro: OsRelease = DEBIAN, **env: str) -> Target:
    return Target.from_env({"TARGETPLATFORM": platform, **env}, distro, "x86_64")


# The rustc book, "Platform Support": for glibc; for musl where it is not the same with musl; in Alpine's own compiler.
TRIPLES = {
    "linux/amd64": ("x86_64-unknown-linux-gnu", "", "x86_64-alpine-linux-musl"),
    "linux/386": ("i686-unknown-linux-gnu", "", "i586-alpine-linux-musl"),
    "linux/arm64": ("aarch64-unknown-linux-gnu", "", "aarch64-alpine-linux-musl"),
    "linux/arm/v7": ("armv7-unknown-linux-gnueabihf", "", "armv7-alpine-linux-musleabihf"),
    "linux/arm/v6": ("arm-unknown-linux-gnueabi", "arm-unknown-linux-musleabihf", "armv6-alpine-linux-musleabihf"),
    "linux/arm/v5": ("armv5te-unknown-linux-gnueabi", "", "armv5-alpine-linux-musleabi"),
    "linux/riscv64": ("riscv64gc-unknown-linux-gnu", "", "riscv64-alpine-linux-musl"),
    "linux/ppc64le": ("powerpc64le-unknown-linux-gnu", "", "powerpc64le-alpine-linux-musl"),
    "linux/s390x": ("s390x-unknown-linux-gnu", "", "s390x-alpine-linux-musl"),
    "linux/loong64": ("loongarch64-unknown-linux-gnu", "", "loongarch64-alpine-linux-musl"),
    "linux/mips64le": ("mips64el-unknown-linux-gnuabi64", "", "mips64el-alpine-linux-muslabi64"),
}


@pytest.mark.parametrize("platform", TRIPLES)
def test_triples(platform: str) -> None:
    debian, musl, alpines_own = TRIPLES[platform]
    assert rust_triple(target(platform), rustup=True) == debian
    assert rust_triple(target(platform, ALPINE), rustup=True) == (musl or debian.replace("gnu", "musl"))
    assert rust_triple(target(platform, ALPINE), rustup=False) == alpines_own


def test_triples_of_other_systems_and_overrides() -> None:
    assert rust_triple(target("darwin/arm64"), True) == "aarch64-apple-darwin"
    assert rust_triple(target("windows/amd64"), True) == "x86_64-pc-windows-gnu"
    assert rust_triple(target("freebsd/amd64"), True) == "x86_64-unknown-freebsd"
    # Debian's own library for armel is that of ARMv5.
    assert rust_triple(target("linux/arm/v6"), rustup=False) == "armv5te-unknown-linux-gnueabi"
    assert (
        rust_triple(target("linux/riscv64", RISCV64_TARGET_ARCH="riscv64a23"), True) == "riscv64a23-unknown-linux-gnu"
    )
    with pytest.raises(PlatformError):
        rust_triple(target("windows/arm"), True)


T = "--target=T"


@pytest.mark.parametrize(("args", "expected"), [
    (["build", "--release"], ["build", "--release", T]),
    (["run", "--", "--target", "x"], ["run", T, "--", "--target", "x"]),
    (["+nightly", "test", "--", "-q"], ["+nightly", "test", T, "--", "-q"]),
    (["--locked", "--config", "a=b", "build"], ["--locked", "--config", "a=b", "build", T]),
    (["build", "--target", "mine"], ["build", "--target", "mine"]),
    (["build", "--target=mine"], ["build", "--target=mine"]),
    (["nextest", "run"], ["nextest", "run", T]),
    (["new", "x"], ["new", "x"]),
    (["--version"], ["--version"]),
    (["+stable", "--version"], ["+stable", "--version"]),
    (["build", "--help"], ["build", "--help"]),
    ([], []),
])  # fmt: skip
def test_where_the_target_goes(args: list[str], expected: list[str]) -> None:
    assert arguments.with_target(args, "T") == expected


PRINT = '#!/bin/sh\necho "$(basename "$0") $*"\n'
CARGO = '#!/bin/sh\necho "cargo $*"\nenv | grep -E "^(CC|CXX|AR|CFLAGS|CARGO|PKG|BINDGEN|CMAKE|RUSTFLAGS)" | sort\n'
RUSTC = """\
#!/bin/sh
echo "rustc $*" >>"$LOG"
echo "$SYSROOT"
"""
RUSTUP = """\
#!/bin/sh
echo "rustup $*" >>"$LOG"
for word; do last=$word; done
mkdir -p "$SYSROOT/lib/rustlib/$last/lib"
"""


class Stage:
    """Programs that stand for Rust's and clang's and write down how they are called."""

    def __init__(self, folder: Path, rustup: bool = True) -> None:
        self.folder = folder
        programs = dict.fromkeys(("clang", "clang++", "llvm-ar", "pkg-config", "qemu-aarch64", "xx-clang"), PRINT)
        programs |= {"cargo": CARGO, "rustc": RUSTC, "ld.lld": "#!/bin/sh\necho LLD 19\n"}
        if rustup:
            programs["rustup"] = RUSTUP
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def run(self, *args: str, target: str = "linux/arm64", **env: str) -> tuple[int, str, str, list[str]]:
        log = self.folder / "log"
        log.write_text("")
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from xxpy.cli.xx_cargo import main; sys.exit(main())", *args],
            env={
                "PATH": f"{self.folder}:/usr/bin:/bin", "LOG": str(log), "SYSROOT": str(self.folder / "sysroot"),
                "TARGETPLATFORM": target, "XX_VENDOR": "debian", "XX_STATE": str(self.folder / "state"),
                "PYTHONPATH": str(ROOT), "HOME": str(self.folder), **env,
            },
            capture_output=True, text=True, check=False, cwd=self.folder,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr, log.read_text().splitlines()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    if os.uname().machine != "x86_64":
        pytest.skip("arm64 is this machine's own")
    return Stage(tmp_path)


def test_what_cargo_is_told(stage: Stage) -> None:
    code, out, err, log = stage.run("build", "--release", XX_RUSTFLAGS="-Cdebuginfo=0")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "cargo build --release --target=aarch64-unknown-linux-gnu"
    told = dict(line.split("=", 1) for line in lines[1:])
    assert told["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"] == f"{stage.folder}/aarch64-linux-gnu-clang"
    assert told["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS"] == "-Cdebuginfo=0"
    assert told["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER"] == f"{stage.folder}/qemu-aarch64"
    assert told["CC_aarch64_unknown_linux_gnu"] == f"{stage.folder}/aarch64-linux-gnu-clang"
    assert told["CXX_aarch64_unknown_linux_gnu"] == f"{stage.folder}/aarch64-linux-gnu-clang++"
    assert told["AR_aarch64_unknown_linux_gnu"] == f"{stage.folder}/aarch64-linux-gnu-ar"
    assert told["PKG_CONFIG_ALLOW_CROSS_aarch64_unknown_linux_gnu"] == "1"
    assert "/usr/lib/aarch64-linux-gnu/pkgconfig" in told["PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu"]
    assert told["BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu"] == "--target=aarch64-linux-gnu"
    assert told["CMAKE_TOOLCHAIN_FILE_aarch64_unknown_linux_gnu"].endswith("toolchain.cmake")
    # What is for this machine stays this machine's.
    assert not {"CC", "CXX", "AR", "CFLAGS", "PKG_CONFIG", "RUSTFLAGS"} & set(told)
    assert log == ["rustc --print sysroot", "rustup target add aarch64-unknown-linux-gnu"]
    # The second time nothing is asked or fetched.
    assert stage.run("build")[3] == []
    # Another toolchain is another question.
    assert stage.run("+nightly", "build")[3][0] == "rustc +nightly --print sysroot"


def test_levels_and_what_the_user_set(stage: Stage) -> None:
    out = stage.run("build", target="linux/arm/v7", CC_armv7_unknown_linux_gnueabihf="mine")[1]
    assert "CC_armv7_unknown_linux_gnueabihf=mine\n" in out
    assert "CFLAGS_armv7_unknown_linux_gnueabihf=-march=armv7-a\n" in out
    out = stage.run("build", target="linux/amd64/v3")[1]
    assert "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Ctarget-cpu=x86-64-v3\n" in out
    assert "RUNNER" not in out


def test_own_options(stage: Stage) -> None:
    assert stage.run("--print-target-triple", target="linux/riscv64")[1] == "riscv64gc-unknown-linux-gnu\n"
    code, out, _, log = stage.run("--setup-target-triple")
    assert (code, out) == (0, "") and len(log) == 2
    assert "export CC_aarch64_unknown_linux_gnu=" in stage.run("--print-env")[1]
    assert stage.run("--version")[1] == "cargo --version\n"
    # What follows -- is the program's.
    assert stage.run("run", "--", "--print-target-triple")[1].startswith("cargo run --target=")
    assert "XX_RUSTFLAGS" in stage.run("--help")[1]


def test_without_rustup_and_without_rust(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rustup=False)
    (tmp_path / "xx-apt-get").write_text('#!/bin/sh\necho "xx-apt-get $*" >>"$LOG"\nexit 100\n')
    (tmp_path / "xx-apt-get").chmod(0o755)
    code, _, err, log = stage.run("build")
    assert code == 1 and len(err.splitlines()) >= 2
    if Path("/etc/debian_version").exists():
        assert log[-1].startswith("xx-apt-get install -q -y --no-install-recommends libstd-rust-dev")
    (tmp_path / "cargo").unlink()
    if not Path("/usr/bin/cargo").exists():
        code, _, err, _ = stage.run("build")
        assert code == 1 and "cargo is not in this stage" in err
