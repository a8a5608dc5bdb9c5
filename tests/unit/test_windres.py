"""xx-windres: GNU windres' command line as LLVM's commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.cc import windres
from xxpy.errors import UsageError

ROOT = Path(__file__).parents[2]


def commands(*args: str, target: str = "x86_64-w64-mingw32") -> list[str]:
    return [" ".join(argv) for argv in windres.commands(windres.parse(args), target, ["clang"], "/w")]


def test_rc_to_coff() -> None:
    for args in (["a.rc", "a.o"], ["-i", "a.rc", "-o", "a.o"], ["--input=a.rc", "--output=a.o"], ["-ia.rc", "-oa.o"]):
        first, second, third = commands(*args)
        assert first == "clang -E -xc -DRC_INVOKED=1 -o /w/source.rc a.rc"
        assert second.startswith("llvm-rc /no-preprocess /I ") and second.endswith(
            "/FO /w/resource.res -- /w/source.rc"
        )
        assert third == "llvm-cvtres /MACHINE:X64 /OUT:a.o /w/resource.res"


def test_other_formats() -> None:
    assert commands("a.rc", "a.res")[-1].startswith("llvm-rc") and "/FO a.res" in commands("a.rc", "a.res")[-1]
    assert commands("a.res", "a.o") == ["llvm-cvtres /MACHINE:X64 /OUT:a.o a.res"]
    assert commands("-J", "res", "-O", "res", "a", "b") == ["cp -- a b"]
    assert commands("-O", "coff", "a.rc")[-1] == "llvm-cvtres /MACHINE:X64 /OUT:/dev/stdout /w/resource.res"


def test_what_the_preprocessor_and_the_compiler_get() -> None:
    first, second, _ = commands(
        "-I",
        "inc",
        "-Dx=1",
        "--define",
        "y",
        "-U",
        "z",
        "--preprocessor-arg=-w",
        "-c",
        "65001",
        "-l0x409",
        "-r",
        "a.rc",
        "a.o",
    )
    assert "-Iinc -Dx=1 -Dy -Uz -w" in first
    assert "/C 65001 /L 409" in second


@pytest.mark.parametrize(("target", "machine"), [
    ("i686-w64-mingw32", "X86"), ("aarch64-w64-mingw32", "ARM64"), ("armv7-w64-mingw32", "ARM"), ("pe-x86-64", "X64"),
])  # fmt: skip
def test_machines(target: str, machine: str) -> None:
    assert f"/MACHINE:{machine}" in commands("-F", target, "a.res", "a.o")[0]


@pytest.mark.parametrize("args", [
    ["--frob"], ["-i"], ["a", "b", "c"], ["-J", "bmp", "a"], ["-O", "exe", "a"], ["-F", "sparc", "a.res", "a.o"],
])  # fmt: skip
def test_wrong_calls(args: list[str]) -> None:
    with pytest.raises(UsageError):
        commands(*args)


def test_the_command(tmp_path: Path) -> None:
    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from xxpy.cli.xx_windres import main; sys.exit(main())"
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TARGETPLATFORM": "windows/arm64", **env}
        return subprocess.run([sys.executable, "-c", code, *args], env=environment, capture_output=True, text=True)

    done = run("a.rc", "a.o", XX_WINDRES_DRYRUN="1", CC="my-cc --flag")
    assert done.stdout.startswith("my-cc --flag -E -xc ") and "/MACHINE:ARM64" in done.stdout
    assert run("--frob").returncode == 2 and run("--version").stdout.startswith("xx-windres ")
    assert "--preprocessor" in run("--help").stdout
    done = run("a.rc", "a.o", PATH=str(tmp_path))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2
