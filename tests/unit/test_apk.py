"""xx-apk: the command lines, and a second root as a stand-in for apk leaves it. There is no real Alpine here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.errors import UsageError
from xxpy.pkg import apk
from xxpy.platforms import Platform

ROOT = Path(__file__).parents[2]


def test_meta_names_two_in_one_call() -> None:
    assert apk.expand(["add", "xx-c-essentials", "xx-cxx-essentials", "zlib-dev"]) == [
        "add", "musl-dev", "gcc", "g++", "zlib-dev",
    ]  # fmt: skip
    with pytest.raises(UsageError):
        apk.expand(["del", "xx-c-essentials"])


def test_command_lines() -> None:
    assert apk.command_line(["add", "x"], "/t", cross=False) == ["apk", "add", "x"]
    assert apk.command_line(["add", "x"], "/t", cross=True) == ["apk", "--root", "/t", "--no-scripts", "add", "x"]
    assert apk.command_line(["--no-cache", "-t", "v", "add", "x"], "/t", cross=True)[3] == "--no-scripts"
    assert apk.command_line(["info", "x"], "/t", cross=True) == ["apk", "--root", "/t", "info", "x"]


@pytest.mark.parametrize(("platform", "version", "expected"), [
    ("linux/arm64", "3.18.2", "v3.18"), ("linux/riscv64", "3.19.1", "v3.20"), ("linux/riscv64", "3.20.0", "v3.20"),
    ("linux/riscv64", "3.22.0", "v3.22"), ("linux/loong64", "3.20.3", "v3.21"),
])  # fmt: skip
def test_repositories_of_a_release_that_has_the_architecture(platform: str, version: str, expected: str) -> None:
    release = ".".join(version.split(".")[:2])
    text = f"https://mirror.test/alpine/v{release}/main\nhttps://mirror.test/alpine/edge/testing\n"
    found = apk.repositories(text, Platform.parse(platform), version)
    assert found == f"https://mirror.test/alpine/{expected}/main\nhttps://mirror.test/alpine/edge/testing\n"


APK = """\
#!/usr/bin/sh
# Writes down how it is called; ``add`` into a root leaves what packages do.
echo "$*" >>/log
root=
[ "$1" = --root ] && root=$2
case $* in
    *--initdb*) mkdir -p $root/lib/apk/db ;;
    *info*-qL*) echo usr/lib/clang/19/lib/linux/libclang_rt.builtins.a ;;
    *add*) mkdir -p $root/usr/bin $root/bin $root/usr/lib/rustlib/aarch64-alpine-linux-musl
        printf '\\177ELF....' >$root/usr/bin/tool
        echo '#!/bin/sh' >$root/usr/bin/x-config
        ln -sf /usr/bin/tool $root/bin/alias ;;
esac
exit ${APK_EXIT:-0}
"""


class Stage:
    """A root of its own by chroot: xx-apk writes to ``/<triple>``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("etc/apk/keys", "usr/share/apk/keys/aarch64", "usr/lib/rustlib", "bin", "tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "etc/os-release").write_text("ID=alpine\nVERSION_ID=3.20.3\n")
        (folder / "etc/apk/repositories").write_text("https://mirror.test/alpine/v3.20/main\n")
        (folder / "usr/share/apk/keys/aarch64/k.pub").write_text("key")
        (folder / "bin/apk").write_text(APK)
        (folder / "bin/apk").chmod(0o755)

    def run(self, *args: str, target: str = "linux/arm64", **env: str) -> subprocess.CompletedProcess[str]:
        """In a mount namespace where the machine's own programs and the project lie beside the stage's files."""
        binds = "".join(
            f"mkdir -p {self.folder}{path}; mount --rbind {path} {self.folder}{path};"
            for path in dict.fromkeys(
                ("/usr/bin", "/lib", "/lib64", "/usr/lib/x86_64-linux-gnu", "/dev", str(ROOT), sys.base_prefix)
            )
            if os.path.isdir(path)
        )
        code = "import sys; from xxpy.cli.xx_apk import main; sys.exit(main())"
        environment = {"PATH": "/bin:/usr/bin", "PYTHONPATH": str(ROOT), "TARGETPLATFORM": target, **env}
        script = f'{binds} exec chroot {self.folder} {sys.base_prefix}/bin/python3 -c "$0" "$@"'
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, code, *args],
            env=environment | {"PATH": "/bin:/usr/bin:/usr/sbin:/sbin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def log(self) -> list[str]:
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or os.uname().machine != "x86_64", reason="a root of its own, with this machine's libraries"
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "root")


TRIPLE = "aarch64-alpine-linux-musl"


@needs_root
def test_the_second_root(stage: Stage) -> None:
    (stage.folder / "etc/apk/cache").mkdir()
    done = stage.run("add", "--no-cache", "xx-c-essentials", "rust-stdlib", "compiler-rt")
    assert done.returncode == 0, done.stderr
    root = stage.folder / TRIPLE
    assert (root / "etc/apk/arch").read_text() == "aarch64\n"
    assert (root / "etc/apk/keys/k.pub").read_text() == "key"
    assert (root / "etc/apk/repositories").read_text() == "https://mirror.test/alpine/v3.20/main\n"
    assert os.readlink(root / "etc/apk/cache") == "/etc/apk/cache/_aarch64"
    assert stage.log() == [
        f"--root /{TRIPLE} --no-network add --initdb",
        f"--root /{TRIPLE} --no-scripts add --no-cache musl-dev gcc rust-stdlib compiler-rt",
        f"--root /{TRIPLE} info -qL compiler-rt",
    ]
    assert os.readlink(stage.folder / f"usr/lib/rustlib/{TRIPLE}") == f"/{TRIPLE}/usr/lib/rustlib/{TRIPLE}"
    link = stage.folder / "usr/lib/clang/19/lib/linux/libclang_rt.builtins.a"
    assert os.readlink(link) == f"/{TRIPLE}/usr/lib/clang/19/lib/linux/libclang_rt.builtins.a"
    # Programs are removed, and links to them; scripts stay.
    assert sorted(path.name for path in (root / "usr/bin").iterdir()) == ["x-config"]
    assert list((root / "bin").iterdir()) == []
    # Nothing is set up twice.
    assert stage.run("add", "zlib-dev", XX_APK_KEEP_BINARIES="1").returncode == 0
    assert stage.log() == [f"--root /{TRIPLE} --no-scripts add zlib-dev"]
    assert (root / "usr/bin/tool").exists()
    assert stage.run("clean").returncode == 0 and not root.exists()
    assert stage.run("setup", XX_VENDOR="custom").returncode == 0 and root.exists()


@needs_root
def test_native_other_systems_and_failures(stage: Stage) -> None:
    assert stage.run("add", "xx-cxx-essentials", target="linux/amd64").returncode == 0
    assert stage.log() == ["add musl-dev g++"]
    done = stage.run("add", "x", target="windows/amd64")
    assert done.returncode == 0 and "windows/amd64" in done.stderr and stage.log() == []
    assert stage.run("add", "x", target="linux/mips").returncode == 1
    assert stage.run("add", "x", APK_EXIT="3", target="linux/amd64").returncode == 3
    assert stage.run("del", "xx-c-essentials").returncode == 2


@needs_root
def test_without_keys_nothing_is_taken_unchecked(stage: Stage) -> None:
    (stage.folder / "usr/share/apk/keys/aarch64/k.pub").unlink()
    done = stage.run("add", "x")
    assert done.returncode == 1 and "no keys" in done.stderr
