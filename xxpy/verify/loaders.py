"""The dynamic linker's path by architecture and C library (the ABI supplements; glibc's abi-tags; musl's wiki)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xxpy.platforms import Platform

GLIBC: Mapping[str, str] = {
    "amd64": "/lib64/ld-linux-x86-64.so.2", "386": "/lib/ld-linux.so.2", "arm64": "/lib/ld-linux-aarch64.so.1",
    "riscv64": "/lib/ld-linux-riscv64-lp64d.so.1", "ppc64le": "/lib64/ld64.so.2", "s390x": "/lib/ld64.so.1",
    "loong64": "/lib64/ld-linux-loongarch-lp64d.so.1", "mips": "/lib/ld.so.1", "mipsle": "/lib/ld.so.1",
    "mips64": "/lib64/ld.so.1", "mips64le": "/lib64/ld.so.1",
}  # fmt: skip
ARM_SOFT, ARM_HARD = "/lib/ld-linux.so.3", "/lib/ld-linux-armhf.so.3"

_MUSL: Mapping[str, str] = {
    "amd64": "x86_64", "386": "i386", "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "powerpc64le",
    "s390x": "s390x", "loong64": "loongarch64", "mips": "mips", "mipsle": "mipsel", "mips64": "mips64",
    "mips64le": "mips64el",
}  # fmt: skip


def known_loaders(platform: Platform) -> Mapping[str, tuple[str, str]]:
    """Each dynamic linker that programs of the architecture name, with its C library and its float ABI, "" for one."""
    if platform.arch == "arm":
        return {
            ARM_SOFT: ("gnu", "soft"), ARM_HARD: ("gnu", "hard"),
            "/lib/ld-musl-arm.so.1": ("musl", "soft"), "/lib/ld-musl-armhf.so.1": ("musl", "hard"),
        }  # fmt: skip
    return {GLIBC[platform.arch]: ("gnu", ""), f"/lib/ld-musl-{_MUSL[platform.arch]}.so.1": ("musl", "")}
