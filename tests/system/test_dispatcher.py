"""The dispatcher itself, compiled and started as the kernel would: which conditions let it start a twin."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import lacking

from xxpy.build.engine.process import output_of
from xxpy.build.tools import find_emulator
from xxpy.build.twins import dispatcher
from xxpy.build.twins.table import NAME, VARIABLE, Entry, Guard, Kind, encode

BUILT = 1_700_000_000
PLACE = "/dev/.xx"
SCRIPTS = {"twin": "twin", "qemu": "emulated"}
ARM64_COMPILER = "aarch64-linux-gnu-gcc"


class Step:
    """A folder that stands in for a step's /dev/.xx, and a program in it that has a twin."""

    def __init__(self, folder: Path, command: tuple[str, ...]) -> None:
        self.folder = folder
        self.command = command
        for name, word in SCRIPTS.items():
            script = folder / name
            script.write_text(f'#!/bin/sh\nprintf "%s\\n" {word} "$@"\n')
            script.chmod(0o755)
        self.program = folder / "program"
        self.program.write_text("not a script: the kernel is never asked to start it")
        self.program.chmod(0o755)
        os.utime(self.program, (BUILT, BUILT))
        (folder / "log").mkdir()
        (folder / "log/starts").touch()
        self.entry = Entry(f"{PLACE}/program", BUILT, f"{PLACE}/twin", ("twin", "first", NAME))

    def run(
        self, *arguments: str, entry: Entry | None = None, env: Mapping[str, str] | None = None, path: str = ""
    ) -> list[str]:
        """What was started, ``twin`` or ``emulated``, and its arguments."""
        self.plan(entry or self.entry)
        return self.started(*arguments, env=env, path=path)

    def plan(self, *entries: Entry) -> None:
        (self.folder / "table").write_bytes(encode(entries))

    def started(self, *arguments: str, env: Mapping[str, str] | None = None, path: str = "") -> list[str]:
        """As `run`, with the table that is there."""
        words = [*self.command, path or f"{PLACE}/program", "its-name", *arguments]
        mounted = f"mount -t tmpfs none /dev && mkdir {PLACE} && mount --bind {self.folder} {PLACE}"
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", f"{mounted} && exec {shlex.join(words)}"],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], **(env or {})},
        )
        assert done.returncode == 0, done
        return done.stdout.splitlines()

    def starts(self, *guards: Guard, arguments: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> str:
        return self.run(*arguments, entry=replace(self.entry, guards=guards), env=env)[0]


@pytest.fixture(params=["native", "arm64"])
def step(request: pytest.FixtureRequest, tmp_path: Path) -> Step:
    """The dispatcher of this machine, and on an amd64 one that of arm64, which QEMU runs."""
    if subprocess.run(["unshare", "--mount", "--map-root-user", "true"], capture_output=True, check=False).returncode:
        lacking("a user namespace with mounts")
    folder = tmp_path / "place"
    folder.mkdir()
    program = tmp_path / "dispatcher"
    if request.param == "native":
        if not shutil.which("cc"):
            lacking("a C compiler for the dispatcher")
        dispatcher.compile_to(program)
        return Step(folder, (str(program),))
    if os.uname().machine != "x86_64":
        pytest.skip("the other dispatcher is tried on amd64")
    emulator = find_emulator("aarch64")
    if not shutil.which(ARM64_COMPILER) or emulator is None:
        lacking(f"{ARM64_COMPILER} and a QEMU for it")
    output_of([ARM64_COMPILER, *dispatcher.FLAGS, "-o", str(program), str(dispatcher.SOURCE)])
    return Step(folder, (emulator.path, "-0", "dispatcher", str(program)))


def test_a_twin_gets_its_prefix_the_name_and_the_arguments(step: Step) -> None:
    assert step.run("a", "b c") == ["twin", "first", "its-name", "a", "b c"]
    assert (step.folder / "log/starts").read_text() == f"T {PLACE}/program\n"
    entry = replace(step.entry, suffix=("s",), guards=(Guard(Kind.NO_SUFFIX_IF, "-n"), Guard(Kind.REPLACE, "a", "z")))
    assert step.run("a", entry=entry) == ["twin", "first", "its-name", "z", "s"]
    assert step.run("-n", entry=entry) == ["twin", "first", "its-name", "-n"]


def test_a_twin_may_be_given_a_variable(step: Step) -> None:
    (step.folder / "twin").write_text('#!/bin/sh\necho "$#" "$GIVEN" "$KEPT" "$1"\n')
    entry = replace(step.entry, prefix=(NAME, f"{VARIABLE}GIVEN=a b", "first"))
    assert step.run("x", entry=entry, env={"KEPT": "c"}) == ["2 a b c first"]


def test_of_more_entries_the_first_counts_that_is_permitted(step: Step) -> None:
    def entry(word: str, *guards: Guard) -> Entry:
        return replace(step.entry, prefix=("twin", word), guards=guards)

    front = entry("front", Guard(Kind.FIRST_ARGUMENT, ("-cc1",)))
    step.plan(front, entry("driver", Guard(Kind.NAMED, ("its-name",))), replace(step.entry, path="/a"))
    assert step.started("-cc1") == ["twin", "front", "-cc1"] and step.started("x") == ["twin", "driver", "x"]
    step.plan(front, entry("driver", Guard(Kind.NAMED, ("other", "name"))))
    assert step.started("x")[0] == "emulated"
    # One that was built at another time is no twin, whatever the others are.
    step.plan(replace(entry("old"), mtime=1), entry("new"))
    assert step.started() == ["twin", "new"]


def test_what_the_table_does_not_mean_is_emulated(step: Step) -> None:
    assert step.run("x", path="/bin/sh") == ["emulated", "-0", "its-name", "/bin/sh", "x"]
    assert step.run(entry=replace(step.entry, mtime=BUILT + 1))[0] == "emulated"
    step.program.chmod(0o4755)
    assert step.run()[0] == "emulated"
    # What the path leads to is what counts.
    step.program.chmod(0o755)
    (step.folder / "link").symlink_to("program")
    assert step.run(path=f"{PLACE}/link")[0] == "twin"
    # A relative path that looks like a flag of QEMU's.
    assert step.run(path="-version")[3] == "./-version"


def test_a_twin_that_cannot_be_started_is_emulated(step: Step) -> None:
    assert step.run(entry=replace(step.entry, program=f"{PLACE}/none"))[0] == "emulated"
    lines = (step.folder / "log/starts").read_text().split("\n")
    assert [line[:1] for line in lines if line] == ["T", "F", "E"]


def test_a_damaged_or_missing_table_ends_nothing(step: Step) -> None:
    table = step.folder / "table"
    assert step.run(entry=replace(step.entry, path="/other"))[0] == "emulated"
    table.unlink()
    assert step.started() == ["emulated", "-0", "its-name", f"{PLACE}/program"]
    table.write_bytes(b"XXTWINS1")
    assert step.started()[0] == "emulated"
    table.write_bytes(b"")
    assert step.started()[0] == "emulated"


@pytest.mark.parametrize(
    ("guard", "twin", "emulated"),
    [
        (Guard(Kind.NO_ARGUMENT, "-v"), ("-vv",), ("x", "-v")),
        (Guard(Kind.NO_ARGUMENT_PREFIX, "--print"), ("-print",), ("--print=cfg",)),
        (Guard(Kind.NO_LETTER, "pV"), ("--purge", "p", "-", "-U"), ("x", "-Up")),
        (Guard(Kind.HAS_ARGUMENT, ("-d", "-dc")), ("x", "-dc"), ("-dd",)),
        (Guard(Kind.FIRST_ARGUMENT, ("/s", "-mm"), ("-E",)), ("-E", "/s", "x"), ("x", "/s")),
        (Guard(Kind.FIRST_ARGUMENT, ("/s", "-mm"), ("-E",)), ("-m", "m"), ("-m", "n")),
        (Guard(Kind.FIRST_ARGUMENT, ("-cprint(1)",), ()), ("-c", "print(1)"), ("-c", "print(2)")),
        (Guard(Kind.FIRST_ARGUMENT, ("/s",), ()), ("/s",), ()),
        (Guard(Kind.FIRST_ARGUMENT, ("-mm",), ()), ("-mm",), ("-m",)),
        (Guard(Kind.FIRST_ARGUMENT, ("-mm",), ()), ("-mm",), ("-m", "m" * 400)),
        (Guard(Kind.NEXT_AMONG, "-plugin", ("/p",)), ("-plugin", "/p"), ("-plugin", "/q")),
        (Guard(Kind.NEXT_AMONG, "-plugin", ("/p",)), ("x",), ("-plugin",)),
    ],
)
def test_conditions_on_arguments(step: Step, guard: Guard, twin: tuple[str, ...], emulated: tuple[str, ...]) -> None:
    assert step.starts(guard, arguments=twin) == "twin"
    assert step.starts(guard, arguments=emulated) == "emulated"


def test_conditions_on_variables(step: Step) -> None:
    none = Guard(Kind.NO_VARIABLE, "PERL5")
    assert (step.starts(none, env={"PERL": "x"}), step.starts(none, env={"PERL5LIB": ""})) == ("twin", "emulated")
    there = Guard(Kind.HAS_VARIABLE, "GOARCH=arm64")
    assert step.starts(there, env={"GOARCH": "arm64"}) == "twin"
    assert {step.starts(there, env=env) for env in ({}, {"GOARCH": "arm"}, {"XGOARCH": "arm64"})} == {"emulated"}
    plain = Guard(Kind.PLAIN_LOCALE)
    assert step.starts(plain, env={"LC_ALL": "C", "LANG": "", "LANGUAGE": "de"}) == "twin"
    assert step.starts(plain, env={"LANG": "C.UTF-8"}) == "emulated"


def test_a_library_that_the_root_would_have_loaded_instead(step: Step, tmp_path: Path) -> None:
    guard = Guard(Kind.LIBRARIES, ("libz.so.1", "glibc-hwcaps"))
    for name in ("empty", "other", "shadow", "levels"):
        (tmp_path / name).mkdir()
    (tmp_path / "other/libx.so.1").touch()
    (tmp_path / "shadow/libz.so.1").touch()
    (tmp_path / "levels/glibc-hwcaps").mkdir()

    def starts(value: str) -> str:
        return step.starts(guard, env={"LD_LIBRARY_PATH": value.replace("@", f"{tmp_path}/")})

    assert {starts(value) for value in ("", "@empty", "@empty:@other", "@none;@other", "/a//b:@empty")} == {"twin"}
    # For musl a semicolon is part of a name, and a line feed between two.
    (tmp_path / "em;pty").mkdir()
    (tmp_path / "em;pty/libz.so.1").touch()
    hiding = ("@shadow", "@empty:@shadow", "@empty;@shadow", "@levels", "$ORIGIN/../lib", "/" + "a" * 5000)
    assert {starts(value) for value in ("@em;pty", "@none\n@shadow")} == {"emulated"}
    assert {starts(value) for value in hiding} == {"emulated"}
    assert step.starts(guard, env={"LD_PRELOAD": ""}) == "emulated"
    assert step.starts(guard, env={"LD_BIND_NOW": "1"}) == "emulated"


def test_an_empty_folder_name_is_the_current_one(step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(Kind.LIBRARIES, ("libz.so.1",))
    monkeypatch.chdir(tmp_path)
    assert step.starts(guard, env={"LD_LIBRARY_PATH": "/a:"}) == "twin"
    (tmp_path / "libz.so.1").touch()
    for value in ("/a:", ":/a", "/a::/b"):
        assert step.starts(guard, env={"LD_LIBRARY_PATH": value}) == "emulated", value
