from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from xxpy import __version__
from xxpy.cli import xx_verify
from xxpy.info.osrelease import OsRelease
from xxpy.platforms import ARCHITECTURES, Platform
from xxpy.verify.check import Wanted, check, expected_name
from xxpy.verify.elf import ET_CORE, ET_DYN, ET_EXEC, ET_REL, read_elf

ROOT = Path(__file__).parents[2]
AMD64 = Wanted(Platform("linux", "amd64"))

# machine, bits, byte order, as the ABI supplements have them: written out again here, so that a slip shows.
SHAPES = {
    "amd64": (62, 64, "<"),
    "386": (3, 32, "<"),
    "arm": (40, 32, "<"),
    "arm64": (183, 64, "<"),
    "riscv64": (243, 64, "<"),
    "ppc64le": (21, 64, "<"),
    "s390x": (22, 64, ">"),
    "loong64": (258, 64, "<"),
    "mips": (8, 32, ">"),
    "mipsle": (8, 32, "<"),
    "mips64": (8, 64, ">"),
    "mips64le": (8, 64, "<"),
}


def elf(
    arch: str = "amd64",
    *,
    kind: int = ET_EXEC,
    osabi: int = 0,
    interp: bool = False,
    dynamic: tuple[int, ...] | None = None,
    shape: tuple[int, int, str] | None = None,
) -> bytes:
    """An ELF file with a PT_LOAD and, if asked for, PT_INTERP and a PT_DYNAMIC with the given tags."""
    machine, bits, end = shape or SHAPES[arch]
    wide = bits == 64
    header_size, entry_size = (64, 56) if wide else (52, 32)
    kinds = [1] + [3] * interp + [2] * (dynamic is not None)
    body_at = header_size + entry_size * len(kinds)
    tags = b"".join(struct.pack(end + ("qQ" if wide else "iI"), tag, 1) for tag in dynamic or ())
    body = {1: b"\x90" * 8, 3: b"/lib/ld.so.1\0", 2: tags}
    segments, contents = b"", b""
    for segment in kinds:
        offset, size = body_at + len(contents), len(body[segment])
        contents += body[segment]
        if wide:
            segments += struct.pack(end + "IIQQQQQQ", segment, 4, offset, 0, 0, size, size, 1)
        else:
            segments += struct.pack(end + "IIIIIIII", segment, offset, 0, 0, size, size, 4, 1)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if end == "<" else 2, 1, osabi]) + bytes(8)
    rest = struct.pack(
        end + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        kind, machine, 1, 0, header_size, 0, 0, header_size, entry_size, len(kinds), 0, 0, 0,
    )  # fmt: skip
    return ident + rest + segments + contents


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def reasons(path: str, platform: str = "linux/amd64", static: bool = False) -> list[str]:
    return [problem.reason for problem in check(path, Wanted(Platform.parse(platform), static))]


def test_the_golden_headers_cover_every_architecture() -> None:
    assert set(SHAPES) == set(ARCHITECTURES)


@pytest.mark.parametrize("made_for", ARCHITECTURES)
def test_a_file_is_right_for_its_own_architecture_and_for_no_other(made_for: str, tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf(made_for))
    right = [arch for arch in ARCHITECTURES if reasons(path, f"linux/{arch}") == []]
    assert right == [made_for]
    header = read_elf(path)
    assert (header.machine, header.bits, {"little": "<", "big": ">"}[header.order]) == SHAPES[made_for]
    assert header.kind == ET_EXEC


def test_the_message_says_found_and_expected(tmp_path: Path) -> None:
    path = write(tmp_path / "zstd", elf("arm64"))
    assert [str(p) for p in check(path, AMD64)] == [f"{path}: is aarch64 ELF, expected x86-64 ELF (linux/amd64)"]


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((62, 32, "<"), "x32"),
        ((21, 64, ">"), "ppc64"),
        ((40, 32, ">"), "big-endian arm"),
        ((9999, 64, ">"), "machine 9999 (64-bit big-endian)"),
    ],
)
def test_class_and_byte_order_count(shape: tuple[int, int, str], name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf(shape=shape))
    (problem,) = check(path, AMD64)
    assert problem.reason == "wrong-machine"
    assert problem.message.startswith(f"is {name} ELF")


@pytest.mark.parametrize(
    ("os_name", "osabi", "right"),
    [
        ("linux", 0, True),
        ("linux", 3, True),
        ("linux", 9, False),
        ("freebsd", 9, True),
        ("freebsd", 0, False),
        ("freebsd", 3, False),
        ("netbsd", 2, True),
        ("openbsd", 12, True),
        ("openbsd", 0, False),
    ],
)
def test_os_abi(os_name: str, osabi: int, right: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf(osabi=osabi))
    assert reasons(path, f"{os_name}/amd64") == ([] if right else ["wrong-osabi"])


def test_the_os_abi_message_names_both(tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf(osabi=9))
    assert check(path, AMD64)[0].message == "has OS ABI FreeBSD, expected System V or Linux (linux/amd64)"
    path = write(tmp_path / "program", elf(osabi=200))
    assert "OS ABI number 200" in check(path, AMD64)[0].message


@pytest.mark.parametrize("arch", ["amd64", "386", "s390x", "mips"])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        ({"kind": ET_EXEC}, []),
        ({"kind": ET_DYN, "dynamic": (5, 6, 0)}, []),  # static-pie: a dynamic section that needs nothing
        ({"kind": ET_DYN, "dynamic": (5, 0, 1)}, []),  # what follows DT_NULL does not count
        ({"kind": ET_DYN, "interp": True, "dynamic": (1, 0)}, ["not-static"]),
        ({"kind": ET_EXEC, "interp": True}, ["not-static"]),
        ({"kind": ET_DYN, "dynamic": (5, 1, 0)}, ["not-static"]),
        ({"kind": ET_DYN, "dynamic": (5, 1)}, ["not-static"]),
        ({"kind": ET_REL}, ["not-linked"]),
        ({"kind": ET_CORE}, ["not-linked"]),
    ],
)
def test_static(make: dict[str, object], expected: list[str], arch: str, tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf(arch, **make))  # type: ignore[arg-type]  # the cases above are its keywords
    assert reasons(path, f"linux/{arch}", static=True) == expected
    assert reasons(path, f"linux/{arch}") == []


def test_all_problems_of_a_file_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf("arm64", osabi=9, interp=True, dynamic=(1, 0)))
    assert reasons(path, static=True) == ["wrong-machine", "wrong-osabi", "not-static"]
    assert (
        "PT_INTERP) and needs shared libraries (DT_NEEDED)"
        in check(path, Wanted(AMD64.platform, static=True))[2].message
    )


@pytest.mark.parametrize("platform", ["darwin/arm64", "windows/amd64"])
def test_elf_is_refused_for_systems_of_other_formats(platform: str, tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf())
    (problem,) = check(path, Wanted(Platform.parse(platform)))
    assert problem.reason == "wrong-format"
    assert platform in problem.message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"#!/bin/sh -e\necho\n", "is a script (/bin/sh -e)"),
        (b"#!/bin/\x1b[2J\n", "is a script ('/bin/\\x1b[2J')"),
        (b"#!", "is a script ()"),
        (b"\0asm\1\0\0\0", "WebAssembly"),
        (b"MZ" + b"\0" * 100, "DOS program"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"hello\n", "text file"),
        (b"\x7fEL", "unknown format (begins 7f 45 4c)"),
        (b"\0" * 200, "unknown format (begins 00 00 00 00)"),
    ],
)
def test_a_file_of_another_format_is_named(data: bytes, words: str, tmp_path: Path) -> None:
    (problem,) = check(write(tmp_path / "file", data), AMD64)
    assert problem.reason == "elf-foreign"
    assert words in problem.message
    assert "expected x86-64 ELF (linux/amd64)" in problem.message


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


DYNAMIC = elf(dynamic=(1, 0))
DYNAMIC_AT = 64 + 56  # of its program header


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DYNAMIC[:8], "header is cut off"),
        (DYNAMIC[:63], "header is cut off"),
        (elf("386")[:51], "header is cut off"),
        (DYNAMIC[:100], "program headers lie outside"),
        (DYNAMIC[:-1], "dynamic section lies outside"),
        (patched(DYNAMIC, 4, b"\x07"), "unknown class 7"),
        (patched(DYNAMIC, 5, b"\x00"), "byte order 0"),
        (patched(DYNAMIC, 6, b"\x09"), "version 9"),
        (patched(DYNAMIC, 32, b"\xff" * 8), "program headers lie outside"),
        (patched(DYNAMIC, 32, struct.pack("<Q", 1 << 63)), "program headers lie outside"),
        (patched(DYNAMIC, 54, b"\0\0"), "program headers of 0 bytes"),
        (patched(DYNAMIC, 54, b"\xff\xff"), "program headers of 65535 bytes"),
        (patched(DYNAMIC, 56, b"\xfe\xff"), "program headers lie outside"),
        (patched(DYNAMIC, 56, b"\xff\xff"), "more than 65534 program headers"),
        (patched(DYNAMIC, DYNAMIC_AT + 8, b"\xff" * 8), "dynamic section lies outside"),
        (patched(DYNAMIC, DYNAMIC_AT + 32, b"\xff" * 8), "a dynamic section of 18446744073709551615 bytes"),
        (patched(DYNAMIC, 64, DYNAMIC[DYNAMIC_AT : DYNAMIC_AT + 56]), "more than one dynamic section"),
    ],
)
def test_a_damaged_file_is_a_problem_that_says_where(data: bytes, words: str, tmp_path: Path) -> None:
    (problem,) = check(write(tmp_path / "file", data), AMD64)
    assert problem.reason == "elf-damaged"
    assert words in problem.message


def test_a_huge_dynamic_section_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(patched(DYNAMIC, DYNAMIC_AT + 32, struct.pack("<Q", 1 << 33)))
    os.truncate(path, 1 << 34)
    assert reasons(str(path)) == ["elf-damaged"]


@pytest.mark.parametrize("arch", ["amd64", "mips"])
def test_any_damage_is_a_value_and_never_another_exception(arch: str, tmp_path: Path) -> None:
    data = elf(arch, interp=True, dynamic=(5, 1, 0))
    chance = random.Random(arch)
    path = tmp_path / "file"
    outcomes = set()
    for cut in range(len(data)):
        outcomes.update(reasons(write(path, data[:cut]), f"linux/{arch}", static=True))
    for _ in range(1500):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(4, len(broken))] = chance.choice((0, 1, 2, 127, 128, 255, chance.randrange(256)))
        outcomes.update(reasons(write(path, bytes(broken)), f"linux/{arch}", static=True))
    assert outcomes == {"elf-foreign", "elf-damaged", "not-linked", "not-static", "wrong-machine", "wrong-osabi"}


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    told = {
        str(tmp_path): ("elf-not-file", "is a directory"),
        str(tmp_path / "fifo"): ("elf-not-file", "is a FIFO"),
        "/dev/null": ("elf-not-file", "is a device"),
        str(tmp_path / "missing"): ("elf-unreadable", "No such file or directory"),
        str(loop): ("elf-unreadable", "symbolic links"),
        "nul\0": ("elf-unreadable", "NUL"),
        "": ("elf-unreadable", "No such file or directory"),
    }
    for path, (reason, words) in told.items():
        (problem,) = check(path, AMD64)
        assert problem.reason == reason
        assert words in problem.message


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(tmp_path)  # a socket's path is at most 107 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        (problem,) = check("s", AMD64)
    assert (problem.reason, "socket" in problem.message) == ("elf-not-file", True)


def test_a_file_descriptor_stays_open(tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf("riscv64", interp=True))
    with open(path, "rb") as file:
        assert read_elf(file.fileno()).has_interpreter
        assert file.read(4) == b"\x7fELF"


def test_a_symlink_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "program", elf())
    (tmp_path / "link").symlink_to("program")
    assert reasons(str(tmp_path / "link")) == []


def run(*args: str, **env: str) -> tuple[int, str, list[str]]:
    return xx_verify.run(args, env, OsRelease(), "x86_64")


def test_all_files_are_checked_and_told(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good", elf("arm64")), write(tmp_path / "bad", elf("386"))
    status, out, lines = run(bad, good, str(tmp_path / "missing"), bad, TARGETPLATFORM="linux/arm64")
    assert (status, out) == (1, "")
    assert [line.split(":")[0] for line in lines] == [bad, str(tmp_path / "missing"), bad]
    assert run(good, good, TARGETPLATFORM="linux/arm64") == (0, "", [])


def test_without_a_target_the_machine_is_it(tmp_path: Path) -> None:
    assert run(write(tmp_path / "program", elf("amd64"))) == (0, "", [])
    assert run(write(tmp_path / "program", elf("arm64")))[0] == 1


def test_static_by_flag_and_by_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "program", elf(interp=True))
    assert run(path)[0] == 0
    assert run("--static", path)[0] == 1
    assert run(path, "--static")[0] == 1
    assert run(path, XX_VERIFY_STATIC="1")[0] == 1
    assert run(path, XX_VERIFY_STATIC="0")[0] == 0
    assert run(path, XX_VERIFY_STATIC="")[0] == 0


def test_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--version") == (0, f"xx-verify {__version__}", [])
    for flag in ("--help", "-h"):
        status, out, _ = run(flag)
        assert status == 0
        assert all(word in out for word in ("--static", "--help", "--version", "XX_VERIFY_STATIC", "TARGETPLATFORM"))
    assert run("--frob", "x")[0] == 2
    assert "'--frob'" in run("--frob", "x")[2][0]
    assert run()[::2] == (2, ["no file given", "Run xx-verify --help for the usage."])
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "--static", elf())
    assert run("--", "--static") == (0, "", [])


@pytest.mark.parametrize("platform", ["plan9/amd64", "windows/s390x", "linux/bogus"])
def test_a_target_that_cannot_be_checked_fails(platform: str, tmp_path: Path) -> None:
    status, _, lines = run(write(tmp_path / "program", elf()), TARGETPLATFORM=platform)
    assert status == 1
    assert len(lines) == 2


def test_a_name_with_control_characters_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (problem,) = check(f"{tmp_path}/\x1b[2J\n", AMD64)
    assert "\x1b" not in str(problem)
    assert "\n" not in str(problem)
    assert "\\x1b" in repr(problem)


def _process(*args: str | bytes, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xxpy.cli.xx_verify", *args]
    return subprocess.run(command, env={"PYTHONPATH": str(ROOT), **env}, capture_output=True, text=True, check=False)


def test_the_process_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "zstd", elf("arm64"))
    right = _process(path, TARGETPLATFORM="linux/arm64")
    assert (right.returncode, right.stdout, right.stderr) == (0, "", "")
    wrong = _process(path, os.fsencode(tmp_path / "x") + b"\xff", TARGETPLATFORM="linux/amd64")
    assert wrong.returncode == 1
    first, second = wrong.stderr.splitlines()
    assert first == f"xx-verify: {path}: is aarch64 ELF, expected x86-64 ELF (linux/amd64)"
    assert "No such file" in second
    assert _process("--help").stdout.startswith("usage: xx-verify")


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="no /bin/sh")
def test_the_shell_of_this_machine() -> None:
    host = Platform.host()
    assert check("/bin/sh", Wanted(host)) == []
    other = Platform("linux", "s390x" if host.arch != "s390x" else "amd64")
    (problem,) = check("/bin/sh", Wanted(other))
    assert problem.message == f"is {expected_name(host)}, expected {expected_name(other)} ({other})"
