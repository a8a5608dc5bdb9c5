"""Platforms: what `os/arch[/variant]` means, and what each naming scheme calls it.

Every part of the project names an architecture in somebody's scheme: Docker's, the kernel's, Debian's, LLVM's, QEMU's.
Each scheme is one table here, so that a new architecture is one line in each and a test finds the table that lacks it.

Every ``xx-*`` command imports this module and a build starts thousands of them. So it imports nothing: ``enum`` costs
4 ms, ``dataclasses`` and ``typing`` more than 10 ms each, of the 8 ms that Python itself needs. Architectures are a
``Literal`` for mypy and strings at run time; `Platform` is a value class written out by hand.
"""

from __future__ import annotations

import os as _os

from xxpy.errors import PlatformError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal, NoReturn

    Os = Literal["linux", "darwin", "windows", "freebsd", "netbsd", "openbsd"]
    Arch = Literal[
        "amd64", "386", "arm", "arm64", "riscv64", "ppc64le", "s390x", "loong64", "mips", "mipsle", "mips64", "mips64le"
    ]

OSES: Final[tuple[Os, ...]] = ("linux", "darwin", "windows", "freebsd", "netbsd", "openbsd")
"""GOOS names that can be a target."""

ARCHITECTURES: Final[tuple[Arch, ...]] = (
    "amd64", "386", "arm", "arm64", "riscv64", "ppc64le", "s390x", "loong64", "mips", "mipsle", "mips64", "mips64le",
)  # fmt: skip
"""GOARCH names that can be a target."""

VARIANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "amd64": ("v1", "v2", "v3", "v4"),
    "arm": ("v5", "v6", "v7", "v8"),
    "arm64": ("v8",),
    "mips": ("hardfloat", "softfloat"),
    "mipsle": ("hardfloat", "softfloat"),
    "mips64": ("hardfloat", "softfloat"),
    "mips64le": ("hardfloat", "softfloat"),
}
"""Variants by architecture, oldest first where they are levels. An architecture not listed takes any ``vN`` or name.

amd64: the x86-64 psABI's microarchitecture levels. arm: the OCI image specification's table of variants.
mips: GOMIPS and GOMIPS64. arm64 takes ``v8`` and ``v9`` with a minor version too, as in ``v8.2``.
"""

# What containerd's platforms package reads besides the OCI names: (arch, variant). Empty keeps the given variant.
_ARCH_SPELLINGS: Final[Mapping[str, tuple[Arch, str]]] = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_OS_SPELLINGS: Final[Mapping[str, Os]] = {"macos": "darwin"}
# The variant that is written as none.
_DEFAULT_VARIANTS: Final[Mapping[str, str]] = {"amd64": "v1", "arm64": "v8"}

# Each table below is keyed by architecture, or by architecture/variant where variants differ. `name_in` reads them.

UNAME: Final[Mapping[str, str]] = {
    "amd64": "x86_64", "386": "i686", "arm/v5": "armv5tel", "arm/v6": "armv6l", "arm/v7": "armv7l", "arm/v8": "armv8l",
    "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x", "loong64": "loongarch64",
    "mips": "mips", "mipsle": "mips", "mips64": "mips64", "mips64le": "mips64",
}  # fmt: skip
"""`uname -m` of a Linux kernel (its arch/*/Makefile UTS_MACHINE). mips says nothing about endianness."""

MARCH: Final[Mapping[str, str]] = {
    "amd64": "x86_64", "386": "i386", "arm/v5": "armv5l", "arm/v6": "armv6l", "arm/v7": "armv7l", "arm/v8": "armv7l",
    "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x", "loong64": "loongarch64",
    "mips": "mips", "mipsle": "mipsle", "mips64": "mips64", "mips64le": "mips64le",
}  # fmt: skip
"""What `xx-info march` prints: near `uname -m`, not equal to it."""

DEBIAN: Final[Mapping[str, str]] = {
    "amd64": "amd64", "386": "i386", "arm/v5": "armel", "arm/v6": "armel", "arm/v7": "armhf", "arm/v8": "armhf",
    "arm64": "arm64", "riscv64": "riscv64", "ppc64le": "ppc64el", "s390x": "s390x", "loong64": "loong64",
    "mips": "mips", "mipsle": "mipsel", "mips64": "mips64", "mips64le": "mips64el",
}  # fmt: skip
"""`dpkg --print-architecture`. Debian's armhf needs ARMv7, so v6 is armel."""

ALPINE: Final[Mapping[str, str]] = {
    "amd64": "x86_64", "386": "x86", "arm/v5": "armel", "arm/v6": "armhf", "arm/v7": "armv7", "arm/v8": "armv7",
    "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x", "loong64": "loongarch64",
    "mips": "mips", "mipsle": "mipsle", "mips64": "mips64", "mips64le": "mips64le",
}  # fmt: skip
"""`apk --print-arch`. Alpine's armhf is ARMv6. It publishes nothing for armel and mips; these are names only."""

RPM: Final[Mapping[str, str]] = {
    "amd64": "x86_64", "386": "i386", "arm/v5": "armv5tel", "arm/v6": "armv6hl", "arm/v7": "armv7hl",
    "arm/v8": "armv7hl", "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x",
    "loong64": "loongarch64", "mips": "mips", "mipsle": "mipsel", "mips64": "mips64", "mips64le": "mips64el",
}  # fmt: skip
"""`rpm --eval %_target_cpu`, as rpm's rpmrc names them."""

LLVM: Final[Mapping[str, str]] = {
    "amd64": "x86_64", "386": "i686", "arm/v5": "armv5", "arm/v6": "armv6", "arm/v7": "armv7", "arm/v8": "armv7",
    "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "powerpc64le", "s390x": "s390x", "loong64": "loongarch64",
    "mips": "mips", "mipsle": "mipsel", "mips64": "mips64", "mips64le": "mips64el",
}  # fmt: skip
"""The architecture in an LLVM target triple (llvm/TargetParser/Triple.h). GNU triples say plain `arm`."""

QEMU: Final[Mapping[str, str]] = {
    "amd64": "x86_64", "386": "i386", "arm": "arm", "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "ppc64le",
    "s390x": "s390x", "loong64": "loongarch64", "mips": "mips", "mipsle": "mipsel", "mips64": "mips64",
    "mips64le": "mips64el",
}  # fmt: skip
"""The suffix of QEMU's user mode program: `qemu-aarch64-static`."""

ELF_MACHINE: Final[Mapping[str, int]] = {
    "amd64": 62, "386": 3, "arm": 40, "arm64": 183, "riscv64": 243, "ppc64le": 21, "s390x": 22, "loong64": 258,
    "mips": 8, "mipsle": 8, "mips64": 8, "mips64le": 8,
}  # fmt: skip
"""e_machine (ELF gABI, "EM_" values). Class and byte order are in `xxpy.verify.elf`."""


class Platform:
    """`os/arch[/variant]` as the OCI image specification has it. Immutable, ordered, hashable.

    ``os`` is of `OSES`, ``arch`` of `ARCHITECTURES`, ``variant`` empty or as ``v7``. Make one with `parse` or `of`:
    they normalise, so that the same platform is an equal one. The plain constructor takes its parts as they are.
    """

    __match_args__ = ("os", "arch", "variant")
    __slots__ = ("arch", "os", "variant")
    os: str
    arch: str
    variant: str

    def __init__(self, os: str, arch: str, variant: str = "") -> None:
        object.__setattr__(self, "os", os)
        object.__setattr__(self, "arch", arch)
        object.__setattr__(self, "variant", variant)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Platform is immutable: cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Platform is immutable: cannot delete {name}")

    def _key(self) -> tuple[str, str, str]:
        return (self.os, self.arch, self.variant)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Platform) else NotImplemented

    def __lt__(self, other: Platform) -> bool:
        return self._key() < other._key() if isinstance(other, Platform) else NotImplemented

    def __le__(self, other: Platform) -> bool:
        return self._key() <= other._key() if isinstance(other, Platform) else NotImplemented

    def __gt__(self, other: Platform) -> bool:
        return self._key() > other._key() if isinstance(other, Platform) else NotImplemented

    def __ge__(self, other: Platform) -> bool:
        return self._key() >= other._key() if isinstance(other, Platform) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[type[Platform], tuple[str, str, str]]:
        return (Platform, self._key())

    def __str__(self) -> str:
        return "/".join(self._key()) if self.variant else f"{self.os}/{self.arch}"

    def __repr__(self) -> str:
        return f"Platform({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/arch[/variant]``, or one word: an OS with the host's architecture, or an architecture on Linux.

        Raises `PlatformError`, reason ``platform-invalid`` if it does not have that form, ``platform-unknown`` if a
        part is none that can be a target.
        """
        parts = text.strip().split("/")
        if len(parts) > 3 or not all(_is_word(part) for part in parts):
            raise PlatformError(
                f"{text!r} is not a platform",
                remedy="Write it as os/arch or os/arch/variant, for example linux/amd64 or linux/arm/v7.",
                reason="platform-invalid",
            )
        if len(parts) == 1:
            word = parts[0].lower()
            if word in OSES or word in _OS_SPELLINGS:
                host = cls.host()
                return cls.of(word, host.arch, host.variant)
            return cls.of("linux", word)
        return cls.of(*parts)

    @classmethod
    def of(cls, os: str, arch: str, variant: str = "") -> Platform:
        """Normalise three parts in any spelling that containerd reads. Raises as `parse` does."""
        os_name = os.lower()
        os_name = _OS_SPELLINGS.get(os_name, os_name)
        arch_name, implied = _ARCH_SPELLINGS.get(arch.lower(), (arch.lower(), ""))
        if os_name not in OSES:
            raise PlatformError(
                f"unknown operating system {os!r} in platform {_joined(os, arch, variant)!r}",
                remedy=f"Known operating systems: {', '.join(OSES)}.",
                reason="platform-unknown",
            )
        if arch_name not in ARCHITECTURES:
            raise PlatformError(
                f"unknown architecture {arch!r} in platform {_joined(os, arch, variant)!r}",
                remedy=_arch_remedy(os_name, arch.lower()),
                reason="platform-unknown",
            )
        return cls(os_name, arch_name, _normal_variant(os, arch, arch_name, implied or variant))

    @classmethod
    def host(cls) -> Platform:
        """The platform of the running kernel. Raises `PlatformError` on a machine that is none of `ARCHITECTURES`."""
        uname = _os.uname()
        return cls.of(uname.sysname, *uname_platform_parts(uname.machine))


def _joined(os: str, arch: str, variant: str) -> str:
    return "/".join((os, arch, variant)) if variant else f"{os}/{arch}"


def _is_word(text: str) -> bool:
    return text.isascii() and text.replace("_", "").replace("-", "").replace(".", "").isalnum()


def _arch_remedy(os: str, arch: str) -> str:
    if arch.startswith("armv") and arch[4:5] in ("5", "6", "7", "8"):
        return f"Write {os}/arm/v{arch[4]}."
    return f"Known architectures: {', '.join(ARCHITECTURES)}."


def _normal_variant(os: str, given_arch: str, arch: str, given: str) -> str:
    variant = given.lower()
    if variant[:1].isdigit():
        variant = f"v{variant}"
    if arch == "arm64" and variant.endswith(".0"):
        variant = variant[:-2]
    if _DEFAULT_VARIANTS.get(arch) == variant:
        return ""
    if not variant:
        return "v7" if arch == "arm" else ""
    known = VARIANTS.get(arch, (variant,))
    # arm64 levels have minor versions: v8.2, v9.
    if variant in known or (arch == "arm64" and variant.split(".")[0] in ("v8", "v9") and variant.count(".") <= 1):
        return variant
    raise PlatformError(
        f"unknown variant {given!r} in platform {_joined(os, given_arch, given)!r}",
        remedy=f"Known variants of {arch}: {', '.join(known)}.",
        reason="platform-unknown",
    )


def uname_platform_parts(machine: str) -> tuple[str, str]:
    """The architecture and variant of a `uname -m` value, in a spelling that `Platform.of` reads.

    A mips machine name says nothing about byte order; the running interpreter's own is taken.
    A value that is not known is returned as it is, for `Platform.of` to refuse by name.
    """
    if machine.startswith("armv"):
        return ("arm", f"v{machine[4:5]}")
    if machine in ("i386", "i486", "i586", "i686"):
        return ("386", "")
    if machine in ("mips", "mips64"):
        import sys

        return (machine + ("le" if sys.byteorder == "little" else ""), "")
    return ({"loongarch64": "loong64"}.get(machine, machine), "")


def parse_list(text: str) -> tuple[Platform, ...]:
    """Read platforms separated by commas, in order, each once. Raises as `Platform.parse`; an empty item is invalid."""
    return tuple(dict.fromkeys(Platform.parse(item) for item in text.split(",")))


def name_in(table: Mapping[str, str], platform: Platform) -> str:
    """What a scheme calls the platform's architecture."""
    name = table.get(platform.arch)
    return table[f"{platform.arch}/{platform.variant or 'v7'}"] if name is None else name


def debian_arch(platform: Platform) -> str:
    """As `dpkg --print-architecture` prints it: ``armhf``."""
    return name_in(DEBIAN, platform)


def alpine_arch(platform: Platform) -> str:
    """As `apk --print-arch` prints it: ``armv7``."""
    return name_in(ALPINE, platform)


def rpm_arch(platform: Platform) -> str:
    """As RPM packages are named: ``armv7hl``."""
    return name_in(RPM, platform)


def llvm_arch(platform: Platform) -> str:
    """As LLVM triples begin: ``armv7``."""
    return name_in(LLVM, platform)


def uname_machine(platform: Platform) -> str:
    """As `uname -m` prints it on such a machine: ``armv7l``."""
    return name_in(UNAME, platform)


def qemu_arch(platform: Platform) -> str:
    """The suffix of the QEMU user mode program that runs the platform: ``arm``."""
    return name_in(QEMU, platform)


def elf_machine(platform: Platform) -> int:
    """The e_machine value of the platform's ELF files."""
    return ELF_MACHINE[platform.arch]


def runs_natively(target: Platform, host: Platform) -> bool:
    """Whether the host's kernel and CPU run the target's programs without an emulator.

    386 runs on amd64. 32-bit arm on arm64 is not assumed: many arm64 CPUs have no AArch32 mode at all. An older arm
    variant runs on a newer one. The level of an amd64 host is taken as sufficient, unless the host names one.
    """
    if target.os != host.os:
        return False
    if target.arch == "386":
        return host.arch in ("386", "amd64")
    if target.arch != host.arch:
        return False
    if target.arch in ("arm", "amd64") and host.variant:
        return target.variant <= host.variant
    return True
