"""What the kernel is told so that it starts QEMU for another architecture's programs.

One line for each architecture, written to ``register`` of a binfmt_misc instance: the kernel compares the first bytes
of a program with ``magic`` where ``mask`` has bits. The bytes are computed here from the fields of the ELF header
rather than copied as hex strings, so that each can be read and checked.

Sources: Documentation/admin-guide/binfmt-misc.rst of the kernel; the System V gABI, chapter "Object Files"; EM_ and
EF_ numbers of binutils' include/elf.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_MAX_LINE = 1920
"""MAX_REGISTER_LENGTH of the kernel's fs/binfmt_misc.c, in bytes."""

_EF_MIPS_ABI2 = 0x20


@dataclass(frozen=True)
class ElfKind:
    """What tells an architecture's programs from all others: e_machine, class in bits, byte order.

    ``no_flags`` are bits of e_flags that its programs do not have.
    """

    machine: int
    bits: Literal[32, 64]
    order: Literal["little", "big"]
    no_flags: int = 0


ELF_KINDS: Mapping[str, ElfKind] = {
    "aarch64": ElfKind(183, 64, "little"),
    "arm": ElfKind(40, 32, "little"),
    "i386": ElfKind(3, 32, "little"),
    "x86_64": ElfKind(62, 64, "little"),
    "ppc64": ElfKind(21, 64, "big"),
    "ppc64le": ElfKind(21, 64, "little"),
    "s390x": ElfKind(22, 64, "big"),
    "riscv64": ElfKind(243, 64, "little"),
    "loongarch64": ElfKind(258, 64, "little"),
    # EF_MIPS_ABI2 marks n32 programs, which qemu-mips does not run (qemu-mipsn32 does).
    "mips": ElfKind(8, 32, "big", no_flags=_EF_MIPS_ABI2),
    "mipsel": ElfKind(8, 32, "little", no_flags=_EF_MIPS_ABI2),
    "mips64": ElfKind(8, 64, "big"),
    "mips64el": ElfKind(8, 64, "little"),
}
"""By QEMU's name of the architecture, as `xxpy.platforms.QEMU` has it."""


def magic_and_mask(arch: str) -> tuple[bytes, bytes]:
    """The bytes from offset 0 that programs of ``arch`` have, and the bits of them that count.

    EI_OSABI, EI_ABIVERSION and the padding do not count: Go, glibc and others fill them differently. e_type is
    ET_EXEC or ET_DYN (2 or 3), so its lowest bit does not count either. Raises KeyError for an unknown ``arch``.
    """
    kind = ELF_KINDS[arch]
    end = "<" if kind.order == "little" else ">"
    ident = b"\x7fELF" + bytes([1 if kind.bits == 32 else 2, 1 if kind.order == "little" else 2, 1])
    magic = ident.ljust(16, b"\0") + struct.pack(f"{end}HH", 2, kind.machine)
    mask = b"\xff" * len(ident) + b"\0" * (16 - len(ident)) + struct.pack(f"{end}HH", 0xFFFE, 0xFFFF)
    if kind.no_flags:
        flags_at = 36 if kind.bits == 32 else 48
        magic = magic.ljust(flags_at + 4, b"\0")
        mask = mask.ljust(flags_at, b"\0") + struct.pack(f"{end}I", kind.no_flags)
    return magic, mask


def registration_line(arch: str, interpreter: str, flags: str = "FP") -> bytes:
    """The line for ``register`` that has ``interpreter`` run programs of ``arch``; its entry is named ``qemu-ARCH``.

    Flag F opens the interpreter now, so that it need not exist in the step's root; P hands the program its own argv[0].
    The fields are separated by a character that ``interpreter`` does not have. ``arch`` must not be the architecture
    that ``interpreter`` itself is built for: the kernel would start it by itself without end (ELOOP).
    Raises KeyError for an unknown ``arch``, ValueError for a path that no line can hold: too long, or with a newline.
    """
    magic, mask = magic_and_mask(arch)
    separator = next((mark for mark in ":|,;!" if mark not in interpreter), "")
    if not separator or "\n" in interpreter:
        raise ValueError(f"binfmt_misc cannot be given the path {interpreter!r}")
    fields = ["", f"qemu-{arch}", "M", "0", _escaped(magic), _escaped(mask), interpreter, flags]
    line = separator.join(fields).encode("utf-8", "surrogateescape")
    if len(line) > _MAX_LINE:
        raise ValueError(f"binfmt_misc cannot be given the path {interpreter!r}: it is too long")
    return line


def _escaped(data: bytes) -> str:
    # All bytes, not only the unprintable: a separator or a backslash among them would end the field.
    return "".join(f"\\x{byte:02x}" for byte in data)
