"""Whether a file is a program for a platform: the comparison behind `xx-verify`."""

from __future__ import annotations

from xxpy.errors import XxError
from xxpy.platforms import ELF_MACHINE
from xxpy.verify.elf import ET_CORE, ET_REL, MACHINE_NAMES, OSABI_NAMES, read_elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from xxpy.platforms import Platform
    from xxpy.verify.elf import ElfHeader, Order

# Class and byte order (gABI and the processor supplements); the machine number is `platforms.ELF_MACHINE`.
_SHAPES: dict[str, tuple[int, Order]] = {
    "amd64": (64, "little"),
    "386": (32, "little"),
    "arm": (32, "little"),
    "arm64": (64, "little"),
    "riscv64": (64, "little"),
    "ppc64le": (64, "little"),
    "s390x": (64, "big"),
    "loong64": (64, "little"),
    "mips": (32, "big"),
    "mipsle": (32, "little"),
    "mips64": (64, "big"),
    "mips64le": (64, "little"),
}

# EI_OSABI by OS. Linux programs have 0, or 3 if they use GNU extensions (IFUNC). The BSDs' are their own: with 0, a
# Linux program would pass for one of theirs.
_OSABIS = {"linux": (0, 3), "freebsd": (9,), "netbsd": (2,), "openbsd": (12,)}


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


def require_supported(target: Platform) -> None:
    """Raise `XxError`, reason ``verify-unsupported``, if files for this operating system cannot be checked."""
    if target.os not in _OSABIS:
        raise XxError(
            f"cannot check files for {target}: only ELF files are read, and {target.os} has another format",
            remedy=f"Do not run xx-verify for {target.os} targets.",
            reason="verify-unsupported",
        )


def expected_name(target: Platform) -> str:
    """What the machine of the target's files is called: ``x86-64``."""
    bits, order = _SHAPES[target.arch]
    return MACHINE_NAMES[(ELF_MACHINE[target.arch], bits, order)]


def check(path: str | os.PathLike[str], target: Platform, static: bool = False) -> list[Problem]:
    """All that keeps the file from being a program, library or object file for the target; empty if nothing does.

    With ``static``, also what keeps it from running without a dynamic linker and shared libraries. A file that cannot
    be read is a problem too. Raises as `require_supported` does.
    """
    require_supported(target)
    name = str(path)
    try:
        header = read_elf(path)
    except XxError as error:
        return [Problem(name, f"{error.message}; expected {expected_name(target)} ELF ({target})", error.reason)]
    found = _check_machine(header, target)
    if static:
        found += _check_static(header)
    return [Problem(name, message, reason) for message, reason in found]


def _check_machine(header: ElfHeader, target: Platform) -> list[tuple[str, str]]:
    found = []
    if (header.machine, header.bits, header.order) != (ELF_MACHINE[target.arch], *_SHAPES[target.arch]):
        message = f"is {header.machine_name} ELF, expected {expected_name(target)} ({target})"
        found.append((message, "wrong-machine"))
    wanted = _OSABIS[target.os]
    if header.osabi not in wanted:
        names = " or ".join(OSABI_NAMES[number] for number in wanted)
        found.append((f"has OS ABI {header.osabi_name}, expected {names} ({target})", "wrong-osabi"))
    return found


def _check_static(header: ElfHeader) -> list[tuple[str, str]]:
    if header.kind in (ET_REL, ET_CORE):
        what = "an object file" if header.kind == ET_REL else "a core dump"
        return [(f"is {what}, expected a statically linked program", "not-linked")]
    ways = []
    if header.has_interpreter:
        ways.append("names a dynamic linker (PT_INTERP)")
    if header.needs_libraries:
        ways.append("needs shared libraries (DT_NEEDED)")
    return [(f"is not statically linked: it {' and '.join(ways)}", "not-static")] if ways else []
