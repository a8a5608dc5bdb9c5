"""What Rust calls a target ("Platform Support" of the rustc book). Not what C compilers call it."""

from __future__ import annotations

from xxpy.errors import PlatformError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xxpy.info.target import Target

_ARCH: Mapping[str, str] = {
    "amd64": "x86_64", "386": "i686", "arm64": "aarch64", "riscv64": "riscv64gc", "ppc64le": "powerpc64le",
    "s390x": "s390x", "loong64": "loongarch64", "mips": "mips", "mipsle": "mipsel", "mips64": "mips64",
    "mips64le": "mips64el",
}  # fmt: skip
# For arm the variant decides, and whether floating point is in hardware; by variant: soft, hard.
_ARM: Mapping[str, tuple[str, str]] = {
    "v5": ("armv5te", "armv5te"), "v6": ("arm", "arm"), "v7": ("armv7", "armv7"), "v8": ("armv7", "armv7"),
}  # fmt: skip
_WINDOWS: Mapping[str, str] = {
    "amd64": "x86_64-pc-windows-gnu", "386": "i686-pc-windows-gnu", "arm64": "aarch64-pc-windows-gnullvm",
}  # fmt: skip


def rust_triple(target: Target, rustup: bool) -> str:
    """``aarch64-unknown-linux-gnu``. Alpine's and Debian's own compilers, without rustup, have triples of their own.

    Alpine's carry its name; Debian's library for armel is the one for ARMv5, also where v6 is wanted.
    Raises PlatformError (``no-rust-target``).
    """
    platform = target.platform
    if platform.os == "darwin":
        return f"{'aarch64' if platform.arch == 'arm64' else 'x86_64'}-apple-darwin"
    if platform.os == "windows":
        if platform.arch not in _WINDOWS:
            raise PlatformError(
                f"Rust has no target for {platform}",
                remedy=f"Architectures of windows: {', '.join(_WINDOWS)}.",
                reason="no-rust-target",
            )
        return _WINDOWS[platform.arch]
    if platform.os != "linux":
        return f"{_ARCH.get(platform.arch, platform.arch)}-unknown-{platform.os}"
    abi = target.triple.rpartition("-")[2].removeprefix(target.libc)
    libc = "musl" if target.libc == "musl" else "gnu"
    if platform.arch == "arm":
        arch = _ARM[platform.variant][abi.endswith("hf")]
        if not rustup and target.distro.family == "debian" and platform.variant == "v6":
            arch = "armv5te"
        if not rustup and target.distro.family == "alpine":
            arch = target.triple.partition("-")[0]
    else:
        arch = _ARCH[platform.arch]
        if not rustup and target.distro.family == "alpine":
            arch = {"i686": "i586", "riscv64gc": "riscv64"}.get(arch, arch)
    arch = target.arch_override or arch
    vendor = "alpine" if not rustup and target.distro.family == "alpine" and libc == "musl" else "unknown"
    return f"{arch}-{vendor}-linux-{libc}{abi}"
