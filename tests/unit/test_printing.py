"""What programs print to a stdout that does not take it: a word of why, or none where its reader has just gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENTRIES = {
    "xx": ("start:main", "--help"),
    "xx-info": ("xx_info:main", "env"),
    "xx-verify": ("xx_verify:main", "--help"),
    "xx-apt": ("xx_apt:main_apt", "--help"),
    "xx-apk": ("xx_apk:main", "--help"),
    "xx-dnf": ("xx_dnf:main", "--help"),
    "xx-clang": ("xx_cc:main", "--print-target-triple"),
    "xx-cargo": ("xx_cargo:main", "--print-target-triple"),
    "xx-go": ("xx_go:main", "--help"),
    "xx-windres": ("xx_windres:main", "--version"),
}

PROGRAMS = pytest.mark.parametrize("program", ENTRIES)


def ended(program: str, stdout: int, before: str = "", argument: str = "", platform: str = "") -> tuple[int, str]:
    """The exit code of ``program`` and what it says on stderr."""
    entry, usual = ENTRIES[program]
    module, _, function = entry.partition(":")
    start = f"import sys; sys.argv[0] = '{program}'; from xxpy.cli.{module} import {function}; sys.exit({function}())"
    argv = ["sh", "-c", f'exec "$@" {before}', "sh", sys.executable, "-c", start, argument or usual]
    env = {**os.environ, "TARGETPLATFORM": platform or "linux/arm64"}
    done = subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, text=True, env=env, check=False)
    return done.returncode, done.stderr


@PROGRAMS
def test_whose_reader_has_gone(program: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert ended(program, writing) == (141, "")
    finally:
        os.close(writing)


@PROGRAMS
def test_a_disk_that_is_full_and_one_that_is_closed(program: str) -> None:
    for before, why in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
        code, said = ended(program, subprocess.DEVNULL, before)
        first = said.splitlines()[0]
        assert code == (7 if program == "xx" else 1), said
        assert first.removeprefix("ERROR: ").removeprefix(f"{program}: ") == f"cannot write to stdout: {why}", said


def test_a_closed_stderr_changes_no_exit_code() -> None:
    assert ended("xx-verify", subprocess.DEVNULL, "2>&-", "--no-such-flag") == (2, "")
    for program in ("xx-apk", "xx-apt", "xx-dnf"):
        assert ended(program, subprocess.DEVNULL, "2>&-", "update", "darwin/arm64") == (0, ""), program


def test_what_a_program_prints_that_is_shown_meanwhile() -> None:
    start = "from xxpy.cli.stage import told; from xxpy.info.programs import tee\n"
    start += "raise SystemExit(told('me', lambda: tee(['seq', '100000'])[0]))"
    for before, found in (
        ("", (0, "")),
        (">/dev/full", (1, "me: cannot write to stdout: No space left on device\n")),
        (">&-", (1, "me: cannot write to stdout: Bad file descriptor\n")),
    ):
        argv = ["sh", "-c", f'exec "$@" {before}', "sh", sys.executable, "-c", start]
        done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == found, before
