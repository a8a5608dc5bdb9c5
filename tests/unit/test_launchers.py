"""The launchers say what the Python says, or hand over to it."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import random
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from xxpy.cc.toolchain import clang_triple
from xxpy.cli import xx_info
from xxpy.errors import PlatformError
from xxpy.info.osrelease import OsRelease
from xxpy.info.target import Target

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


class Case:
    """One call of a launcher: arguments, variables, and the text of the stage's os-release file."""

    def __init__(self, args: Sequence[str], env: dict[str, str], release: str) -> None:
        self.args = list(args)
        self.env = env
        self.release = release

    def __repr__(self) -> str:
        return f"{self.args} {self.env} {self.release!r}"

    def expected(self) -> tuple[int, str]:
        release = OsRelease() if self.release == NO_RELEASE else OsRelease.parse(self.release)
        status, out, _ = xx_info.run(self.args, self.env, release, os.uname().machine)
        return status, out if out.endswith("\n") or not out else out + "\n"


class Image:
    """The launchers in a root of their own, with something that stands for the image's Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.bin = folder / "usr/bin"
        home = folder / "usr/lib/xx"
        self.bin.mkdir(parents=True)
        (folder / "etc").mkdir()
        home.mkdir(parents=True)
        module = launchers()
        module.write((ROOT / "pyproject.toml").read_text(), self.bin, home, "linux/amd64", str(folder))
        (home / "ld.so").write_text(f"#!/bin/sh\necho {HANDED}\n")
        (home / "ld.so").chmod(0o755)

    def run(self, cases: Iterable[Case], shell: str = "/bin/sh") -> list[tuple[int, str]]:
        """Status and output of each case, all asked by one shell that starts a copy of itself for each."""
        begin = " ".join(f"unset {name};" for name in os.environ if name.startswith(("TARGET", "XX_")))
        lines = [begin, "PATH=/usr/bin:/bin"]
        release = None
        for case in cases:
            if case.release != release:
                release = case.release
                lines.append(f"rm -f {self.root}/etc/os-release")
                if release != NO_RELEASE:
                    lines.append(f"printf %s {shlex.quote(release)} >{self.root}/etc/os-release")
            exports = " ".join(f"export {name}={shlex.quote(value)};" for name, value in case.env.items())
            lines.append(f"({exports} set -- {shlex.join(case.args)}; . {self.bin}/xx-info); printf '%s\\036' $?")
        argv = [shell, *(["sh"] if shell.endswith("busybox") else [])]
        done = subprocess.run(argv, input="\n".join(lines).encode(), capture_output=True, check=True)
        assert done.stderr == b"", done.stderr[:1000]
        answers = []
        for text in done.stdout.decode().split("\036")[:-1]:
            out = text.rstrip("0123456789")
            answers.append((int(text[len(out) :]), out))
        return answers

    def same(self, cases: Sequence[Case], shell: str = "/bin/sh") -> list[Case]:
        """Assert that what the launcher answers is what Python says; the cases that it leaves to Python."""
        handed = []
        answers = self.run(cases, shell)
        assert len(answers) == len(cases)
        for case, found in zip(cases, answers, strict=True):
            if found[1] == f"{HANDED}\n":
                handed.append(case)
            else:
                assert found == case.expected(), case
        return handed


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(tmp_path_factory.mktemp("image"))


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
    "debian-arch",
    "alpine-arch",
    "rhel-arch",
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
    'ID=mint\nID_LIKE="ubuntu debian"\nVERSION_ID=21.3\n',
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
$(id) linux/arm64;id ../../etc/passwd linux/../linux/arm64 linux/*
"""
PLATFORMS = [*_SPELLINGS.split(), "a b", "", "linux/arm64\nx", "x" * 10_000]
OTHERS = [
    {"XX_VENDOR": "custom"},
    {"XX_VENDOR": "alpine"},
    {"XX_VENDOR": "fedora"},
    {"XX_VENDOR": "a b"},
    {"XX_VENDOR": "$(id)"},
    {"XX_LIBC": "musl"},
    {"XX_LIBC": "`id`"},
    {"TARGETVARIANT": "v6"},
    {"TARGETOS": "darwin", "TARGETARCH": "s390x"},
    {"TARGETARCH": "arm64", "TARGETVARIANT": "v8"},
    {"RISCV64_TARGET_ARCH": "riscv64gc"},
    {"ARM_TARGET_ARCH": "armv8"},
    {"MACOSX_VERSION_MIN": "13"},
    {"TARGETPAIR": "linux-arm"},
    {"TARGETPAIR": "linux-armv6"},
    {"TARGETPLATFORM": ""},
]


def asked(query: str) -> list[str]:
    return [query] if query else []


def test_generated_environments(image: Image) -> None:
    chance = random.Random("launcher")
    cases = []
    for _ in range(2000):
        env = {"TARGETPLATFORM": chance.choice(PLATFORMS)}
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            env |= chance.choice(OTHERS)
        cases.append(Case(asked(chance.choice(QUERIES)), env, chance.choice(RELEASES)))
    assert len(image.same(cases)) < 1400


@pytest.mark.parametrize("shell", SHELLS)
def test_what_stages_ask_is_answered_by_the_launcher_itself(image: Image, shell: str) -> None:
    cases = [
        Case(asked(query), env, release)
        for release in RELEASES[:8]
        for query in QUERIES
        for env in (
            *({"TARGETPLATFORM": each} for each in ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")),
            {"TARGETPLATFORM": "darwin/arm64"},
            {"TARGETPLATFORM": "linux/riscv64", "RISCV64_TARGET_ARCH": "riscv64gc"},
            # What BuildKit gives beside TARGETPLATFORM changes nothing.
            {"TARGETPLATFORM": "linux/arm/v7", "TARGETOS": "linux", "TARGETARCH": "arm", "TARGETVARIANT": "v7"},
            {"TARGETARCH": "arm64"},
            {"TARGETOS": "windows", "TARGETARCH": "amd64"},
            {"TARGETPAIR": "linux-armv6"},
            {"TARGETPLATFORM": "linux/arm64", "XX_VENDOR": "custom", "XX_LIBC": "uclibc"},
            {},
        )
    ]
    assert not image.same(cases, shell)


def test_the_whole_reference(image: Image) -> None:
    folder = ROOT / "tests/unit/data"
    path = next(folder.rglob("xx-info.jsonl.gz"))
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    releases = json.loads((path.parent / "xx-info-os-release.json").read_text())
    cases = [Case(asked(row["query"]), row["env"], releases[row["distro"]] or NO_RELEASE) for row in rows]
    handed = [case for case in image.same(cases) if (case.args or [""])[0] in QUERIES and _is_target(case)]
    # Of what has an answer Python is left other spellings, variants of other architectures, and two ways to say it.
    spellings = ("wasi/wasm", "linux/aarch64", "linux/x86_64", "linux/armhf", "LINUX/AMD64", "linux", "linux/")
    for case in handed:
        platform = case.env.get("TARGETPLATFORM", "")
        both = bool(platform and case.env.get("TARGETPAIR"))
        leftover = case.env.get("TARGETVARIANT", "") not in ("", platform.partition("/v")[2])
        assert both or leftover or platform in (*spellings, "/amd64"), case
    assert len(handed) < len(cases) / 10


def _is_target(case: Case) -> bool:
    try:
        Target.from_env(case.env, OsRelease(), "x86_64")
    except PlatformError:
        return False
    return True


def test_everything_else_is_pythons(image: Image) -> None:
    env = {"TARGETPLATFORM": "linux/arm64"}
    for args in (["--help"], ["nonsense"], ["triple", "os"], ["$(id)"], ["*"]):
        assert image.run([Case(args, env, RELEASES[0])]) == [(0, f"{HANDED}\n")]


def test_the_stages_variables_stay_as_they_are(image: Image) -> None:
    """What a launcher uses for itself does not reach the programs that it starts."""
    (image.root / "usr/lib/xx/ld.so").write_text("#!/bin/sh\nenv\n")
    names = ("id", "version", "vendor", "line", "p", "q", "name", "IFS")
    env = {"PATH": "/usr/bin:/bin", **{name: f"my {name}" for name in names}, "LD_PRELOAD": "", "LD_LIBRARY_PATH": "/x"}
    try:
        done = subprocess.run([image.bin / "xx-go"], env=env, capture_output=True, text=True, check=True)
    finally:
        (image.root / "usr/lib/xx/ld.so").write_text(f"#!/bin/sh\necho {HANDED}\n")
    lines = done.stdout.splitlines()
    assert all(f"{name}=my {name}" in lines for name in names if name != "IFS")
    assert "_xx_kept_LD_LIBRARY_PATH=/x" in lines and "_xx_kept_LD_PRELOAD=" in lines
    assert not [line for line in lines if line.startswith("LD_")]


class Compilers:
    """A stage with something for clang that prints what it is called by, set up for arm64 as the Python does it."""

    def __init__(self, image: Image, folder: Path) -> None:
        self.image = image
        self.folder = folder
        self.clang = folder / "llvm/clang"
        self.clang.parent.mkdir()
        self.clang.write_text('#!/bin/sh\necho "${0##*/}" "$@"\necho "stderr of $1" >&2\n')
        self.clang.chmod(0o755)
        (folder / "clang++").symlink_to("clang")
        (folder / "clang").symlink_to(self.clang)
        for end in ("", "++"):
            alias = image.bin / f"aarch64-linux-gnu-clang{end}"
            alias.unlink(missing_ok=True)
            alias.symlink_to(self.clang)
        (image.root / "etc/os-release").write_text(RELEASES[0])
        self.remember("any")

    def remember(self, extent: str, platform: str = "linux/arm64") -> None:
        state = self.image.root / "var/lib/xx/aarch64-linux-gnu"
        state.mkdir(parents=True, exist_ok=True)
        (state / "alias").write_text(f"{self.image.bin}/aarch64-linux-gnu-clang\n{extent}\n{platform}\n")

    def run(self, *args: str, name: str = "xx-clang", **env: str) -> str:
        given = {"TARGETPLATFORM": "linux/arm64", "PATH": f"{self.image.bin}:{self.folder}:/usr/bin:/bin", **env}
        done = subprocess.run([self.image.bin / name, *args], env=given, capture_output=True, text=True)
        assert done.stderr in ("", f"stderr of {args[0] if args else ''}\n")
        return done.stdout


@pytest.fixture
def compilers(image: Image, tmp_path: Path) -> Compilers:
    return Compilers(image, tmp_path)


def test_compiling_for_a_target_that_is_set_up_needs_no_python(compilers: Compilers) -> None:
    assert compilers.run("-c", "a b.c", "$x") == "aarch64-linux-gnu-clang -c a b.c $x\n"
    assert compilers.run("-c", name="xx-c++") == "aarch64-linux-gnu-clang++ -c\n"
    assert compilers.run("x.c", name="xx-cc") == "aarch64-linux-gnu-clang x.c\n"


def test_links_that_depend_on_the_moment_are_pythons(compilers: Compilers) -> None:
    compilers.remember("compile")
    assert compilers.run("-c", "x.c") == "aarch64-linux-gnu-clang -c x.c\n"
    assert compilers.run("x.c") == f"{HANDED}\n"


def test_what_was_set_up_for_another_level_of_the_same_triple_is_pythons(compilers: Compilers) -> None:
    compilers.remember("any", "linux/arm64/v9")
    assert compilers.run("-c", "x.c") == f"{HANDED}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["-fuse-ld=gold", "x.c"],
        ["-target", "x", "-c"],
        ["--target=x"],
        ["-c", "--config", "x"],
        ["--print-target-triple"],
        ["-setup-target-triple"],
        ["--wrap"],
    ],
)
def test_options_of_its_own_are_pythons(compilers: Compilers, args: list[str]) -> None:
    assert compilers.run(*args) == f"{HANDED}\n"


@pytest.mark.parametrize(
    "env",
    [
        {"TARGETPLATFORM": "linux/s390x"},
        {"TARGETPLATFORM": "linux/z80"},
        {"TARGETPLATFORM": "darwin/arm64"},
        {"XX_CC_PREFER_COMPILER": "gcc"},
        {"XX_CC_PREFER_LINKER": "ld"},
        {"XX_CLANG": "clang-19"},
        {"XX_STATE": "/elsewhere"},
        {"PATH": "/usr/bin:/bin"},
    ],
)
def test_other_targets_and_choices_are_pythons(compilers: Compilers, env: dict[str, str]) -> None:
    assert compilers.run("-c", "x.c", **env) == f"{HANDED}\n"


def test_another_clang_than_the_one_set_up_for_is_pythons(compilers: Compilers, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "clang").write_text("#!/bin/sh\n")
    (other / "clang").chmod(0o755)
    assert compilers.run("-c", PATH=f"{other}:{compilers.folder}:/usr/bin:/bin") == f"{HANDED}\n"


def test_a_wrapped_clang(compilers: Compilers, tmp_path: Path) -> None:
    wrapped = tmp_path / "wrapped"
    wrapped.mkdir()
    (wrapped / "clang").symlink_to(compilers.image.bin / "xx-clang")
    path = f"{wrapped}:{compilers.folder}:/usr/bin:/bin"
    call = [str(wrapped / "clang"), "-c"]
    env = {"TARGETPLATFORM": "linux/arm64", "PATH": path}
    assert subprocess.run(call, env=env, capture_output=True, text=True).stdout == f"{HANDED}\n"
    mark = compilers.image.root / "var/lib/xx/autowrap"
    mark.touch()
    assert subprocess.run(call, env=env, capture_output=True, text=True).stdout == "aarch64-linux-gnu-clang -c\n"
    mark.unlink()


def test_triples_for_clang_are_pythons_own(image: Image) -> None:
    """The compilers' launchers take the triple that Python takes."""
    for platform in launchers().platforms():
        if platform.partition("/")[0] not in ("linux", "windows"):
            continue
        for release in RELEASES[:5]:
            target = Target.from_env({"TARGETPLATFORM": platform}, OsRelease.parse(release), "x86_64")
            (image.root / "etc/os-release").write_text(release)
            text = (image.root / "usr/lib/xx/tables" / f"{platform}.sh").read_text()
            who = {"debian": "debian", "ubuntu": "debian", "alpine": "alpine", "rhel": "rpm", "arch": "other"}
            script = f"_xx_q=clang _xx_vendor={target.vendor} _xx_who={who[target.distro.id]}\n{text}\necho $_xx_r"
            done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True)
            assert done.stdout == clang_triple(target) + "\n", (platform, release)


def test_an_image_of_another_machine_says_so(tmp_path: Path) -> None:
    """A stage that cannot run the image's loader reads it as a script, unless something keeps it from that."""
    image = Image(tmp_path)
    home = tmp_path / "usr/lib/xx"
    module = launchers()
    module.write((ROOT / "pyproject.toml").read_text(), image.bin, home, "linux/s390x", str(tmp_path))
    for shell in (*SHELLS, ""):
        # What the kernel finds here is a program for s390x, 64 bits and the byte order with it.
        (home / "ld.so").write_bytes(b"\x7fELF\2\2\1" + bytes(9) + b"\0\3\0\x16" + bytes(44))
        argv = [shell, *(["sh"] if shell.endswith("busybox") else [])] if shell else []
        done = subprocess.run([*argv, image.bin / "xx-go", "build"], capture_output=True, text=True)
        assert done.returncode == 126 and done.stdout == ""
        assert done.stderr == (
            "xx-go: this is the xx image for linux/s390x, which this stage cannot run: "
            "write FROM --platform=$BUILDPLATFORM xx AS xx\n"
        )
        # What needs no Python is answered all the same.
        done = subprocess.run(
            [*argv, image.bin / "xx-info", "arch"], env={"TARGETARCH": "arm64"}, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "arm64\n", "")
