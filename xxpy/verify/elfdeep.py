"""What an ELF file needs of the machine and of the system that runs it: read only when it is asked for.

Read here rather than with a library, because the file may be hostile: tables are bounded, chains are followed a limited
number of steps, and what contradicts itself is an error. Sources: the gABI, "Dynamic Linking" and "Note Section"; the
GNU symbol versioning description (Drepper, "ELF Symbol Versioning"); the Linux gABI extensions, ".note.gnu.property";
"Addenda to, and Errata in, the ABI for the Arm Architecture", build attributes.
"""

from __future__ import annotations

from struct import unpack_from

from xxpy.verify.elf import DT_NEEDED, PT_GNU_PROPERTY, PT_LOAD, PT_NOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xxpy.verify.elf import ElfHeader
    from xxpy.verify.source import Source

_DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH, _DT_VERNEED, _DT_VERNEEDNUM = 5, 10, 15, 29, 0x6FFFFFFE, 0x6FFFFFFF
_DT_SYMTAB, _DT_VERSYM = 6, 0x6FFFFFF0
_SHT_DYNSYM, _SHT_ARM_ATTRIBUTES = 11, 0x70000003
_NT_GNU_PROPERTY_TYPE_0 = 5
_X86_ISA_1_NEEDED = 0xC0008002
_MOST = 4096
"""Libraries, versions and attributes of one file: far more than any has."""
_MAX_STRINGS = 8 << 20
_MAX_NOTES = 64 << 10
_MAX_SECTIONS = 16384
_MAX_SYMBOLS = 200_000
_MAX_ATTRIBUTES = 64 << 10


class Needs:
    """``libraries`` are DT_NEEDED; ``paths`` DT_RUNPATH, else DT_RPATH; ``versions`` pairs of library and version."""

    __slots__ = ("libraries", "paths", "versions")

    def __init__(self, libraries: list[str], paths: list[str], versions: list[tuple[str, str]]) -> None:
        self.libraries = libraries
        self.paths = paths
        self.versions = versions


def offset_of(header: ElfHeader, address: int) -> int:
    """Where in the file an address of the running program lies; -1 if nowhere."""
    for kind, offset, start, size in header.segments:
        if kind == PT_LOAD and start <= address < start + size:
            return offset + address - start
    return -1


def _tag(header: ElfHeader, wanted: int) -> int:
    return next((value for tag, value in header.dynamic if tag == wanted), -1)


class _Strings:
    def __init__(self, source: Source, header: ElfHeader) -> None:
        at, size = offset_of(header, _tag(header, _DT_STRTAB)), _tag(header, _DT_STRSZ)
        if size > _MAX_STRINGS or (header.dynamic and at < 0 and size > 0):
            raise source.damaged("its table of names is nowhere or too large")
        self._source = source
        self._data = source.bytes_at(at, size, "its table of names") if at >= 0 and size > 0 else b""

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self._data):
            raise self._source.damaged("a name lies outside its table of names")
        end = self._data.find(b"\0", index)
        return self._data[index : end if end >= 0 else len(self._data)][:_MOST].decode("utf-8", "backslashreplace")


def read_needs(source: Source, header: ElfHeader) -> Needs:
    """Raises XxError (``elf-damaged``)."""
    names = _Strings(source, header)
    wanted = [value for tag, value in header.dynamic if tag == DT_NEEDED][:_MOST]
    libraries = [names[value] for value in wanted]
    runpath, rpath = _tag(header, _DT_RUNPATH), _tag(header, _DT_RPATH)
    path = runpath if runpath >= 0 else rpath
    paths = [each for each in names[path].split(":") if each] if path >= 0 else []
    return Needs(libraries, paths, list(_versions(source, header, names)))


def _versions(source: Source, header: ElfHeader, names: _Strings) -> Iterator[tuple[str, str]]:
    """(library, version) of each Verneed and Vernaux entry, at most `_MOST`."""
    for library, version, _ in _version_entries(source, header, names):
        yield library, version


def _version_entries(source: Source, header: ElfHeader, names: _Strings) -> Iterator[tuple[str, str, int]]:
    at, count = offset_of(header, _tag(header, _DT_VERNEED)), min(_tag(header, _DT_VERNEEDNUM), _MOST)
    left = _MOST
    for _ in range(count if at >= 0 else 0):
        _, entries, file, aux, following = source.unpack(f"{header.end}HHIII", at, 16, "its table of needed versions")
        library = names[file]
        here = at + aux
        for _ in range(min(entries, left)):
            left -= 1
            _, _, other, name, step = source.unpack(f"{header.end}IHHII", here, 16, "its table of needed versions")
            yield library, names[name], other
            if step == 0:
                break
            here += step
        if following == 0 or left <= 0:
            break
        at += following


def symbol_of_version(source: Source, header: ElfHeader, version: str) -> str:
    """A symbol that is needed in that version; empty if the file does not tell (it is stripped of its sections)."""
    names = _Strings(source, header)
    index = next((other for _, name, other in _version_entries(source, header, names) if name == version), -1)
    versym, symtab = offset_of(header, _tag(header, _DT_VERSYM)), offset_of(header, _tag(header, _DT_SYMTAB))
    section = next((each for each in _sections(source, header) if each[0] == _SHT_DYNSYM), None)
    if index < 0 or versym < 0 or symtab < 0 or section is None:
        return ""
    size = 24 if header.bits == 64 else 16
    count = min(section[2] // size, _MAX_SYMBOLS)
    table = source.bytes_at(versym, 2 * count, "its table of symbol versions")
    for number, (found,) in enumerate(_each(f"{header.end}H", table, 2)):
        if found & 0x7FFF == index:
            (name,) = source.unpack(f"{header.end}I", symtab + number * size, 4, "its table of symbols")
            return names[name]
    return ""


def _each(form: str, data: bytes, size: int) -> Iterator[tuple[int, ...]]:
    for at in range(0, len(data) - size + 1, size):
        yield unpack_from(form, data, at)


def _sections(source: Source, header: ElfHeader) -> list[tuple[int, int, int]]:
    """(type, offset, size) of each section header; none where they are cut off, as in a stripped program."""
    offset, count, size = header.sections
    wide = header.bits == 64
    if not offset or not count or size != (64 if wide else 40) or offset + size * count > source.size:
        return []
    table = source.bytes_at(offset, size * min(count, _MAX_SECTIONS), "the section headers")
    rows = _each(f"{header.end}{'IIQQQQIIQQ' if wide else 'IIIIIIIIII'}", table, size)
    return [(row[1], row[4], row[5]) for row in rows]


def read_notes(
    source: Source, header: ElfHeader, segments: tuple[int, ...] = (PT_NOTE,)
) -> Iterator[tuple[str, int, bytes]]:
    """(owner, type, description) of each note. Cut-off notes end it."""
    align = 4
    for kind, offset, _, size in header.segments:
        if kind not in segments or size > _MAX_NOTES or offset + size > source.size:
            continue
        data = source.bytes_at(offset, size, "the notes")
        at = 0
        for _ in range(_MOST):
            if at + 12 > len(data):
                break
            name_size, size_here, note = unpack_from(f"{header.end}III", data, at)
            name_at = at + 12
            described = name_at + -(-name_size // align) * align
            if described + size_here > len(data):
                break
            owner = data[name_at : name_at + name_size].rstrip(b"\0").decode("ascii", "replace")
            yield owner, note, data[described : described + size_here]
            at = described + -(-size_here // align) * align


def x86_level(source: Source, header: ElfHeader) -> int:
    """The x86-64 level that the file declares to need (1 to 4); 0 if it declares none."""
    for owner, kind, data in read_notes(source, header, (PT_GNU_PROPERTY, PT_NOTE)):
        if owner != "GNU" or kind != _NT_GNU_PROPERTY_TYPE_0:
            continue
        at, align = 0, 8 if header.bits == 64 else 4
        while at + 8 <= len(data):
            number, size = unpack_from(f"{header.end}II", data, at)
            if number == _X86_ISA_1_NEEDED and size == 4 and at + 12 <= len(data):
                (needed,) = unpack_from(f"{header.end}I", data, at + 8)
                return int(needed & 0xF).bit_length()
            at += 8 + -(-size // align) * align
    return 0


def arm_attributes(source: Source, header: ElfHeader) -> dict[int, int]:
    """The numeric build attributes of the whole file, by tag; empty without a section ``.ARM.attributes``."""
    for kind, offset, size in _sections(source, header):
        if kind == _SHT_ARM_ATTRIBUTES and 0 < size <= _MAX_ATTRIBUTES:
            return _attributes(source.bytes_at(offset, size, "the build attributes"), header.end)
    return {}


def _attributes(data: bytes, end: str) -> dict[int, int]:
    at = 1
    while data[:1] == b"A" and at + 4 <= len(data):
        (length,) = unpack_from(f"{end}I", data, at)
        name, _, body = data[at + 4 : at + length].partition(b"\0")
        if name == b"aeabi" and len(body) >= 5 and body[0] == 1:
            return _pairs(body[5 : unpack_from(f"{end}I", body, 1)[0]])
        if length < 5:
            break
        at += length
    return {}


def _pairs(data: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    at = 0
    while at < len(data) and len(found) < _MOST:
        tag, at = _uleb(data, at)
        # Tags 4 and 5 and, from 32 on, the odd ones have text; 32 has a number and text.
        value = 0
        if tag == 32 or not (tag in (4, 5) or (tag > 32 and tag % 2)):
            value, at = _uleb(data, at)
            found[tag] = value
        if tag in (4, 5, 32) or (tag > 32 and tag % 2):
            stop = data.find(b"\0", at)
            at = stop + 1 if stop >= 0 else len(data)
    return found


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return value, at
