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


def ended(program: str, stdout: int, before: str = "") -> tuple[int, str]:
    """The exit code of ``program`` and what it says on stderr."""
    entry, argument = ENTRIES[program]
    module, _, function = entry.partition(":")
    start = f"import sys; sys.argv[0] = '{program}'; from xxpy.cli.{module} import {function}; sys.exit({function}())"
    argv = ["sh", "-c", f'exec "$@" {before}', "sh", sys.executable, "-c", start, argument]
    env = {**os.environ, "TARGETPLATFORM": "linux/arm64"}
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


def test_an_error_has_its_own_exit_code_where_nobody_reads_it() -> None:
    assert ended("xx-info", subprocess.DEVNULL, "no-such-query 2>&-")[0] == 1
