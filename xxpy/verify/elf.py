"""The part of an ELF file that says what it runs on and whether it needs libraries.

Read here rather than with `file` or pyelftools: the stage may have neither, and the file may be anything. Every offset
and count is checked against the file before it is used, and no more than a few megabytes are read of any file.

Names and numbers are those of the System V ABI (gABI), chapters "Object Files" and "Dynamic Linking".
"""

from __future__ import annotations

import os
import stat
from struct import unpack_from

from xxpy.errors import XxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Order = Literal["little", "big"]

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
OSABI_NAMES = {0: "System V", 2: "NetBSD", 3: "Linux", 6: "Solaris", 9: "FreeBSD", 12: "OpenBSD", 97: "ARM"}

_PT_DYNAMIC, _PT_INTERP = 2, 3
_DT_NULL, _DT_NEEDED = 0, 1
_PN_XNUM = 0xFFFF
_MAX_DYNAMIC_BYTES = 4 << 20

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

    ``machine`` is e_machine, ``bits`` 32 or 64, ``order`` the byte order, ``osabi`` EI_OSABI, ``kind`` e_type.
    ``has_interpreter`` is whether a PT_INTERP names a dynamic linker, ``needs_libraries`` whether a DT_NEEDED exists.
    """

    __slots__ = ("bits", "has_interpreter", "kind", "machine", "needs_libraries", "order", "osabi")

    def __init__(self, machine: int, bits: int, order: Order, osabi: int, kind: int) -> None:
        self.machine = machine
        self.bits = bits
        self.order: Order = order
        self.osabi = osabi
        self.kind = kind
        self.has_interpreter = False
        self.needs_libraries = False

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
    if isinstance(file, int):
        return _read_fd(file)
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if _is_special(file):
            raise XxError("is a device or a socket, not a program", reason="elf-not-file") from None
        raise XxError(f"cannot be read: {error.strerror}", reason="elf-unreadable") from None
    except ValueError:
        raise XxError("cannot be read: the name has a NUL character", reason="elf-unreadable") from None
    try:
        return _read_fd(fd)
    finally:
        os.close(fd)


def _is_special(path: str | os.PathLike[str]) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _read_fd(fd: int) -> ElfHeader:
    try:
        info = os.fstat(fd)
        if stat.S_ISDIR(info.st_mode):
            raise XxError("is a directory, not a program", reason="elf-not-file")
        if not stat.S_ISREG(info.st_mode):
            what = "FIFO" if stat.S_ISFIFO(info.st_mode) else "device or a socket"
            raise XxError(f"is a {what}, not a program", reason="elf-not-file")
        return _read(fd, info.st_size)
    except OSError as error:
        raise XxError(f"cannot be read: {error.strerror}", reason="elf-unreadable") from None


def _read(fd: int, size: int) -> ElfHeader:
    head = os.pread(fd, 64, 0)
    if head[:4] != b"\x7fELF":
        raise XxError(f"is {_describe(fd, head)}, not an ELF file", reason="elf-foreign")
    if len(head) < 16:
        raise _damaged("the ELF header is cut off")
    ei_class, ei_data, ei_version, osabi = head[4], head[5], head[6], head[7]
    if ei_class not in (1, 2) or ei_data not in (1, 2) or ei_version != 1:
        raise _damaged(f"unknown class {ei_class}, byte order {ei_data} or version {ei_version}")
    bits = 32 if ei_class == 1 else 64
    if len(head) < (52 if bits == 32 else 64):
        raise _damaged("the ELF header is cut off")
    order: Order = "little" if ei_data == 1 else "big"
    end = "<" if order == "little" else ">"
    kind, machine = unpack_from(f"{end}HH", head, 16)
    header = ElfHeader(machine, bits, order, osabi, kind)
    if bits == 32:
        (phoff,) = unpack_from(f"{end}I", head, 28)
        phentsize, phnum = unpack_from(f"{end}HH", head, 42)
    else:
        (phoff,) = unpack_from(f"{end}Q", head, 32)
        phentsize, phnum = unpack_from(f"{end}HH", head, 54)
    if phnum:
        _read_segments(fd, size, header, phoff, phentsize, phnum)
    return header


def _read_segments(fd: int, size: int, header: ElfHeader, phoff: int, phentsize: int, phnum: int) -> None:
    wide = header.bits == 64
    end = "<" if header.order == "little" else ">"
    if phnum == _PN_XNUM:
        raise _damaged("more than 65534 program headers")
    if phentsize != (56 if wide else 32):
        raise _damaged(f"program headers of {phentsize} bytes")
    table = _bytes_at(fd, size, phoff, phentsize * phnum, "the program headers")
    dynamic: tuple[int, int] | None = None
    for at in range(0, len(table), phentsize):
        if wide:
            kind, _, offset, _, _, filesz = unpack_from(f"{end}IIQQQQ", table, at)
        else:
            kind, offset, _, _, filesz = unpack_from(f"{end}IIIII", table, at)
        if kind == _PT_INTERP:
            header.has_interpreter = True
        elif kind == _PT_DYNAMIC and filesz:  # filesz is 0 where a debug file has the segment and not its bytes.
            if dynamic is not None:
                raise _damaged("more than one dynamic section")
            dynamic = (offset, filesz)
    if dynamic is not None:
        if dynamic[1] > _MAX_DYNAMIC_BYTES:
            raise _damaged(f"a dynamic section of {dynamic[1]} bytes")
        section = _bytes_at(fd, size, *dynamic, "the dynamic section")
        header.needs_libraries = _has_needed(section, f"{end}qQ" if wide else f"{end}iI", 16 if wide else 8)


def _has_needed(section: bytes, entry: str, entry_size: int) -> bool:
    for at in range(0, len(section) - entry_size + 1, entry_size):
        tag = unpack_from(entry, section, at)[0]
        if tag == _DT_NEEDED:
            return True
        if tag == _DT_NULL:
            break
    return False


def _bytes_at(fd: int, size: int, offset: int, count: int, what: str) -> bytes:
    # Compared before it is read: the kernel refuses an offset above 2**63, and the file may be shorter than it says.
    if offset > size or count > size - offset:
        raise _damaged(f"{what} lie outside the file" if what.endswith("s") else f"{what} lies outside the file")
    data = os.pread(fd, count, offset)
    if len(data) < count:
        raise _damaged(f"{what} cannot be read in full")
    return data


def _damaged(what: str) -> XxError:
    return XxError(f"is a damaged ELF file: {what}", reason="elf-damaged")


def _describe(fd: int, head: bytes) -> str:
    """What a file that is not ELF is, with its article."""
    if not head:
        return "empty"
    if head.startswith(b"#!"):
        line = os.pread(fd, 256, 2).split(b"\n", 1)[0].strip().decode("utf-8", "backslashreplace")
        return f"a script ({line if line.isprintable() else ascii(line)})"
    for magic, name in _OTHER_FORMATS:
        if head.startswith(magic):
            return name
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "a text file"
    return f"data of an unknown format (begins {head[:4].hex(' ')})"
