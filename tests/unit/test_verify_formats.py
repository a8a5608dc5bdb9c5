"""xx-verify beyond ELF headers: other formats, what a program needs of its machine and system, folders, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from binaries import Elf, archive, arm, coff, fat, macho, pe, x86_needs

from xxpy.cli import xx_verify
from xxpy.errors import XxError
from xxpy.info.osrelease import OsRelease
from xxpy.platforms import Platform
from xxpy.verify.check import Wanted, check, require_supported

DEBIAN = OsRelease("debian", "13", (), "trixie")
WASM = b"\0asm\x01\0\0\0"
GNU_ARM64 = "/lib/ld-linux-aarch64.so.1"


def reasons(data: bytes, platform: str, folder: Path, **wanted: object) -> list[str]:
    path = folder / "file"
    path.write_bytes(data)
    target = Platform("wasi", "wasm") if platform == "wasi/wasm" else Platform.parse(platform)
    return [problem.reason for problem in check(path, Wanted(target, **wanted))]  # type: ignore[arg-type]


AMD64, ARM64 = 0x01000007, 0x0100000C


@pytest.mark.parametrize(
    ("data", "platform", "expected"),
    [
        (macho(), "darwin/arm64", []),
        (macho(AMD64), "darwin/arm64", ["wrong-machine"]),
        (macho(system=None), "darwin/arm64", []),
        (macho(system=2), "darwin/arm64", ["wrong-system"]),
        (macho(kind=1), "darwin/arm64", []),
        (fat((AMD64, macho(AMD64)), (ARM64, macho())), "darwin/arm64", []),
        (fat((AMD64, macho(AMD64))), "darwin/arm64", ["wrong-machine"]),
        (fat((ARM64, b"nothing of the kind")), "darwin/arm64", ["file-damaged"]),
        (macho(), "linux/arm64", ["elf-foreign"]),
        (macho()[:20], "darwin/arm64", ["file-damaged"]),
        (pe(), "windows/amd64", []),
        (pe(0xAA64), "windows/arm64", []),
        (pe(0x14C), "windows/amd64", ["wrong-machine"]),
        (pe(), "linux/amd64", ["elf-foreign"]),
        (pe(), "darwin/amd64", ["elf-foreign"]),
        (coff(), "windows/amd64", []),
        (coff(0x14C), "windows/amd64", ["wrong-machine"]),
        (WASM, "wasi/wasm", []),
        (WASM, "linux/amd64", ["elf-foreign"]),
        (Elf().data(), "wasi/wasm", ["wrong-format"]),
        (b"\0asm\x07\0\0\0", "wasi/wasm", ["file-damaged"]),
    ],
)
def test_formats(data: bytes, platform: str, expected: list[str], tmp_path: Path) -> None:
    if expected == ["elf-foreign"] and not platform.startswith("linux"):
        expected = ["wrong-format"] if data[:2] != b"MZ" else reasons(data, platform, tmp_path)
    assert reasons(data, platform, tmp_path) == expected


def test_archives_are_checked_member_by_member(tmp_path: Path) -> None:
    good, bad = Elf(183, kind=1).data(), Elf(62, kind=1).data()
    assert reasons(archive(("a.o", good), ("b.o", good)), "linux/arm64", tmp_path) == []
    assert reasons(archive(("a.o", good), ("b.o", bad)), "linux/arm64", tmp_path) == ["wrong-machine"]
    path = tmp_path / "lib.a"
    path.write_bytes(archive(("a.o", good), ("x.o", bad), ("y.o", bad)))
    (problem,) = check(path, Wanted(Platform.parse("linux/arm64")))
    assert problem.message.startswith("member x.o is x86-64 ELF, expected aarch64 ELF (linux/arm64)")
    assert problem.message.endswith("so do 1 more of its 3 members")
    # What is no object file, such as Rust's metadata, says nothing.
    assert reasons(archive(("lib.rmeta", b"rust"), ("a.o", good)), "linux/arm64", tmp_path) == []
    assert reasons(archive(("a.o", coff())), "windows/amd64", tmp_path) == []
    assert reasons(archive(("a.o", macho(kind=1))), "darwin/arm64", tmp_path) == []
    assert reasons(b"!<thin>\n", "linux/arm64", tmp_path) == ["archive-thin"]
    assert reasons(archive(("a.o", good))[:-100], "linux/arm64", tmp_path) == ["file-damaged"]
    assert reasons(archive(("a.o", good)), "linux/arm64", tmp_path, static=True) == ["not-linked"]


@pytest.mark.parametrize(
    ("dlls", "expected"),
    [
        (("KERNEL32.dll", "api-ms-win-crt-runtime-l1-1-0.dll", "msvcrt.dll"), []),
        (("KERNEL32.dll", "libwinpthread-1.dll"), ["not-static"]),
        (("libgcc_s_seh-1.dll", "libstdc++-6.dll"), ["not-static"]),
    ],
)
def test_static_on_windows(dlls: tuple[str, ...], expected: list[str], tmp_path: Path) -> None:
    assert reasons(pe(dlls=dlls), "windows/amd64", tmp_path, static=True) == expected
    assert reasons(pe(dlls=dlls), "windows/amd64", tmp_path) == []


def test_static_has_no_meaning_on_darwin(tmp_path: Path) -> None:
    with pytest.raises(XxError) as caught:
        require_supported(Wanted(Platform.parse("darwin/arm64"), static=True))
    assert caught.value.reason == "static-meaningless"
    path = tmp_path / "file"
    path.write_bytes(macho())
    assert run("--static", str(path), TARGETPLATFORM="darwin/arm64")[0] == 1
    # The variable is for Dockerfiles that build for several systems.
    assert run(str(path), TARGETPLATFORM="darwin/arm64", XX_VERIFY_STATIC="1")[0] == 0


@pytest.mark.parametrize(
    ("made", "platform", "expected"),
    [
        (arm(10, True), "linux/arm/v7", []),
        (arm(10, True), "linux/arm/v6", ["wrong-level"]),
        (arm(10, False), "linux/arm/v5", ["wrong-level"]),
        (arm(5, False), "linux/arm/v5", []),
        (arm(4, True), "linux/arm/v5", ["wrong-float"]),
        (arm(9, True), "linux/arm/v6", []),
        (arm(14, True), "linux/arm/v7", ["wrong-level"]),
        (arm(14, True), "linux/arm/v8", []),
        (arm(4, False, libraries=["libc.so.6"]), "linux/arm/v7", ["wrong-float"]),
        (arm(4, False), "linux/arm/v7", []),
        (arm(4, None, interpreter="/lib/ld-linux.so.3"), "linux/arm/v7", ["wrong-float"]),
        (arm(4, None, interpreter="/lib/ld-linux-armhf.so.3"), "linux/arm/v5", ["wrong-float"]),
        (Elf(40, 32, flags=0x5000400), "linux/arm/v5", ["wrong-float"]),
        (Elf(40, 32, flags=0x5000400), "linux/arm/v7", []),
    ],
)
def test_arm(made: Elf, platform: str, expected: list[str], tmp_path: Path) -> None:
    assert reasons(made.data(), platform, tmp_path) == expected


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_x86_levels(level: int, tmp_path: Path) -> None:
    for target in (1, 2, 3, 4):
        platform = "linux/amd64" if target == 1 else f"linux/amd64/v{target}"
        expected = ["wrong-level"] if level > target else []
        assert reasons(x86_needs(level).data(), platform, tmp_path) == expected


def test_the_c_library_of_the_loader(tmp_path: Path) -> None:
    made = Elf(183)
    made.interpreter = GNU_ARM64
    assert reasons(made.data(), "linux/arm64", tmp_path, libc="gnu") == []
    assert reasons(made.data(), "linux/arm64", tmp_path, libc="musl") == ["wrong-libc"]
    assert reasons(made.data(), "linux/arm64", tmp_path) == []
    made.interpreter = "/nix/store/x/ld-linux-aarch64.so.1"
    assert reasons(made.data(), "linux/arm64", tmp_path, libc="musl") == []


def test_max_glibc(tmp_path: Path) -> None:
    made = Elf(183)
    made.libraries = ["libc.so.6"]
    made.versions = [
        ("libc.so.6", "GLIBC_2.17"),
        ("libc.so.6", "GLIBC_2.34"),
        ("libm.so.6", "GLIBC_2.4"),
        ("x", "GLIBC_PRIVATE"),
    ]
    assert reasons(made.data(), "linux/arm64", tmp_path, max_glibc=(2, 34)) == []
    assert reasons(made.data(), "linux/arm64", tmp_path, max_glibc=(2, 31)) == ["glibc-too-new"]
    path = tmp_path / "file"
    done = run("--max-glibc=2.31", str(path), TARGETPLATFORM="linux/arm64")
    assert done[2] == [f"{path}: needs glibc 2.34 (GLIBC_2.34 of libc.so.6), expected 2.31 at most"]
    assert run("--max-glibc", "new", str(path))[0] == 2


def test_bsd_programs_by_their_note(tmp_path: Path) -> None:
    made = Elf().note("NetBSD", 1, b"\0\0\0\0")
    assert reasons(made.data(), "netbsd/amd64", tmp_path) == []
    assert reasons(made.data(), "linux/amd64", tmp_path) == ["wrong-osabi"]
    assert reasons(Elf().data(), "netbsd/amd64", tmp_path) == ["wrong-osabi"]
    assert reasons(Elf(kind=1).data(), "openbsd/amd64", tmp_path) == []


def run(*args: str, **env: str) -> tuple[int, str, list[str]]:
    return xx_verify.run(args, env, DEBIAN, "x86_64")


def library(machine: int, name: str = "", *needs: str) -> bytes:
    made = Elf(machine, kind=3)
    made.libraries = [*needs]
    return made.data()


def test_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in ("lib/aarch64-linux-gnu", "usr/lib", "etc/ld.so.conf.d", "opt/own", "app/lib"):
        (root / folder).mkdir(parents=True)
    program = Elf(183)
    program.interpreter, program.libraries, program.runpath = (
        GNU_ARM64,
        ["libc.so.6", "liba.so", "libown.so"],
        "$ORIGIN/lib",
    )
    (root / "app/tool").write_bytes(program.data())
    args = ("--root", str(root), str(root / "app/tool"))
    found = run(*args, TARGETPLATFORM="linux/arm64")[2]
    assert [line.split(": ", 1)[1].split(" is not")[0] for line in found] == [
        f"its dynamic linker {GNU_ARM64}", "libc.so.6", "liba.so", "libown.so",
    ]  # fmt: skip
    (root / "lib/ld-linux-aarch64.so.1").symlink_to("/lib/aarch64-linux-gnu/ld.so")
    (root / "lib/aarch64-linux-gnu/ld.so").write_bytes(library(183))
    (root / "lib/aarch64-linux-gnu/libc.so.6").write_bytes(library(183, "", "ld-linux-aarch64.so.1"))
    (root / "app/lib/liba.so").write_bytes(library(183, "", "libb.so"))
    (root / "opt/own/libown.so").write_bytes(library(62))
    (root / "etc/ld.so.conf").write_text("include /etc/ld.so.conf.d/*.conf\n")
    (root / "etc/ld.so.conf.d/own.conf").write_text("/opt/own # ours\n")
    found = run(*args, TARGETPLATFORM="linux/arm64")[2]
    assert len(found) == 2
    assert "libown.so is there for another architecture alone: /opt/own/libown.so is x86-64" in found[0]
    assert "libb.so, which liba.so needs, is not in" in found[1]
    (root / "opt/own/libown.so").write_bytes(library(183))
    (root / "usr/lib/libb.so").symlink_to("../../../../../../app/lib/liba.so")
    assert run(*args, TARGETPLATFORM="linux/arm64") == (0, "", [])
    assert run("--root", str(tmp_path / "none"), "x")[0] == 2


def test_folders_and_json(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/good").write_bytes(Elf(183).data())
    (tmp_path / "a/bad").write_bytes(Elf(62).data())
    (tmp_path / "a/script").write_text("#!/bin/sh\n")
    (tmp_path / "a/data").write_bytes(b"\x89PNG")
    (tmp_path / "a/Main.class").write_bytes(b"\xca\xfe\xba\xbe\0\0\0\x3d")
    (tmp_path / "a/link").symlink_to("/bin/sh")
    status, out, _ = run("--json", str(tmp_path / "a"), TARGETPLATFORM="linux/arm64")
    rows = json.loads(out)
    assert status == 1
    assert [(Path(row["file"]).name, row["ok"]) for row in rows] == [("good", True), ("bad", False)]
    assert rows[1]["problems"][0]["reason"] == "wrong-machine"
    # A file that is named is never passed over, and a folder without any binary proves nothing.
    assert run(str(tmp_path / "a/script"), TARGETPLATFORM="linux/arm64")[0] == 1
    (tmp_path / "empty").mkdir()
    assert "holds no program" in run(str(tmp_path / "empty"))[2][0]


def test_upstreams_setup_does_nothing(tmp_path: Path) -> None:
    assert run("--setup") == (0, "", [])
    path = tmp_path / "file"
    path.write_bytes(Elf().data())
    assert run("--setup", str(path)) == (0, "", [])


def test_wasi_in_each_of_its_names(tmp_path: Path) -> None:
    path = tmp_path / "x.wasm"
    path.write_bytes(WASM)
    for env in (
        {"TARGETPLATFORM": "wasi/wasm"},
        {"TARGETOS": "wasip1", "TARGETARCH": "wasm"},
        {"TARGETPAIR": "wasi-wasm"},
    ):
        assert run(str(path), **env) == (0, "", [])
        assert run("--static", str(path), **env) == (0, "", [])
