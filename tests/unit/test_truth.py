"""What is found in an image's files: on small roots of made-up ELF files, without a namespace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from binaries import Elf, archive

from xxpy.build.engine.truth import Looker, find_binaries
from xxpy.platforms import Platform
from xxpy.verify.elf import ET_DYN, ET_EXEC, ET_REL
from xxpy.verify.root import Root

AMD64 = Platform.parse("linux/amd64")
LOADER = "/lib64/ld-linux-x86-64.so.2"
X86, ARM64, I386, BPF, ARM = (62, 64), (183, 64), (3, 32), (247, 64), (40, 32)


def elf(machine: tuple[int, int] = X86, *libraries: str, loader: str = "", kind: int = ET_DYN) -> bytes:
    made = Elf(*machine, kind=kind)
    made.libraries, made.interpreter = list(libraries), loader
    return made.data()


def reasons(folder: Path, files: dict[str, bytes], extra: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """The reasons by path of what is wrong with ``files`` in the image at ``folder``."""
    for path, data in files.items():
        (folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (folder / path[1:]).write_bytes(data)
    looker = Looker(Root(str(folder), "the image", extra), AMD64)
    for path in sorted(find_binaries(str(folder))):
        looker.look("s", path)
    found: dict[str, list[str]] = {}
    for snapshot, path, message, reason in looker.found():
        assert snapshot == "s" and str(folder) not in message
        found.setdefault(path, []).append(reason)
    return found


def test_binaries_are_found_by_how_they_begin(tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    for name, data in {"d/e/x": elf(), "lib.a": archive(("a.o", elf())), "text": b"#!/bin/sh", "short": b"\x7fELF",
                       "empty": b""}.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to("d/e/x")
    (tmp_path / "out").symlink_to("/usr/bin")
    os.mkfifo(tmp_path / "fifo")
    assert sorted(find_binaries(str(tmp_path))) == ["/d/e/x", "/lib.a"]


def test_another_architecture(tmp_path: Path) -> None:
    found = reasons(tmp_path, {
        "/bin/right": elf(), "/bin/wrong": elf(ARM64), "/bin/old": elf(I386), "/lib/arm.so": elf(ARM),
        "/lib/bpf.o": elf(BPF, kind=ET_REL), "/lib/gpu.co": elf((224, 64)), "/lib/x.o": elf(ARM64, kind=ET_REL),
        "/lib/libx.a": archive(("a.o", elf(ARM64, kind=ET_REL)), ("b.o", elf(ARM64, kind=ET_REL))),
        "/lib/liby.a": archive(("a.o", elf(kind=ET_REL))), "/lib/libz.a": archive(("a.o", elf(I386, kind=ET_REL))),
        "/share/ppc": Elf(20, 32, ">").data(), "/go/src/elf/testdata/arm": elf(ARM64, kind=ET_EXEC, loader="/lib/x"),
    })  # fmt: skip
    assert found == {
        "/bin/wrong": ["wrong-machine"],
        "/lib/arm.so": ["wrong-machine"],
        "/lib/x.o": ["wrong-object"],
        "/lib/libx.a": ["wrong-object"],
        "/go/src/elf/testdata/arm": ["wrong-object"],
    }


def test_a_program_that_nobody_may_execute_is_data(tmp_path: Path) -> None:
    """As the examples in debuggers' tests; a library needs no such permission."""
    files = {"/t/exec": elf(ARM64, kind=ET_EXEC), "/t/dynamic": elf(ARM64, loader="/lib/x"), "/t/lib.so": elf(ARM64)}
    assert reasons(tmp_path, files) == {
        "/t/exec": ["wrong-object"],
        "/t/dynamic": ["wrong-object"],
        "/t/lib.so": ["wrong-machine"],
    }
    for path in tmp_path.glob("t/*"):
        path.chmod(0o755)
    assert set(map(tuple, reasons(tmp_path, {}).values())) == {("wrong-machine",)}


def test_loaders_and_libraries(tmp_path: Path) -> None:
    found = reasons(tmp_path, {
        LOADER: elf(), "/lib/libc.so.6": elf(), "/usr/lib/libz.so.1": elf(X86, "libc.so.6", "libgone.so.1"),
        "/bin/right": elf(X86, "libc.so.6", loader=LOADER),
        "/bin/musl": elf(X86, loader="/lib/ld-musl-x86_64.so.1"),
        "/bin/lacks": elf(X86, "libc.so.6", "libq.so.1", loader=LOADER),
        "/opt/here/x": elf(X86, "$ORIGIN/../lib/l.so", loader=LOADER), "/opt/lib/l.so": elf(),
        "/lib/libw.so": elf(ARM64), "/bin/beside": elf(X86, "libw.so", loader=LOADER),
    })  # fmt: skip
    assert found == {
        "/bin/musl": ["no-loader"],
        "/bin/lacks": ["no-library"],
        "/usr/lib/libz.so.1": ["no-library"],
        "/bin/beside": ["wrong-library"],
        "/lib/libw.so": ["wrong-machine"],
    }


def test_a_library_somewhere_else(tmp_path: Path) -> None:
    """A program's loader does not look there; a library may be loaded by what has loaded the other already."""
    files = {
        LOADER: elf(), "/opt/jvm/server/libjvm.so": elf(), "/opt/jvm/libjava.so": elf(X86, "libjvm.so"),
        "/opt/bin/java": elf(X86, "libjvm.so", loader=LOADER), "/opt/other/libjvm.so": elf(ARM64, kind=ET_REL),
    }  # fmt: skip
    assert reasons(tmp_path, files)["/opt/bin/java"] == ["no-library"]
    assert "/opt/jvm/libjava.so" not in reasons(tmp_path, files)
    # LD_LIBRARY_PATH of the image's config.
    assert "/opt/bin/java" not in reasons(tmp_path, files, ("/opt/jvm/server",))
    looker = Looker(Root(str(tmp_path)), AMD64)
    looker.look("s", "/opt/bin/java")
    assert "is at /opt/jvm/server/libjvm.so, where its dynamic linker does not look" in looker.found()[0][2]


def test_what_a_bundle_with_its_own_linker_gets_is_one_line(tmp_path: Path) -> None:
    """It is started by its linker's path; its libraries are where that finds them."""
    found = reasons(tmp_path, {
        "/x/ld.so": elf(), "/x/libc.so.6": elf(X86, "ld-linux-x86-64.so.2", loader=LOADER),
        "/x/program": elf(X86, "libc.so.6", "ld-linux-x86-64.so.2", loader=LOADER),
    })  # fmt: skip
    assert found == {"/x/program": ["no-loader"]}


def test_packages_for_several_platforms(tmp_path: Path) -> None:
    found = reasons(tmp_path, {
        "/a/prebuilds/linux-x64/node.glibc.node": elf(), "/a/prebuilds/linux-arm64/node.armv8.node": elf(ARM64),
        "/b/runtimes/linux-x64/native/x.so": elf(), "/b/runtimes/linux-arm64/native/x.so": elf(ARM64),
        "/b/runtimes/linux-arm/native/x.so": elf(ARM), "/b/runtimes/linux-arm64/native/alone.so": elf(ARM64),
        "/c/prebuilds/linux-arm64/x.node": elf(ARM64), "/c/prebuilds/linux-x64/x.node": elf(ARM64),
    })  # fmt: skip
    assert sorted(found) == [
        "/b/runtimes/linux-arm64/native/alone.so",
        "/c/prebuilds/linux-arm64/x.node",
        "/c/prebuilds/linux-x64/x.node",
    ]


def test_a_level_that_the_folder_is_for(tmp_path: Path) -> None:
    from binaries import x86_needs

    high = x86_needs(3).data()
    assert reasons(tmp_path, {"/lib/glibc-hwcaps/x86-64-v3/libx.so": high, "/lib/liby.so": high}) == {
        "/lib/liby.so": ["wrong-level"]
    }


def test_a_link_that_took_a_files_place_is_not_followed_out_of_the_image(tmp_path: Path) -> None:
    image, outside = tmp_path / "image", tmp_path / "outside"
    outside.mkdir()
    image.mkdir()
    (outside / "tool").write_bytes(elf(ARM64))
    (image / "opt").symlink_to(outside)
    (image / "tool").symlink_to(outside / "tool")
    looker = Looker(Root(str(image)), AMD64)
    for path in ("/opt/tool", "/tool", "/gone", "/opt/../../outside/tool"):
        looker.look("s", path)
    assert looker.found() == []


@pytest.mark.parametrize("cut", [64, 100, 300, 400])
def test_a_damaged_file_is_told_and_no_more(tmp_path: Path, cut: int) -> None:
    found = reasons(tmp_path, {"/x": elf(X86, "libc.so.6", loader=LOADER)[:cut].ljust(64, b"\0")})
    assert set(found.get("/x", [])) <= {"elf-damaged", "no-loader", "no-library", "file-damaged"}
    assert found
