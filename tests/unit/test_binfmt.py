from __future__ import annotations

import struct

import pytest

from xxpy.build.engine.binfmt import ELF_KINDS, magic_and_mask, registration_line
from xxpy.platforms import ELF_MACHINE, QEMU


def header(arch: str, kind: int = 2, osabi: int = 0, flags: int = 0) -> bytes:
    """The begin of an ELF file, written field by field as the gABI lays it out."""
    one = ELF_KINDS[arch]
    end = "<" if one.order == "little" else ">"
    ident = bytes([0x7F, 69, 76, 70, one.bits // 32, 1 if one.order == "little" else 2, 1, osabi, 5]) + bytes(7)
    address = "I" if one.bits == 32 else "Q"
    return ident + struct.pack(f"{end}HHI3{address}I", kind, one.machine, 1, 0, 0, 0, flags)


def matches(arch: str, program: bytes) -> bool:
    """As the kernel's search_binfmt_handler compares."""
    magic, mask = magic_and_mask(arch)
    return all((have ^ want) & bits == 0 for have, want, bits in zip(program, magic, mask, strict=False))


def test_every_architecture_that_can_be_a_target_has_a_line() -> None:
    assert set(ELF_KINDS) >= set(QEMU.values())
    assert {arch: ELF_KINDS[QEMU[arch]].machine for arch in QEMU} == dict(ELF_MACHINE)


@pytest.mark.parametrize("arch", ELF_KINDS)
def test_programs_match_their_own_architecture_alone(arch: str) -> None:
    for kind, osabi in ((2, 0), (3, 0), (3, 3)):
        assert [one for one in ELF_KINDS if matches(one, header(arch, kind, osabi))] == [arch]


@pytest.mark.parametrize("kind", [0, 1, 4])
def test_object_files_and_cores_do_not_match(kind: int) -> None:
    assert not matches("aarch64", header("aarch64", kind))


def test_mips_n32_is_not_taken_for_o32() -> None:
    assert matches("mipsel", header("mipsel", flags=0x1007))
    assert not matches("mipsel", header("mipsel", flags=0x1027))
    assert not matches("mips", header("mips", flags=0x1027))


def test_the_line_has_the_kernels_format() -> None:
    assert registration_line("aarch64", "/usr/bin/qemu-aarch64-static") == (
        rb":qemu-aarch64:M:0:\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
        rb":\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff"
        rb":/usr/bin/qemu-aarch64-static:FP"
    )


def test_a_path_with_the_separator_gets_another() -> None:
    assert registration_line("arm", "/a:b/qemu", "F").endswith(b"|/a:b/qemu|F")


@pytest.mark.parametrize("path", ["/a\nb", "/" + "x" * 1900, "/:|,;!"])
def test_a_path_that_no_line_can_hold_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="binfmt_misc cannot be given the path"):
        registration_line("arm", path)
