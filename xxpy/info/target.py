"""What a build stage is to produce code for, worked out from the environment that the builder gives it.

`Request` is what the environment asks for, not yet checked. `Target` is a request that can be served. The answers are
those of tonistiigi/xx's `xx-info`; a test holds the two together.
"""

from __future__ import annotations

import os

from xxpy.errors import PlatformError
from xxpy.info.osrelease import OsRelease, family_of
from xxpy.platforms import ALPINE, ARCHITECTURES, DEBIAN, MARCH, RPM, Platform, name_in, uname_platform_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xxpy.info.osrelease import Family

MACOS_SYSROOT = "/xx-sdk/MacOSX11.1.sdk/"
"""Where a macOS SDK is expected: the directory that images with an SDK mount or copy it to."""

# The architectures of the systems whose triples are spelt out below. A BSD target has the triple of Linux.
_SYSTEM_ARCHITECTURES = {"darwin": ("amd64", "arm64"), "windows": ("amd64", "386", "arm", "arm64")}
# The first macOS that runs on the architecture, as clang takes it for -mmacosx-version-min.
_MACOS_MINIMUM = {"amd64": "10.6", "arm64": "11.0"}
_WINDOWS_TRIPLE_ARCH = {"amd64": "x86_64", "386": "i686", "arm": "armv7", "arm64": "aarch64"}
_GNU_TRIPLE_ARCH = {
    "amd64": "x86_64", "386": "i686", "arm": "arm", "arm64": "aarch64", "riscv64": "riscv64",
    "ppc64le": "powerpc64le", "s390x": "s390x", "loong64": "loongarch64",
    "mips": "mips", "mipsle": "mipsel", "mips64": "mips64", "mips64le": "mips64el",
}  # fmt: skip
# Alpine builds for i586 and says which ARM; its v6 has hardware floating point, Debian's and Fedora's has not.
_ALPINE_TRIPLE_ARCH = {"386": "i586", "arm/v5": "armv5", "arm/v6": "armv6", "arm/v7": "armv7", "arm/v8": "armv7"}


class Request:
    """The parts of a target as the environment spells them, defaults filled in, nothing checked.

    ``os``, ``arch`` and ``variant`` are empty only where a default does not exist. ``variant_given`` says that
    TARGETPLATFORM itself has the variant, so that a wrong one is an error and not a left-over of another variable.
    """

    __slots__ = ("arch", "distro", "libc", "os", "variant", "variant_given", "vendor", "vendor_given")

    def __init__(self, env: Mapping[str, str], distro: OsRelease, machine: str) -> None:
        self.distro = distro
        self.os = env.get("TARGETOS", "")
        self.arch = env.get("TARGETARCH", "")
        self.variant = env.get("TARGETVARIANT", "")
        if pair := env.get("TARGETPAIR", ""):
            self.os, dash, self.arch = pair.partition("-")
            if not dash:
                self.arch = pair
            if self.arch.startswith("armv"):
                self.arch, self.variant = "arm", self.arch[3:]
        self.variant_given = False
        if text := env.get("TARGETPLATFORM", ""):
            parts = text.split("/")
            self.os = parts[0]
            self.arch = parts[1] if len(parts) > 1 else text
            self.variant_given = len(parts) > 2 and parts[2] != ""
            if self.variant_given:
                self.variant = "/".join(parts[2:])
        self.os = self.os or "linux"
        if not self.arch:
            host = Platform.of("linux", *uname_platform_parts(machine))
            self.arch, self.variant = host.arch, self.variant or host.variant
        self.vendor_given = env.get("XX_VENDOR", "")
        system = self.os.lower()
        self.vendor = self.vendor_given or ("apple" if system in ("darwin", "macos") else distro.id or "unknown")
        libc = "mingw32" if system == "windows" else "musl" if distro.family == "alpine" else "gnu"
        self.libc = env.get("XX_LIBC", "") or libc

    @property
    def normal_variant(self) -> str:
        """The variant in OCI's form; as given if the architecture is not in OCI's spelling or has no such variant."""
        if self.arch not in ARCHITECTURES:
            return self.variant
        try:
            return Platform.of("linux", self.arch, self.variant).variant
        except PlatformError:
            return self.variant

    def platform(self) -> Platform:
        """Raises `PlatformError` if the request names what is no target."""
        try:
            platform = Platform.of(self.os, self.arch, self.variant)
        except PlatformError:
            if self.variant_given or not self.variant:
                raise
            # TARGETVARIANT or TARGETPAIR is about another architecture than the one that TARGETPLATFORM names.
            platform = Platform.of(self.os, self.arch)
        served = _SYSTEM_ARCHITECTURES.get(platform.os)
        if served is not None and platform.arch not in served:
            raise PlatformError(
                f"no toolchain makes {platform} programs",
                remedy=f"Architectures of {platform.os}: {', '.join(served)}.",
                reason="platform-unknown",
            )
        return platform


class Target:
    """A Platform seen from the distribution that builds for it.

    ``platform`` is what to build for, ``host`` where the build runs. ``vendor`` and ``libc`` are as in a triple
    (``alpine``, ``musl``). ``variant`` is as TARGETVARIANT is to be printed. ``distro`` is the stage's distribution.
    ``arch_override`` replaces the triple's architecture, ``macos_minimum`` its macOS version; empty means the default.
    Not to be changed once made.
    """

    __slots__ = (
        "arch_override", "distro", "host", "libc", "macos_minimum", "platform", "variant", "vendor", "vendor_given",
    )  # fmt: skip

    def __init__(self, request: Request, env: Mapping[str, str], machine: str) -> None:
        self.platform = request.platform()
        self.host = Platform.of("linux", *uname_platform_parts(machine))
        self.vendor = request.vendor
        self.vendor_given = request.vendor_given
        self.libc = request.libc
        self.distro = request.distro
        leftover = request.arch in ARCHITECTURES and request.normal_variant != self.platform.variant
        self.variant = request.variant if leftover else self.platform.variant
        self.macos_minimum = env.get("MACOSX_VERSION_MIN", "")
        self.arch_override = ""
        if self.platform.arch == "riscv64":
            self.arch_override = env.get("RISCV64_TARGET_ARCH", "")
        elif self.platform.arch == "arm" and self.platform.variant == "v7":
            self.arch_override = env.get("ARM_TARGET_ARCH", "")

    @classmethod
    def from_env(cls, env: Mapping[str, str], distro: OsRelease, machine: str) -> Target:
        """From the variables that a builder gives a stage, and those by which a user overrides single parts.

        ``machine`` is `uname -m`. Raises `PlatformError` if the variables name what is no target.
        """
        return cls(Request(env, distro, machine), env, machine)

    @classmethod
    def current(cls) -> Target:
        """The target of this process: its environment, its root filesystem's distribution, its kernel."""
        return cls.from_env(os.environ, OsRelease.read(), os.uname().machine)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Target):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__ if name != "distro")

    def __hash__(self) -> int:
        return hash((self.platform, self.host, self.vendor, self.libc))

    @property
    def family(self) -> Family:
        """Whose naming applies: XX_VENDOR's if it is set, else the distribution's."""
        return family_of(self.vendor_given) if self.vendor_given else self.distro.family

    @property
    def march(self) -> str:
        """The architecture as `xx-info march` names it: ``x86_64``. macOS says ``arm64`` where others say aarch64."""
        if (self.platform.os, self.platform.arch) == ("darwin", "arm64"):
            return "arm64"
        return name_in(MARCH, self.platform)

    @property
    def pkg_arch(self) -> str:
        """The architecture as the distribution's packages are named: ``armhf``; OCI's name on an unknown one."""
        match self.family if self.platform.os != "darwin" or self.vendor_given else "other":
            case "debian":
                return name_in(DEBIAN, self.platform)
            case "alpine":
                return name_in(ALPINE, self.platform)
            case "rpm":
                return name_in(RPM, self.platform)
            case "other":
                return self.platform.arch

    @property
    def triple(self) -> str:
        """As compilers take it for --target: ``aarch64-linux-gnu``, ``armv7-alpine-linux-musleabihf``."""
        platform = self.platform
        # Debian's and Fedora's compilers have triples without a vendor.
        vendor = "" if self.family in ("debian", "rpm") and self.vendor != "apple" else f"{self.vendor}-"
        if platform.os == "windows":
            return f"{_WINDOWS_TRIPLE_ARCH[platform.arch]}-w64-mingw32"
        if platform.os == "darwin":
            return f"{self.march}-{vendor}macos{self.macos_minimum or _MACOS_MINIMUM[platform.arch]}"
        alpine = self.family == "alpine"
        key = f"{platform.arch}/{platform.variant}" if platform.arch == "arm" else platform.arch
        arch = _ALPINE_TRIPLE_ARCH.get(key) if alpine else None
        arch = self.arch_override or arch or _GNU_TRIPLE_ARCH[platform.arch]
        return f"{arch}-{vendor}linux-{self.libc}{_abi(platform, alpine)}"

    @property
    def is_cross(self) -> bool:
        """Whether the target differs from the host in more than the microarchitecture level of amd64."""
        same = (self.platform.os, self.platform.arch) == (self.host.os, self.host.arch)
        return not same or (self.platform.arch == "arm" and self.platform.variant != self.host.variant)

    @property
    def sysroot(self) -> str:
        """The directory that holds the target's headers and libraries, with a slash at its end.

        Debian and Fedora keep several architectures side by side in ``/``. Alpine does not: a foreign one is below
        ``/<triple>/``.
        """
        if self.platform.os == "darwin":
            return MACOS_SYSROOT
        if self.platform.os == "linux" and self.distro.family == "alpine" and self.is_cross:
            return f"/{self.triple}/"
        return "/"


def _abi(platform: Platform, alpine: bool) -> str:
    """The ABI that follows the libc in a triple, empty for architectures that have one only."""
    if platform.arch == "arm":
        soft = ("v5",) if alpine else ("v5", "v6")
        return "eabi" if platform.variant in soft else "eabihf"
    return "abi64" if platform.arch in ("mips64", "mips64le") else ""
