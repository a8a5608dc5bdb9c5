"""What a file is: ELF, Mach-O, PE, COFF, WebAssembly or an archive of such, and what it says of itself."""

from __future__ import annotations

from struct import unpack_from

from xxpy.errors import XxError
from xxpy.verify.elf import describe, parse_elf
from xxpy.verify.machine import MACHO_CPUS, MACHO_KINDS, MACHO_PLATFORMS, PE_MACHINES
from xxpy.verify.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xxpy.verify.elf import ElfHeader

_FAT = (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
_MACHO = {b"\xce\xfa\xed\xfe": "<", b"\xcf\xfa\xed\xfe": "<", b"\xfe\xed\xfa\xce": ">", b"\xfe\xed\xfa\xcf": ">"}
# A Java class begins with the same four bytes and has its version, 45 or more, where the count of slices is.
_MOST_SLICES = 30
_MOST_COMMANDS = 10_000
_MOST_MEMBERS = 100_000
_MOST_DLLS = 4096


class Binary:
    """``format`` is ELF, Mach-O, PE, COFF or WebAssembly; ``arch`` as in a Platform, or what it is called there.

    ``kind`` is in words. ``elf`` is there for ELF alone. ``system`` is a Mach-O file's platform, empty without one.
    ``libraries`` are what a PE file imports, in lower case. ``dynamic`` says that a WebAssembly module is a library.
    """

    __slots__ = ("arch", "dynamic", "elf", "format", "kind", "libraries", "source", "system")

    def __init__(self, source: Source, format: str, arch: str, kind: str) -> None:
        self.source = source
        self.format = format
        self.arch = arch
        self.kind = kind
        self.elf: ElfHeader | None = None
        self.system = ""
        self.libraries: list[str] = []
        self.dynamic = False


def identify(source: Source) -> list[Binary]:
    """The file's binaries: one, but for a fat Mach-O file each slice.

    Raises XxError: ``elf-foreign`` (none of these formats), ``elf-damaged``, ``file-damaged``.
    """
    head = source.head(64)
    if head[:4] == b"\x7fELF":
        header = parse_elf(source)
        made = Binary(Source(source.fd, source.size, "ELF file", source.base), "ELF", "", "")
        made.elf = header
        return [made]
    if head[:4] in _MACHO:
        return [_macho(Source(source.fd, source.size, "Mach-O file", source.base), head)]
    if head[:4] in _FAT and len(head) >= 8 and unpack_from(">I", head, 4)[0] <= _MOST_SLICES:
        return list(_slices(Source(source.fd, source.size, "universal Mach-O file", source.base), head))
    if head[:2] == b"MZ":
        return [_pe(Source(source.fd, source.size, "PE file", source.base), head)]
    if head[:4] == b"\0asm":
        return [_wasm(Source(source.fd, source.size, "WebAssembly module", source.base), head)]
    if found := _coff(source, head):
        return [found]
    raise XxError(f"is {describe(source, head)}, not a program, library or object file", reason="elf-foreign")


def is_archive(source: Source) -> bool:
    """Whether it is a static library."""
    return source.head(8) in (b"!<arch>\n", b"!<thin>\n")


def members(source: Source) -> Iterator[tuple[str, Source]]:
    """The members of a static library that can be object files, with their names (ar(5), the GNU and BSD variants).

    Raises XxError (``file-damaged``, ``archive-thin``).
    """
    source = Source(source.fd, source.size, "static library", source.base)
    if source.head(8) == b"!<thin>\n":
        raise XxError("is a thin archive: its members are files of their own; check those", reason="archive-thin")
    at, names = 8, b""
    for _ in range(_MOST_MEMBERS):
        if at + 60 > source.size:
            return
        head = source.bytes_at(at, 60, "a member's header")
        text = head[48:58].strip()
        if head[58:60] != b"`\n" or not text.isdigit():
            raise source.damaged(f"no member begins at offset {at}")
        size, name = int(text), head[:16].rstrip()
        if size > source.size - at - 60:
            raise source.damaged(f"the member at offset {at} is cut off")
        body, skip = at + 60, 0
        if name == b"//":
            names = source.bytes_at(body, min(size, 1 << 20), "the table of names")
        elif name.startswith(b"#1/") and name[3:].isdigit():
            skip = min(int(name[3:]), size)
            name = source.bytes_at(body, min(skip, 4096), "a member's name").rstrip(b"\0")
        elif name.startswith(b"/") and name[1:].isdigit():
            name = names[int(name[1:]) :].split(b"\n", 1)[0]
        if name not in (b"/", b"//", b"/SYM64/") and not name.startswith(b"__.SYMDEF"):
            shown = name.removesuffix(b"/").decode("utf-8", "backslashreplace")
            yield shown, source.part(body + skip, size - skip, "a member")
        at = body + size + size % 2
    raise source.damaged(f"more than {_MOST_MEMBERS} members")


def _macho(source: Source, head: bytes) -> Binary:
    end, wide = _MACHO[head[:4]], head[:4] in (b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")
    if len(head) < 28:
        raise source.damaged("its header is cut off")
    cpu, _, kind, count, size = unpack_from(f"{end}IIIII", head, 4)
    made = Binary(source, "Mach-O", MACHO_CPUS.get(cpu, f"CPU {cpu:#x}"), MACHO_KINDS.get(kind, f"type {kind}"))
    start = 32 if wide else 28
    if size > 8 << 20:
        raise source.damaged(f"load commands of {size} bytes")
    table = source.bytes_at(start, size, "the load commands")
    at = 0
    for _ in range(min(count, _MOST_COMMANDS)):
        if at + 8 > len(table):
            raise source.damaged("a load command is cut off")
        command, length = unpack_from(f"{end}II", table, at)
        if length < 8:
            raise source.damaged(f"a load command of {length} bytes")
        if command == 0x32 and at + 12 <= len(table):  # LC_BUILD_VERSION
            number = unpack_from(f"{end}I", table, at + 8)[0]
            made.system = MACHO_PLATFORMS.get(number, f"platform {number}")
        elif command in (0x24, 0x25, 0x2F, 0x30):  # LC_VERSION_MIN_*
            made.system = {0x24: "macOS", 0x25: "iOS", 0x2F: "tvOS", 0x30: "watchOS"}[command]
        at += length
    return made


def _slices(source: Source, head: bytes) -> Iterator[Binary]:
    (count,) = unpack_from(">I", head, 4)
    wide = head[:4] == _FAT[1]
    size = 32 if wide else 20
    table = source.bytes_at(8, size * count, "the table of its slices")
    if not count:
        raise source.damaged("no slice")
    for at in range(0, len(table), size):
        cpu, _, offset, length = unpack_from(">IIQQ" if wide else ">IIII", table, at)
        slice_ = source.part(offset, length, "a slice")
        first = slice_.head(64)
        if first[:8] == b"!<arch>\n":
            yield Binary(slice_, "Mach-O", MACHO_CPUS.get(cpu, f"CPU {cpu:#x}"), "static library")
        elif first[:4] in _MACHO:
            yield _macho(slice_, first)
        else:
            raise source.damaged("a slice that is no Mach-O file")


def _pe(source: Source, head: bytes) -> Binary:
    if len(head) < 64:
        raise source.damaged("its header is cut off")
    (at,) = unpack_from("<I", head, 60)
    if source.size < at + 24 or source.bytes_at(at, 4, "the PE header") != b"PE\0\0":
        raise XxError("is a DOS program, not a Windows one", reason="elf-foreign")
    machine, sections, _, _, _, optional, flags = source.unpack("<HHIIIHH", at + 4, 20, "the PE header")
    kind = "library" if flags & 0x2000 else "program"
    made = Binary(source, "PE", PE_MACHINES.get(machine, f"machine {machine:#x}"), kind)
    if optional >= 2:
        made.libraries = _dlls(source, at + 24, optional, sections)
    return made


def _dlls(source: Source, at: int, optional: int, sections: int) -> list[str]:
    """The names in the import directory, in lower case."""
    data = source.bytes_at(at, optional, "the optional header")
    (magic,) = unpack_from("<H", data, 0)
    first = {0x10B: 96, 0x20B: 112}.get(magic)
    if first is None:
        raise source.damaged(f"an optional header of type {magic:#x}")
    if len(data) < first + 16 or unpack_from("<I", data, first - 4)[0] < 2:
        return []
    address, size = unpack_from("<II", data, first + 8)
    rows = source.bytes_at(at + optional, 40 * min(sections, 96), "the section headers")

    def offset_of(wanted: int) -> int:
        for row in range(0, len(rows), 40):
            virtual_size, start, raw_size, raw = unpack_from("<IIII", rows, row + 8)
            if start <= wanted < start + max(virtual_size, raw_size):
                return int(raw + wanted - start)
        raise source.damaged(f"its imports lie at {wanted:#x}, in no section")

    found: list[str] = []
    here = offset_of(address) if address and size else -1
    while here >= 0 and len(found) < _MOST_DLLS:
        entry = source.unpack("<IIIII", here, 20, "the table of imports")
        if not entry[3]:
            break
        name_at = offset_of(entry[3])
        name = source.bytes_at(name_at, min(256, max(source.size - name_at, 0)), "an import's name")
        found.append(name.split(b"\0", 1)[0].decode("ascii", "backslashreplace").lower())
        here += 20
    return found


def _coff(source: Source, head: bytes) -> Binary | None:
    """A Windows object file. It has no magic number: its machine is known and it has no optional header."""
    if len(head) < 20:
        return None
    machine, sections, _, symbols, _, optional = unpack_from("<HHIIIH", head, 0)
    if (machine, sections) == (0, 0xFFFF):
        # A bigobj or import object says its machine after its version.
        machine = unpack_from("<H", head, 6)[0]
        return Binary(source, "COFF", PE_MACHINES[machine], "object file") if machine in PE_MACHINES else None
    if machine not in PE_MACHINES or optional or not 0 < sections < 0xFF00 or symbols > source.size:
        return None
    return Binary(source, "COFF", PE_MACHINES[machine], "object file")


def _wasm(source: Source, head: bytes) -> Binary:
    if len(head) < 8 or head[4:8] not in (b"\x01\0\0\0", b"\x0d\0\x01\0"):
        raise source.damaged("an unknown version")
    made = Binary(source, "WebAssembly", "wasm", "component" if head[6] else "module")
    made.dynamic = head[8:9] == b"\0" and b"dylink" in head[:24]
    return made
