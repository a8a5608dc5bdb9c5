"""The part of an ELF file that says what it runs on and whether it needs libraries.

Read here rather than with `file` or pyelftools: the stage may have neither, and the file may be anything. Every offset
and count is checked against the file before it is used, and no more than a few megabytes are read of any file.

Names and numbers are those of the System V ABI (gABI), chapters "Object Files" and "Dynamic Linking".
"""

from __future__ import annotations

import os
from struct import unpack_from

from xxpy.errors import XxError
from xxpy.verify.source import Source, open_regular, regular_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Order = Literal["little", "big"]

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
OSABI_NAMES = {0: "System V", 2: "NetBSD", 3: "Linux", 6: "Solaris", 9: "FreeBSD", 12: "OpenBSD", 97: "ARM"}

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_GNU_PROPERTY = 1, 2, 3, 4, 0x6474E553
DT_NEEDED = 1
_DT_NULL = 0
_PN_XNUM = 0xFFFF
# A program has some dozens of tags; 65536 are read of one that has more than it can use.
_MAX_DYNAMIC_BYTES = 1 << 20
_MAX_PATH = 4096
_WHAT = "ELF file"

MACHINE_NAMES: dict[tuple[int, int, Order], str] = {
    (62, 64, "little"): "x86-64",
    (62, 32, "little"): "x32",
    (3, 32, "little"): "i386",
    (40, 32, "little"): "arm",
    (40, 32, "big"): "big-endian arm",
    (183, 64, "little"): "aarch64",
    (183, 64, "big"): "big-endian aarch64",
    (243, 64, "little"): "riscv64",
    (243, 32, "little"): "riscv32",
    (20, 32, "big"): "ppc",
    (21, 64, "little"): "ppc64le",
    (21, 64, "big"): "ppc64",
    (22, 64, "big"): "s390x",
    (22, 32, "big"): "s390",
    (258, 64, "little"): "loongarch64",
    (258, 32, "little"): "loongarch32",
    (8, 32, "big"): "mips",
    (8, 32, "little"): "mipsel",
    (8, 64, "big"): "mips64",
    (8, 64, "little"): "mips64el",
    (2, 32, "big"): "sparc",
    (43, 64, "big"): "sparc64",
}
"""What people call a machine of this e_machine, class in bits and byte order."""

# How files that are not ELF begin, the longest first.
_OTHER_FORMATS = (
    (b"!<arch>\n", "a static library (ar archive)"),
    (b"!<thin>\n", "a static library (thin ar archive)"),
    (b"\0asm", "a WebAssembly module"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file"),
    (b"\xce\xfa\xed\xfe", "a Mach-O file"),
    (b"\xfe\xed\xfa\xcf", "a Mach-O file"),
    (b"\xfe\xed\xfa\xce", "a Mach-O file"),
    (b"\xca\xfe\xba\xbe", "a Mach-O universal file or a Java class"),
    (b"BC\xc0\xde", "LLVM bitcode"),
    (b"\x1f\x8b", "a gzip file"),
    (b"MZ", "a Windows (PE) or DOS program"),
)


class ElfHeader:
    """What an ELF file says of itself.

    ``machine`` is e_machine, ``bits`` 32 or 64, ``order`` the byte order, ``osabi`` EI_OSABI, ``kind`` e_type,
    ``flags`` e_flags. ``interpreter`` is the dynamic linker's path (PT_INTERP), empty without one.
    ``needs_libraries`` is whether a DT_NEEDED exists. ``segments`` are (p_type, offset, address, bytes in the file),
    ``dynamic`` the (tag, value) pairs of the dynamic section.
    """

    __slots__ = ("bits", "dynamic", "flags", "interpreter", "kind", "machine", "order", "osabi", "sections", "segments")

    def __init__(self, machine: int, bits: int, order: Order, osabi: int, kind: int) -> None:
        self.machine = machine
        self.bits = bits
        self.order: Order = order
        self.osabi = osabi
        self.kind = kind
        self.flags = 0
        self.interpreter = ""
        self.segments: list[tuple[int, int, int, int]] = []
        self.dynamic: list[tuple[int, int]] = []
        self.sections = (0, 0, 0)
        """Offset, count and entry size of the section headers."""

    @property
    def end(self) -> str:
        """The byte order as the struct module writes it."""
        return "<" if self.order == "little" else ">"

    @property
    def has_interpreter(self) -> bool:
        return any(kind == PT_INTERP for kind, _, _, _ in self.segments)

    @property
    def needs_libraries(self) -> bool:
        return any(tag == DT_NEEDED for tag, _ in self.dynamic)

    @property
    def machine_name(self) -> str:
        """As in `MACHINE_NAMES`; numbers for a combination that has no name."""
        name = MACHINE_NAMES.get((self.machine, self.bits, self.order))
        return name or f"machine {self.machine} ({self.bits}-bit {self.order}-endian)"

    @property
    def osabi_name(self) -> str:
        return OSABI_NAMES.get(self.osabi, f"number {self.osabi}")


def read_elf(file: str | os.PathLike[str] | int) -> ElfHeader:
    """Read the headers of a path (a symlink is followed) or of an open file descriptor, which stays open.

    Raises `XxError`, its message a predicate of the file ("is a directory, not a program"), its reason one of:
    ``elf-unreadable`` (missing, forbidden, an I/O error), ``elf-not-file`` (a directory, FIFO, device or socket; never
    waited on), ``elf-foreign`` (a regular file of another format), ``elf-damaged`` (cut off or contradicting itself).
    """
    try:
        if isinstance(file, int):
            return parse_elf(Source(file, regular_size(file), _WHAT))
        fd, size = open_regular(file)
        try:
            return parse_elf(Source(fd, size, _WHAT))
        finally:
            os.close(fd)
    except OSError as error:
        raise XxError(f"cannot be read: {error.strerror}", reason="elf-unreadable") from None


def parse_elf(source: Source) -> ElfHeader:
    """As `read_elf`, of a file or an archive's member."""
    head = source.head(64)
    if head[:4] != b"\x7fELF":
        raise XxError(f"is {describe(source, head)}, not an ELF file", reason="elf-foreign")
    source = Source(source.fd, source.size, _WHAT, source.base)
    if len(head) < 16:
        raise source.damaged("the ELF header is cut off")
    ei_class, ei_data, ei_version, osabi = head[4], head[5], head[6], head[7]
    if ei_class not in (1, 2) or ei_data not in (1, 2) or ei_version != 1:
        raise source.damaged(f"unknown class {ei_class}, byte order {ei_data} or version {ei_version}")
    bits = 32 if ei_class == 1 else 64
    if len(head) < (52 if bits == 32 else 64):
        raise source.damaged("the ELF header is cut off")
    end = "<" if ei_data == 1 else ">"
    kind, machine = unpack_from(f"{end}HH", head, 16)
    header = ElfHeader(machine, bits, "little" if ei_data == 1 else "big", osabi, kind)
    if bits == 32:
        phoff, shoff, header.flags = unpack_from(f"{end}III", head, 28)
        phentsize, phnum, shentsize, shnum = unpack_from(f"{end}HHHH", head, 42)
    else:
        phoff, shoff, header.flags = unpack_from(f"{end}QQI", head, 32)
        phentsize, phnum, shentsize, shnum = unpack_from(f"{end}HHHH", head, 54)
    header.sections = (shoff, shnum, shentsize)
    if phnum:
        _read_segments(source, header, phoff, phentsize, phnum)
    return header


def _read_segments(source: Source, header: ElfHeader, phoff: int, phentsize: int, phnum: int) -> None:
    wide = header.bits == 64
    end = header.end
    if phnum == _PN_XNUM:
        raise source.damaged("more than 65534 program headers")
    if phentsize != (56 if wide else 32):
        raise source.damaged(f"program headers of {phentsize} bytes")
    table = source.bytes_at(phoff, phentsize * phnum, "the program headers")
    dynamic: tuple[int, int] | None = None
    for at in range(0, len(table), phentsize):
        if wide:
            kind, _, offset, address, _, filesz = unpack_from(f"{end}IIQQQQ", table, at)
        else:
            kind, offset, address, _, filesz = unpack_from(f"{end}IIIII", table, at)
        header.segments.append((kind, offset, address, filesz))
        if kind == PT_INTERP and 0 < filesz <= _MAX_PATH and offset + filesz <= source.size:
            path = source.bytes_at(offset, filesz, "the path of the dynamic linker")
            header.interpreter = path.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        elif kind == PT_DYNAMIC and filesz:  # filesz is 0 where a debug file has the segment and not its bytes.
            if dynamic is not None:
                raise source.damaged("more than one dynamic section")
            dynamic = (offset, filesz)
    if dynamic is not None:
        if dynamic[1] > _MAX_DYNAMIC_BYTES:
            raise source.damaged(f"a dynamic section of {dynamic[1]} bytes")
        section = source.bytes_at(*dynamic, "the dynamic section")
        header.dynamic = _tags(section, f"{end}qQ" if wide else f"{end}iI", 16 if wide else 8)


def _tags(section: bytes, entry: str, entry_size: int) -> list[tuple[int, int]]:
    found = []
    for at in range(0, len(section) - entry_size + 1, entry_size):
        tag, value = unpack_from(entry, section, at)
        if tag == _DT_NULL:
            break
        found.append((tag, value))
    return found


def describe(source: Source, head: bytes) -> str:
    """What a file that is not ELF is, with its article."""
    if not head:
        return "empty"
    if head.startswith(b"#!"):
        line = source.head(256)[2:].split(b"\n", 1)[0].strip().decode("utf-8", "backslashreplace")
        return f"a script ({line if line.isprintable() else ascii(line)})"
    for magic, name in _OTHER_FORMATS:
        if head.startswith(magic):
            return name
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "a text file"
    return f"data of an unknown format (begins {head[:4].hex(' ')})"
