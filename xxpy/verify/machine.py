"""Which machine number is which architecture, in the formats that are not ELF.

Sources: Microsoft's PE format specification, "Machine Types"; Apple's mach/machine.h and mach-o/loader.h; the
WebAssembly core specification, "Binary Format".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PE_MACHINES: Mapping[int, str] = {
    0x8664: "amd64",
    0x14C: "386",
    0xAA64: "arm64",
    0x1C4: "arm",
    0x1C0: "arm",
    0xA641: "arm64",
}
"""IMAGE_FILE_MACHINE_* by number; 0xa641 is ARM64EC."""

MACHO_CPUS: Mapping[int, str] = {
    0x01000007: "amd64", 7: "386", 0x0100000C: "arm64", 12: "arm", 0x01000012: "ppc64", 18: "ppc",
}  # fmt: skip
"""CPU_TYPE_* by number."""

MACHO_PLATFORMS: Mapping[int, str] = {
    1: "macOS", 2: "iOS", 3: "tvOS", 4: "watchOS", 5: "bridgeOS", 6: "Mac Catalyst", 7: "iOS simulator",
    8: "tvOS simulator", 9: "watchOS simulator", 10: "DriverKit", 11: "visionOS",
}  # fmt: skip
"""PLATFORM_* of LC_BUILD_VERSION."""

MACHO_KINDS: Mapping[int, str] = {
    1: "object file", 2: "program", 4: "core dump", 6: "library", 7: "dynamic linker", 8: "bundle", 9: "library stub",
}  # fmt: skip
"""MH_* file types."""
