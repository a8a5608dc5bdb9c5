"""Small files of each format, put together from the formats' own fields: for tests of xx-verify."""

from __future__ import annotations

import struct

from xxpy.verify.elf import ET_DYN, ET_EXEC


def macho(cpu: int = 0x0100000C, kind: int = 2, system: int | None = 1) -> bytes:
    """A 64-bit Mach-O file, with an LC_BUILD_VERSION if ``system`` is given."""
    commands = struct.pack("<IIIIII", 0x32, 24, system, 0, 0, 0) if system is not None else b""
    return struct.pack("<IIIIIIII", 0xFEEDFACF, cpu, 0, kind, bool(commands), len(commands), 0, 0) + commands


def fat(*slices: tuple[int, bytes]) -> bytes:
    """A universal Mach-O file of (CPU, slice)."""
    at, table, bodies = 8 + 20 * len(slices), b"", b""
    for cpu, body in slices:
        table += struct.pack(">IIIII", cpu, 0, at + len(bodies), len(body), 0)
        bodies += body
    return struct.pack(">II", 0xCAFEBABE, len(slices)) + table + bodies


def pe(machine: int = 0x8664, dlls: tuple[str, ...] = ("KERNEL32.dll",), flags: int = 0x22) -> bytes:
    """A PE32+ file with one section, which holds its imports."""
    optional = bytearray(240)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<I", optional, 108, 16)
    names_at = 20 * (len(dlls) + 1)
    imports, names = b"", b""
    for dll in dlls:
        imports += struct.pack("<IIIII", 1, 0, 0, 0x1000 + names_at + len(names), 1)
        names += dll.encode() + b"\0"
    body = imports + b"\0" * 20 + names
    struct.pack_into("<II", optional, 120, 0x1000, len(body))
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), flags)
    at = len(head) + len(coff) + len(optional) + 40
    section = b".idata\0\0" + struct.pack("<IIIIIIHHI", len(body), 0x1000, len(body), at, 0, 0, 0, 0, 0)
    return head + coff + bytes(optional) + section + body


def coff(machine: int = 0x8664) -> bytes:
    """A Windows object file without a symbol."""
    return struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, 0, 0).ljust(60, b"\0")


def archive(*members: tuple[str, bytes]) -> bytes:
    """A static library as GNU ar writes it."""
    made = b"!<arch>\n"
    for name, body in members:
        made += (
            f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        )
    return made


def rust_metadata(triple: str, hashed: bytes) -> bytes:
    """A library as far as rustc.pl reads it: the root of rustc's metadata, behind what comes before it."""
    head = b"rust\0\0\0\x09"
    root = b"\0" + bytes([len(triple)]) + triple.encode() + b"\xc1" + (hashed + triple.encode())[:16].ljust(16, b"#")
    return b"ELF" + head + struct.pack("<Q", 100) + head + struct.pack("<Q", 20) + b"what" + root + b"rest" * 20


class Elf:
    """An ELF program with what a dynamic one has: libraries, versions, notes, an attribute section."""

    def __init__(self, machine: int = 62, bits: int = 64, end: str = "<", flags: int = 0, kind: int = ET_EXEC) -> None:
        self.machine, self.bits, self.end, self.flags, self.kind = machine, bits, end, flags, kind
        self.interpreter = ""
        self.libraries: list[str] = []
        self.runpath = ""
        self.versions: list[tuple[str, str]] = []
        self.notes: list[tuple[str, int, bytes]] = []
        self.attributes = b""

    def note(self, owner: str, kind: int, data: bytes) -> Elf:
        self.notes.append((owner, kind, data))
        return self

    def data(self) -> bytes:
        wide = self.bits == 64
        start = (64 if wide else 52) + 6 * (56 if wide else 32)
        blob = bytearray()
        segments: list[tuple[int, int, int]] = []

        def add(data: bytes) -> int:
            at = start + len(blob)
            blob.extend(data.ljust(-(-len(data) // 8) * 8, b"\0"))
            return at

        names = bytearray(b"\0")

        def name(text: str) -> int:
            names.extend(text.encode() + b"\0")
            return len(names) - len(text.encode()) - 1

        if self.interpreter:
            text = self.interpreter.encode() + b"\0"
            segments.append((3, add(text), len(text)))
        tags = [(1, name(each)) for each in self.libraries]
        if self.runpath:
            tags.append((29, name(self.runpath)))
        if self.versions:
            verneed = b""
            for index, (library, version) in enumerate(self.versions):
                last = index == len(self.versions) - 1
                verneed += struct.pack(f"{self.end}HHIII", 1, 1, name(library), 16, 0 if last else 32)
                verneed += struct.pack(f"{self.end}IHHII", 0, 0, index + 2, name(version), 0)
            tags += [(0x6FFFFFFE, add(verneed)), (0x6FFFFFFF, len(self.versions))]
        if tags:
            tags += [(5, add(bytes(names))), (10, len(names)), (0, 0)]
            table = b"".join(struct.pack(self.end + ("qQ" if wide else "iI"), *tag) for tag in tags)
            segments.append((2, add(table), len(table)))
        if self.notes:
            text = b""
            for owner, kind, data in self.notes:
                text += struct.pack(f"{self.end}III", len(owner) + 1, len(data), kind)
                text += (owner.encode() + b"\0").ljust(-(-(len(owner) + 1) // 4) * 4, b"\0")
                text += data.ljust(-(-len(data) // 4) * 4, b"\0")
            segments.append((4, add(text), len(text)))
        attributes_at = add(self.attributes) if self.attributes else 0
        sections_at = start + len(blob)
        sections = self._section(0, 0, 0) + self._section(0x70000003, attributes_at, len(self.attributes))
        segments.append((1, 0, sections_at))
        table = b"".join(self._segment(*each) for each in segments).ljust(6 * (56 if wide else 32), b"\0")
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if self.end == "<" else 2, 1]) + b"\0" * 9
        form, size = (f"{self.end}HHIQQQIHHHHHH", 64) if wide else (f"{self.end}HHIIIIIHHHHHH", 52)
        head = struct.pack(
            form, self.kind, self.machine, 1, 0, size, sections_at if self.attributes else 0, self.flags, size,
            56 if wide else 32, 6, 64 if wide else 40, 2 if self.attributes else 0, 0,
        )  # fmt: skip
        return ident + head + table + bytes(blob) + sections

    def _segment(self, kind: int, offset: int, size: int) -> bytes:
        if self.bits == 64:
            return struct.pack(f"{self.end}IIQQQQQQ", kind, 4, offset, offset, offset, size, size, 8)
        return struct.pack(f"{self.end}IIIIIIII", kind, offset, offset, offset, size, size, 4, 4)

    def _section(self, kind: int, offset: int, size: int) -> bytes:
        form = "IIQQQQIIQQ" if self.bits == 64 else "IIIIIIIIII"
        return struct.pack(f"{self.end}{form}", 0, kind, 0, 0, offset, size, 0, 0, 1, 0)


def arm(version: int, hard: bool | None = None, **given: object) -> Elf:
    """An ARM program with the build attributes Tag_CPU_arch and, if it is said, Tag_ABI_VFP_args."""
    pairs = bytes([5]) + b"some-cpu\0" + bytes([6, version]) + (bytes([28, int(hard)]) if hard is not None else b"")
    body = b"\x01" + struct.pack("<I", 5 + len(pairs)) + pairs
    made = Elf(40, 32)
    made.attributes = b"A" + struct.pack("<I", 4 + 6 + len(body)) + b"aeabi\0" + body
    for name, value in given.items():
        setattr(made, name, value)
    return made


def x86_needs(level: int) -> Elf:
    """An amd64 program whose GNU property says that it needs the x86-64 level."""
    data = struct.pack("<IIII", 0xC0008002, 4, (1 << level) - 1, 0)
    return Elf(kind=ET_DYN).note("GNU", 5, data)
