"""The launcher of xx-info says what the Python says, or hands over to it."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from xxpy.cli import xx_info
from xxpy.info.osrelease import OsRelease

ROOT = Path(__file__).parents[2]
HANDED = "handed over to Python"
NO_RELEASE = "none"
SHELLS = [shell for shell in ("/bin/dash", "/bin/bash", "/bin/busybox") if os.path.exists(shell)]


def launchers():  # type: ignore[no-untyped-def]  # a module that lies outside of the package
    spec = importlib.util.spec_from_file_location("launchers", ROOT / "images/xx/launchers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Image:
    """The launcher in a root of its own, with something that stands for the image's Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        home = folder / "usr/lib/xx"
        (folder / "bin").mkdir()
        (folder / "etc").mkdir()
        home.mkdir(parents=True)
        launchers().write((ROOT / "pyproject.toml").read_text(), folder / "bin", home, str(folder))
        (home / "ld.so").write_text(f"#!/bin/sh\necho {HANDED}\n")
        (home / "ld.so").chmod(0o755)

    def run(self, query: str, env: dict[str, str], release: str, shell: str = "/bin/sh") -> tuple[int, str]:
        (self.root / "etc/os-release").unlink(missing_ok=True)
        if release != NO_RELEASE:
            (self.root / "etc/os-release").write_text(release)
        argv = [shell, *(["sh"] if shell.endswith("busybox") else []), str(self.root / "bin/xx-info")]
        done = subprocess.run(
            [*argv, *([query] if query else [])], env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True
        )
        assert done.stderr == ""
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(tmp_path_factory.mktemp("image"))


def expected(query: str, env: dict[str, str], release: str) -> tuple[int, str]:
    status, out, _ = xx_info.run(
        [query] if query else [],
        env,
        OsRelease() if release == NO_RELEASE else OsRelease.parse(release),
        os.uname().machine,
    )
    return status, out if out.endswith("\n") or not out else out + "\n"


QUERIES = [
    "",
    "triple",
    "os",
    "arch",
    "variant",
    "vendor",
    "libc",
    "march",
    "pkg-arch",
    "env",
    "sysroot",
    "is-cross",
    "os-version",
]
RELEASES = [
    'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n',
    "NAME=x\nID=alpine\nVERSION_ID=3.20.3\n",
    'ID="rhel"\nVERSION_ID="9.4"\nID_LIKE="fedora"\n',
    "ID=ubuntu\nVERSION_ID=24.04",
    "ID=arch\n",
    "",
    NO_RELEASE,
    "  ID=debian\n",
    "ID='debian'\n",
    'ID=debian\nVERSION_ID="$(id) `id`"\n',
    "ID=debian\n# ID=alpine\n",
    "ID=fedora\nVERSION_ID=\n",
]
_SPELLINGS = """
linux/amd64 linux/arm64 linux/arm/v7 linux/arm linux/arm/v6 linux/386 linux/s390x linux/ppc64le linux/riscv64
linux/mips64le linux/amd64/v3 darwin/arm64 windows/amd64 linux/x86_64 LINUX/ARM64 linux/arm64/v8 linux arm64 linux/z80
$(id) linux/arm64;id
"""
PLATFORMS = [*_SPELLINGS.split(), "a b", "", "linux/arm64\nx"]
OTHERS = [
    {"XX_VENDOR": "custom"},
    {"XX_LIBC": "musl"},
    {"TARGETVARIANT": "v6"},
    {"TARGETOS": "darwin", "TARGETARCH": "s390x"},
    {"RISCV64_TARGET_ARCH": "riscv64gc"},
    {"ARM_TARGET_ARCH": "armv8"},
    {"MACOSX_VERSION_MIN": "13"},
    {"TARGETPAIR": "linux-arm"},
]


def same(image: Image, query: str, env: dict[str, str], release: str, shell: str = "/bin/sh") -> bool:
    """Whether the launcher answered; what it answered is what Python says."""
    found = image.run(query, env, release, shell)
    if found[1] == f"{HANDED}\n":
        return False
    assert found == expected(query, env, release), (query, env, release)
    return True


def test_generated_environments(image: Image) -> None:
    chance = random.Random("launcher")
    answered = 0
    for _ in range(2000):
        env = {"TARGETPLATFORM": chance.choice(PLATFORMS)}
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            env |= chance.choice(OTHERS)
        answered += same(image, chance.choice(QUERIES), env, chance.choice(RELEASES))
    assert answered > 300


@pytest.mark.parametrize("shell", SHELLS)
def test_what_stages_ask_is_answered_by_the_launcher_itself(image: Image, shell: str) -> None:
    for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "darwin/arm64"):
        for release in RELEASES[:4]:
            for query in QUERIES:
                assert same(image, query, {"TARGETPLATFORM": platform}, release, shell)
    # What BuildKit gives beside TARGETPLATFORM changes nothing.
    env = {"TARGETPLATFORM": "linux/arm/v7", "TARGETOS": "linux", "TARGETARCH": "arm", "TARGETVARIANT": "v7"}
    assert same(image, "env", env, RELEASES[0], shell)


def test_the_reference(image: Image) -> None:
    """Each 23rd row; all of them with XX_WHOLE_REFERENCE=1, which takes a minute."""
    folder = ROOT / "tests/unit/data"
    path = next(folder.rglob("xx-info.jsonl.gz"))
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    releases = json.loads((path.parent / "xx-info-os-release.json").read_text())
    for row in rows[:: 1 if os.environ.get("XX_WHOLE_REFERENCE") else 23]:
        same(image, row["query"], row["env"], releases[row["distro"]] or NO_RELEASE)


def test_everything_else_is_pythons(image: Image) -> None:
    for args in (["--help"], ["nonsense"], ["triple", "os"]):
        done = subprocess.run(
            [str(image.root / "bin/xx-info"), *args],
            env={"TARGETPLATFORM": "linux/arm64"},
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"{HANDED}\n"
