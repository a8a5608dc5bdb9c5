"""Whether a file is a program, library or object file for a platform: the comparison behind `xx-verify`."""

from __future__ import annotations

import os

from xxpy.errors import XxError
from xxpy.platforms import ELF_MACHINE
from xxpy.verify import elfdeep
from xxpy.verify.binary import Binary, identify, is_archive, members
from xxpy.verify.elf import ET_CORE, ET_REL, MACHINE_NAMES, OSABI_NAMES
from xxpy.verify.loaders import known_loaders
from xxpy.verify.source import Source, open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xxpy.platforms import Platform
    from xxpy.verify.elf import ElfHeader, Order

# Class and byte order (gABI and the processor supplements); the machine number is `platforms.ELF_MACHINE`.
_SHAPES: dict[str, tuple[int, Order]] = {
    "amd64": (64, "little"), "386": (32, "little"), "arm": (32, "little"), "arm64": (64, "little"),
    "riscv64": (64, "little"), "ppc64le": (64, "little"), "s390x": (64, "big"), "loong64": (64, "little"),
    "mips": (32, "big"), "mipsle": (32, "little"), "mips64": (64, "big"), "mips64le": (64, "little"),
}  # fmt: skip

# EI_OSABI by OS. Linux programs have 0, or 3 if they use GNU extensions (IFUNC). The BSDs' are their own; NetBSD and
# OpenBSD programs may have 0 and a note that names the system, their object files 0 alone.
_OSABIS = {"linux": (0, 3), "freebsd": (9,), "netbsd": (2,), "openbsd": (12,)}
_NOTES = {"freebsd": "FreeBSD", "netbsd": "NetBSD", "openbsd": "OpenBSD"}
_FORMATS = {"darwin": "Mach-O", "windows": "PE", "wasi": "WebAssembly"}

# The newest Tag_CPU_arch that runs on the variant (6 v6, 9 v6K, 10 v7, 13 v7E-M): the Arm build attributes' table.
_ARM_NEWEST = {"v5": 5, "v6": 9, "v7": 13}
_ARM_NAMES = {0: "before v4", 1: "v4", 2: "v4T", 3: "v5T", 4: "v5TE", 5: "v5TEJ", 6: "v6", 7: "v6KZ", 8: "v6T2",
              9: "v6K", 10: "v7", 11: "v6-M", 12: "v6S-M", 13: "v7E-M", 14: "v8-A", 15: "v8-R", 16: "v8-M",
              17: "v8-M", 18: "v8.1-A", 22: "v9-A"}  # fmt: skip
_TAG_CPU_ARCH, _TAG_VFP_ARGS = 6, 28
_EF_HARD_FLOAT = 0x400

# DLLs that a compiler brings and Windows does not have.
_FOREIGN_DLLS = ("lib", "cyg", "msys-", "vcruntime", "msvcp", "zlib")


class Wanted:
    """What files are to be. ``platform`` may be wasi/wasm. ``libc`` is gnu, musl, or empty where it does not matter.

    ``max_glibc`` is the newest version of glibc that may be needed, as (2, 31), or None.
    """

    __slots__ = ("libc", "max_glibc", "platform", "static")

    def __init__(
        self, platform: Platform, static: bool = False, libc: str = "", max_glibc: tuple[int, ...] | None = None
    ) -> None:
        self.platform = platform
        self.static = static
        self.libc = libc
        self.max_glibc = max_glibc


class Problem:
    """One way in which a file is not what was asked for. ``reason`` is short and stable; tests assert it."""

    __slots__ = ("message", "path", "reason")

    def __init__(self, path: str, message: str, reason: str) -> None:
        self.path = path
        self.message = message
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path if self.path.isprintable() else ascii(self.path)}: {self.message}"

    def __repr__(self) -> str:
        return f"Problem({str(self)!r}, {self.reason!r})"


def require_supported(wanted: Wanted) -> None:
    """Raise `XxError`, reason ``static-meaningless``, if what is wanted cannot be."""
    if wanted.static and wanted.platform.os == "darwin":
        raise XxError(
            "--static has no meaning for darwin: every program there is linked to the system's libraries",
            remedy="leave --static out for darwin; XX_VERIFY_STATIC=1 is passed over there",
            reason="static-meaningless",
        )


def arch_of(header: ElfHeader) -> str:
    """The architecture, as in a Platform, that runs an ELF file; empty for what is none of a Platform's."""
    shape = (header.machine, header.bits, header.order)
    return next((arch for arch, rest in _SHAPES.items() if (ELF_MACHINE[arch], *rest) == shape), "")


def expected_name(target: Platform) -> str:
    """What files of the target are: ``x86-64 ELF``, ``arm64 Mach-O``."""
    if target.os in _FORMATS:
        return f"{target.arch} {_FORMATS[target.os]}" if target.os != "wasi" else _FORMATS["wasi"]
    bits, order = _SHAPES[target.arch]
    return f"{MACHINE_NAMES[(ELF_MACHINE[target.arch], bits, order)]} ELF"


def check(path: str | os.PathLike[str], wanted: Wanted) -> list[Problem]:
    """All that keeps the file from being what is wanted; empty if nothing does.

    A file that cannot be read is a problem too. Of a static library all members are checked, the first wrong one told.
    """
    name = os.fspath(path)
    try:
        fd, size = open_regular(path)
    except XxError as error:
        return [Problem(name, f"{error.message}; expected {_expected(wanted)}", error.reason)]
    try:
        return [Problem(name, message, reason) for message, reason in check_source(Source(fd, size, "file"), wanted)]
    except OSError as error:
        return [Problem(name, f"cannot be read: {error.strerror}", "elf-unreadable")]
    finally:
        os.close(fd)


def check_source(source: Source, wanted: Wanted) -> list[tuple[str, str]]:
    """As `check`, of an open file: (message, reason)."""
    try:
        if is_archive(source):
            return _check_archive(source, wanted)
        found = identify(source)
        if len(found) > 1 or found[0].format == "Mach-O":
            return _check_macho(found, wanted)
        return _check_one(found[0], wanted)
    except XxError as error:
        return [(f"{error.message}; expected {_expected(wanted)}", error.reason)]


def _expected(wanted: Wanted) -> str:
    return f"{expected_name(wanted.platform)} ({wanted.platform})"


def _check_one(binary: Binary, wanted: Wanted) -> list[tuple[str, str]]:
    if binary.elf is not None and wanted.platform.os not in _FORMATS:
        return list(_check_elf(binary, binary.elf, wanted))
    form = _FORMATS.get(wanted.platform.os, "ELF")
    if binary.format != form and (binary.format, form) != ("COFF", "PE"):
        return [
            (f"is {_named(binary)}, expected {_expected(wanted)}", "elf-foreign" if form == "ELF" else "wrong-format")
        ]
    if form == "WebAssembly":
        return [("needs other modules (dylink)", "not-static")] if wanted.static and binary.dynamic else []
    if binary.arch != wanted.platform.arch:
        return [(f"is {_named(binary)}, expected {_expected(wanted)}", "wrong-machine")]
    if wanted.static and form == "PE":
        brought = sorted(name for name in binary.libraries if name.startswith(_FOREIGN_DLLS))
        if binary.kind != "program":
            return [(f"is a {binary.kind}, expected a statically linked program", "not-linked")]
        return [(f"is not statically linked: it needs {', '.join(brought)}", "not-static")] if brought else []
    return []


def _named(binary: Binary) -> str:
    arch = binary.elf.machine_name if binary.elf is not None else binary.arch
    article = "an" if arch[:1] in "aei" or arch[:2] == "x8" else "a"
    word = "" if binary.elf is not None else f" {binary.kind}"
    return f"{article} {arch} {binary.format}{word}" if binary.format != "WebAssembly" else "a WebAssembly module"


def _check_macho(slices: list[Binary], wanted: Wanted) -> list[tuple[str, str]]:
    if wanted.platform.os != "darwin":
        return [(f"is {_named(slices[0])}, expected {_expected(wanted)}", "elf-foreign")]
    right = [each for each in slices if each.arch == wanted.platform.arch]
    if not right:
        have = ", ".join(each.arch for each in slices)
        return [(f"is Mach-O for {have}, expected {_expected(wanted)}", "wrong-machine")]
    system = right[0].system
    return (
        [(f"is for {system}, expected macOS ({wanted.platform})", "wrong-system")]
        if system not in ("", "macOS")
        else []
    )


def _check_archive(source: Source, wanted: Wanted) -> list[tuple[str, str]]:
    if wanted.static and wanted.platform.os != "wasi":
        return [("is a static library, expected a statically linked program", "not-linked")]
    plain = Wanted(wanted.platform, libc="", max_glibc=None)
    seen = wrong = 0
    first: list[tuple[str, str]] = []
    for name, member in members(source):
        head = member.head(8)
        # Rust's metadata and LLVM's bitcode say nothing of an architecture that could be read off.
        if head[:4] == b"BC\xc0\xde" or name.endswith((".rmeta", ".txt")) or not head:
            continue
        try:
            found = _check_macho(identify(member), plain) if _is_macho(head) else _check_one(identify(member)[0], plain)
        except XxError as error:
            if error.reason == "elf-foreign":
                continue
            found = [(error.message, error.reason)]
        seen += 1
        if found:
            wrong += 1
            shown = name if name.isprintable() else ascii(name)
            first = first or [(f"member {shown} {found[0][0]}", found[0][1])]
    if wrong > 1:
        return [(f"{first[0][0]}; so do {wrong - 1} more of its {seen} members", first[0][1])]
    return first


def _is_macho(head: bytes) -> bool:
    return head[:4] in (b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf")


def _check_elf(binary: Binary, header: ElfHeader, wanted: Wanted) -> Iterator[tuple[str, str]]:
    target = wanted.platform
    right = (header.machine, header.bits, header.order) == (ELF_MACHINE[target.arch], *_SHAPES[target.arch])
    if not right:
        yield f"is {header.machine_name} ELF, expected {_expected(wanted)}", "wrong-machine"
    yield from _check_system(binary, header, target)
    if wanted.static:
        yield from _check_static(header)
    if not right:
        return
    if target.os == "linux":
        yield from _check_loader(header, wanted)
    if target.arch == "arm":
        yield from _check_arm(binary, header, target)
    if target.arch == "amd64":
        level = elfdeep.x86_level(binary.source, header)
        limit = int((target.variant or "v1")[1:])
        if level > limit:
            yield f"needs x86-64-v{level}, expected at most x86-64-v{limit} ({target})", "wrong-level"
    if wanted.max_glibc is not None:
        yield from _check_glibc(binary, header, wanted.max_glibc)


def _check_system(binary: Binary, header: ElfHeader, target: Platform) -> Iterator[tuple[str, str]]:
    wanted = _OSABIS[target.os]
    owners = {owner for owner, _, _ in elfdeep.read_notes(binary.source, header)} & set(_NOTES.values())
    if (
        header.osabi == 0
        and target.os in ("netbsd", "openbsd")
        and (header.kind == ET_REL or _NOTES[target.os] in owners)
    ):
        return
    if header.osabi not in wanted:
        names = " or ".join(OSABI_NAMES[number] for number in wanted)
        yield f"has OS ABI {header.osabi_name}, expected {names} ({target})", "wrong-osabi"
    elif target.os == "linux" and owners:
        yield f"is for {', '.join(sorted(owners))} (its note says), expected Linux ({target})", "wrong-osabi"


def _check_static(header: ElfHeader) -> Iterator[tuple[str, str]]:
    if header.kind in (ET_REL, ET_CORE):
        what = "an object file" if header.kind == ET_REL else "a core dump"
        yield f"is {what}, expected a statically linked program", "not-linked"
        return
    ways = []
    if header.has_interpreter:
        ways.append("names a dynamic linker (PT_INTERP)")
    if header.needs_libraries:
        ways.append("needs shared libraries (DT_NEEDED)")
    if ways:
        yield f"is not statically linked: it {' and '.join(ways)}", "not-static"


def _check_loader(header: ElfHeader, wanted: Wanted) -> Iterator[tuple[str, str]]:
    """A loader that is another C library's. One that nothing here knows, as of Nix, is not judged."""
    known = known_loaders(wanted.platform).get(header.interpreter)
    if known is not None and wanted.libc and known[0] != wanted.libc:
        names = {"gnu": "glibc", "musl": "musl"}
        found, expected = names[known[0]], names[wanted.libc]
        yield f"is linked to {found} ({header.interpreter}), expected {expected} ({wanted.platform})", "wrong-libc"


def _check_arm(binary: Binary, header: ElfHeader, target: Platform) -> Iterator[tuple[str, str]]:
    attributes = elfdeep.arm_attributes(binary.source, header)
    newest = _ARM_NEWEST.get(target.variant)
    version = attributes.get(_TAG_CPU_ARCH)
    # v6-M and later M profiles are numbered between; they are not what runs Linux.
    if version is not None and newest is not None and version > newest and version not in (11, 12):
        name = _ARM_NAMES.get(version, f"number {version}")
        yield f"needs ARM{name}, expected ARM{target.variant} at most ({target})", "wrong-level"
    known = known_loaders(target).get(header.interpreter)
    arguments = attributes.get(_TAG_VFP_ARGS)
    hard = (
        arguments == 1
        or bool(header.flags & _EF_HARD_FLOAT and header.kind != ET_REL)
        or (known and known[1] == "hard")
    )
    soft = (arguments == 0 and header.needs_libraries) or (known is not None and known[1] == "soft")
    if target.variant == "v5" and hard:
        yield f"has hardware floating point (armhf), expected the soft ABI (armel) ({target})", "wrong-float"
    elif target.variant in ("v7", "v8") and soft and not hard:
        yield f"has the soft floating-point ABI (armel), expected the hard one (armhf) ({target})", "wrong-float"


def _check_glibc(binary: Binary, header: ElfHeader, limit: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    newest: tuple[tuple[int, ...], str, str] | None = None
    for library, version in elfdeep.read_needs(binary.source, header).versions:
        numbers = glibc_version(version.removeprefix("GLIBC_")) if version.startswith("GLIBC_") else None
        if numbers is not None and (newest is None or numbers > newest[0]):
            newest = (numbers, version, library)
    if newest is not None and newest[0] > limit:
        symbol = elfdeep.symbol_of_version(binary.source, header, newest[1])
        shown = ".".join(str(number) for number in newest[0])
        what = f"{symbol}@{newest[1]}" if symbol.isprintable() and symbol else newest[1]
        allowed = ".".join(str(number) for number in limit)
        yield f"needs glibc {shown} ({what} of {newest[2]}), expected {allowed} at most", "glibc-too-new"


def glibc_version(text: str) -> tuple[int, ...] | None:
    """``2.31`` as (2, 31); None for what is no version, as GLIBC_PRIVATE."""
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() and len(part) < 6 for part in parts) else None
