"""The profile of a target: compiler, flags, linker, sysroot, pkg-config, runner, as one value.

The command line of xx-cc, the aliases, the files for CMake, Meson and autoconf, and the environments of cargo and Go
all derive from it, so that they cannot disagree.
"""

from __future__ import annotations

import os

from xxpy.cc import find
from xxpy.cc.linker import LINKER_VARIABLE, STATIC_VARIABLE, Linker, find_linker, rpath_link
from xxpy.cc.sdk import find_sdk
from xxpy.errors import HostError
from xxpy.info import programs
from xxpy.info.target import Target
from xxpy.platforms import ARCHITECTURES, Platform, llvm_arch, qemu_arch, runs_natively

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

COMPILER_VARIABLE = "XX_CC_PREFER_COMPILER"
"""``clang`` (the default), ``gcc`` or ``zig``."""
COMPILERS = ("clang", "gcc", "zig")
GLIBC_VARIABLE = "XX_CC_GLIBC"
"""With zig: the oldest glibc that the program is to run on, as ``2.31``."""
CHOICES = (COMPILER_VARIABLE, GLIBC_VARIABLE, LINKER_VARIABLE, STATIC_VARIABLE, find.CLANG_VARIABLE)
"""The variables by which a user chooses another compiler or linker than what is taken by itself."""

# zig's names (lib/std/Target.zig); the C library's ABI follows.
_ZIG_ARCH = {"386": "x86", "arm64": "aarch64", "amd64": "x86_64", "ppc64le": "powerpc64le", "loong64": "loongarch64",
             "mipsle": "mipsel", "mips64le": "mips64el"}  # fmt: skip
# -march where the triple's own default is an older ARM than the variant; clang's Debian triples say plain arm.
_ARM_MARCH = {"v5": "armv5te", "v6": "armv6", "v7": "armv7-a", "v8": "armv7-a"}


def clang_triple(target: Target) -> str:
    """The triple as clang takes it: ``armv7-linux-gnueabihf``, where GCC's, ``arm-…``, would mean an older ARM.

    What RISCV64_TARGET_ARCH and ARM_TARGET_ARCH say is for other tools: clang knows no ``riscv64gc``.
    """
    gnu = target.triple
    if target.platform.os != "linux":
        return gnu
    if target.platform.arch == "riscv64":
        return "riscv64" + gnu[gnu.index("-") :]
    if target.platform.arch == "arm" and gnu.startswith("arm-"):
        return llvm_arch(target.platform) + gnu.removeprefix("arm")
    return gnu


def multiarch(target: Target) -> str:
    """The name of Debian's library folders: ``i386-linux-gnu`` for 386, else the GNU triple."""
    gnu = target.triple
    return f"i386{gnu.removeprefix('i686')}" if target.platform.arch == "386" else gnu


def zig_triple(target: Target, glibc: str = "") -> str:
    """As ``zig cc -target`` takes it: ``aarch64-linux-gnu.2.31``, ``x86_64-windows-gnu``, ``aarch64-macos``."""
    platform = target.platform
    arch = _ZIG_ARCH.get(platform.arch, platform.arch)
    if platform.os == "darwin":
        return f"{arch}-macos"
    if platform.os == "windows":
        return f"{arch}-windows-gnu"
    libc = "musl" if target.libc == "musl" else "gnu"
    if platform.arch == "arm":
        hard = target.triple.endswith("hf") or (target.family == "alpine" and platform.variant == "v6")
        libc += "eabihf" if hard else "eabi"
    elif platform.arch in ("mips", "mipsle"):
        libc += "eabi" + ("" if platform.variant == "softfloat" else "hf")
    elif platform.arch in ("mips64", "mips64le"):
        libc += "abi64"
    suffix = f".{glibc}" if glibc and libc.startswith("gnu") else ""
    return f"{arch}-{platform.os}-{libc}{suffix}"


def level_flags(target: Target) -> list[str]:
    """What makes the compiler use the instructions of the variant: ``-march=x86-64-v3`` for linux/amd64/v3."""
    platform = target.platform
    if platform.arch == "amd64" and platform.variant:
        return [f"-march=x86-64-{platform.variant}"]
    if platform.arch == "arm" and platform.os == "linux":
        return [f"-march={_ARM_MARCH[platform.variant]}"]
    return []


def sysroot_of(target: Target) -> str:
    """The second root that holds a Linux target's headers and libraries; empty where they are in ``/``.

    For Fedora and its kin `xx-info sysroot` says ``/``, as it always has; xx-dnf fills a root as xx-apk does.
    """
    if target.platform.os != "linux" or not target.is_cross:
        return ""
    if target.family == "rpm" and target.distro.family == "rpm":
        return f"/{target.triple}"
    return target.sysroot.rstrip("/")


class Toolchain:
    """How programs for ``target`` are made in this stage. Not to be changed once made.

    ``compiler`` is of `COMPILERS`. ``cc`` and ``cxx`` are argument vectors, complete but for the linker. ``linker`` is
    None where the compiler brings its own (gcc, zig). ``clang`` is clang's path, empty with another compiler.
    ``sysroot`` is empty where headers and libraries lie in ``/``.
    """

    __slots__ = ("cc", "clang", "compiler", "cxx", "env", "linker", "sysroot", "target")

    def __init__(self, target: Target, env: Mapping[str, str]) -> None:
        """Look for all of it. Raises HostError, UsageError."""
        self.target = target
        self.env = env
        self.compiler = preferred_compiler(env)
        self.clang = ""
        self.linker: Linker | None = None
        self.sysroot = sysroot_of(target)
        if self.compiler == "clang":
            self.clang = find.find_clang(False, env)
            flags = clang_flags(target)
            self.linker = find_linker(target, env, self.clang)
            self.cc = [self.clang, *flags]
            self.cxx = [find.find_clang(True, env), *flags]
        elif self.compiler == "gcc":
            self.cc = other_compiler("gcc", target, env, cxx=False)
            try:
                self.cxx = other_compiler("gcc", target, env, cxx=True)
            except HostError:
                # C alone is what most want of it. Whoever calls it for C++ is told by its name what is missing.
                self.cxx = [f"{target.triple}-g++"]
        else:
            self.cc = other_compiler("zig", target, env, cxx=False)
            self.cxx = other_compiler("zig", target, env, cxx=True)

    @property
    def triple(self) -> str:
        """What aliases begin with: clang's triple."""
        return clang_triple(self.target)

    @property
    def link_flags(self) -> list[str]:
        """What the compiler is given when it links."""
        if self.linker is None:
            return []
        return [*self.linker.flags, *rpath_link(self.target, self.linker, self.library_folders)]

    @property
    def library_folders(self) -> list[str]:
        """Where the target's shared libraries lie."""
        return library_folders(self.target)

    @property
    def pkg_config_folders(self) -> list[str]:
        """PKG_CONFIG_LIBDIR of the target."""
        platform = self.target.platform
        if platform.os == "windows":
            return [f"/usr/{self.target.triple}/lib/pkgconfig", f"/usr/{self.target.triple}/share/pkgconfig"]
        if platform.os == "darwin":
            return ["/opt/xx/darwin/lib/pkgconfig"]
        root = self.sysroot
        if self.target.family == "debian":
            name = multiarch(self.target)
            local = [
                f"/usr/local/lib/{name}/pkgconfig",
                *([] if self.target.is_cross else ["/usr/local/lib/pkgconfig"]),
            ]
            return [*local, f"/usr/lib/{name}/pkgconfig", "/usr/share/pkgconfig"]
        return [
            f"{root}/usr/local/lib/pkgconfig",
            f"{self.library_folders[1]}/pkgconfig",
            f"{root}/usr/share/pkgconfig",
        ]

    @property
    def runner(self) -> list[str]:
        """What starts the target's programs here: QEMU, with ``-L`` if their libraries are not in ``/``; or nothing."""
        return runner_of(self.target, self.env)

    def tool(self, name: str) -> str:
        """The path of ``ar``, ``nm``, ``strip`` …: with clang LLVM's, else the target's own of GNU binutils; or empty.

        For a target that is this machine the plain one serves as well.
        """
        path = self.env.get("PATH")
        llvm = find.find_llvm(f"llvm-{name}", self.clang, self.env) if self.compiler == "clang" else ""
        own = programs.find(f"{self.target.triple}-{name}", path)
        return llvm or own or ("" if self.target.is_cross else programs.find(name, path))


def library_folders(target: Target) -> list[str]:
    """As `Toolchain.library_folders`."""
    if target.platform.os != "linux":
        return []
    if target.family == "debian":
        name = multiarch(target)
        return [f"/lib/{name}", f"/usr/lib/{name}"]
    bits = "lib64" if target.family == "rpm" and target.platform.arch not in ("386", "arm") else "lib"
    return [f"{sysroot_of(target)}/{bits}", f"{sysroot_of(target)}/usr/{bits}"]


def preferred_compiler(env: Mapping[str, str]) -> str:
    """XX_CC_PREFER_COMPILER, or clang. Raises UsageError (``choice-unknown``)."""
    compiler = env.get(COMPILER_VARIABLE, "") or "clang"
    if compiler not in COMPILERS:
        raise find.unknown_choice(COMPILER_VARIABLE, compiler, ", ".join(COMPILERS))
    return compiler


def other_compiler(compiler: str, target: Target, env: Mapping[str, str], cxx: bool) -> list[str]:
    """gcc's or zig's command line without arguments. Raises HostError (``no-gcc``, ``no-zig``)."""
    if compiler == "gcc":
        return [find.find_gcc(target.triple, target.is_cross, cxx, env)]
    return [*find.find_zig(env), "c++" if cxx else "cc", "-target", zig_triple(target, env.get(GLIBC_VARIABLE, ""))]


def clang_flags(target: Target) -> list[str]:
    """clang's flags for each call, whether it compiles or links. Raises HostError (``no-sdk``)."""
    flags = [f"--target={clang_triple(target)}", *level_flags(target)]
    if target.platform.os == "darwin":
        flags += ["-isysroot", find_sdk()]
    elif sysroot := sysroot_of(target):
        flags.append(f"--sysroot={sysroot}/")
    return flags


def runner_of(target: Target, env: Mapping[str, str]) -> list[str]:
    """As `Toolchain.runner`."""
    platform = target.platform
    if platform.os != "linux" or runs_natively(platform, target.host):
        return []
    name = f"qemu-{qemu_arch(platform)}"
    found = programs.find(name, env.get("PATH")) or programs.find(f"{name}-static", env.get("PATH"))
    if not found:
        return []
    sysroot = sysroot_of(target)
    # Debian's cross packages have a root of their own; libc6:ARCH lies in /.
    cross = f"/usr/{target.triple}"
    if not sysroot and target.family == "debian" and os.path.isdir(f"{cross}/lib"):
        sysroot = "" if os.path.isdir(f"/lib/{multiarch(target)}") else cross
    return [found, *(["-L", sysroot] if sysroot else [])]


def known_targets(env: Mapping[str, str], current: Target) -> list[Target]:
    """A target for each platform that a triple can name, as this stage sees them."""
    kept = {name: value for name, value in env.items() if not name.startswith("TARGET")}
    machine = os.uname().machine
    found = [current]
    for arch in ARCHITECTURES:
        # arm-linux-gnueabi is Debian's armel, ARMv5, unless the current target is a v6 one.
        for variant in ("v7", "v5", "v6", "v8") if arch == "arm" else ("",):
            platform = str(Platform.of("linux", arch, variant))
            found.append(Target.from_env({**kept, "TARGETPLATFORM": platform}, current.distro, machine))
    for platform in ("windows/amd64", "windows/386", "windows/arm64", "darwin/amd64", "darwin/arm64"):
        found.append(Target.from_env({**kept, "TARGETPLATFORM": platform}, current.distro, machine))
    return found


def target_of_triple(triple: str, env: Mapping[str, str], current: Target) -> Target | None:
    """The target whose GNU or clang triple this is, whatever TARGETPLATFORM says; None if it is none of ours."""
    for candidate in known_targets(env, current):
        if triple in (candidate.triple, clang_triple(candidate)):
            return candidate
    return None
