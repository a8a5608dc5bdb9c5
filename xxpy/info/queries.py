"""The queries of `xx-info`: name, meaning and answer of each in one table, which is also its help."""

from __future__ import annotations

from xxpy.info.target import Request, Target
from xxpy.platforms import alpine_arch, debian_arch, rpm_arch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xxpy.info.osrelease import OsRelease


def _env(target: Target) -> str:
    platform = target.platform
    pairs = [
        ("XX_OS", platform.os),
        ("XX_OS_VERSION", target.distro.version_id),
        ("XX_ARCH", platform.arch),
        ("XX_MARCH", target.march),
        ("XX_VENDOR", target.vendor),
        ("XX_PKG_ARCH", target.pkg_arch),
        ("XX_TRIPLE", target.triple),
        ("XX_LIBC", target.libc),
        ("TARGETOS", platform.os),
        ("TARGETARCH", platform.arch),
        ("TARGETVARIANT", target.variant),
    ]
    # A target that is not Linux has no packages.
    return "\n".join(f"{k}={_quoted(v)}" for k, v in pairs if k != "XX_PKG_ARCH" or platform.os == "linux")


def _quoted(value: str) -> str:
    """As a shell reads it back: the output is made for `eval`, and the values are not all ours."""
    if all(char.isalnum() or char in "._-+/:@%" for char in value):
        return value
    return "'" + value.replace("'", "'\\''") + "'"


LENIENT: dict[str, tuple[str, Callable[[Request], str]]] = {
    "os": ("operating system of the target, as TARGETOS: linux", lambda r: r.os),
    "arch": ("architecture of the target, as TARGETARCH: arm64", lambda r: r.arch),
    "variant": ("variant of the architecture, as TARGETVARIANT: v7, or empty", lambda r: r.normal_variant),
    "vendor": ("vendor: the distribution's ID, apple for macOS, or XX_VENDOR", lambda r: r.vendor),
    "libc": ("C library: gnu, musl, mingw32, or XX_LIBC", lambda r: r.libc),
    "os-version": ("version of this stage's distribution: 12, 3.20.3", lambda r: r.distro.version_id),
}
"""Queries that say what the environment asks for, in its own spelling and even if it is no target."""

STRICT: dict[str, tuple[str, Callable[[Target], str]]] = {
    "triple": ("target triple for compilers: aarch64-linux-gnu (also when no query is given)", lambda t: t.triple),
    "march": ("machine name, near what uname -m prints: aarch64", lambda t: t.march),
    "pkg-arch": ("architecture in this distribution's packages: armhf", lambda t: t.pkg_arch),
    "debian-arch": ("architecture as Debian names it: ppc64el", lambda t: debian_arch(t.platform)),
    "alpine-arch": ("architecture as Alpine names it: armv7", lambda t: alpine_arch(t.platform)),
    "rhel-arch": ("architecture as Fedora and RHEL name it: armv7hl", lambda t: rpm_arch(t.platform)),
    "sysroot": ("directory of the target's headers and libraries: /", lambda t: t.sysroot),
    "env": ("all of it as variables, to be read with eval", _env),
}
"""Queries that need a target that can be served."""

IS_CROSS = "is-cross"


def answer(query: str, env: Mapping[str, str], distro: OsRelease, machine: str) -> str:
    """The answer to a query of `LENIENT` or `STRICT`, without a newline at its end.

    Raises `PlatformError` if the query needs a target and the environment names none, `KeyError` on another query.
    """
    if query in LENIENT:
        return LENIENT[query][1](Request(env, distro, machine))
    return STRICT[query][1](Target.from_env(env, distro, machine))
