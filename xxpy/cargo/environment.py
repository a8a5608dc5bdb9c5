"""The variables by which cargo, and the build scripts of crates, find the target's compiler and libraries.

Each is of the target alone (``CC_aarch64_unknown_linux_gnu``), so that what a build script makes for this machine is
made with this machine's tools. Sources: the Cargo book, "Environment Variables"; the documentation of the crates cc,
pkg-config, cmake and bindgen.
"""

from __future__ import annotations

from xxpy.cc.describe import shell_word
from xxpy.cc.toolchain import level_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xxpy.cc.describe import Names
    from xxpy.cc.toolchain import Toolchain

RUSTFLAGS_VARIABLE = "XX_RUSTFLAGS"
"""Flags for rustc when it makes code for the target, and then alone."""


def build_environment(triple: str, chain: Toolchain, names: Names, cmake_file: str) -> dict[str, str]:
    """The variables of a build for the Rust target ``triple``. ``cmake_file`` is the CMake toolchain file's path."""
    lower = triple.replace("-", "_").replace(".", "_")
    upper = f"CARGO_TARGET_{lower.upper()}"
    made = {f"{upper}_LINKER": names.cc, f"CC_{lower}": names.cc, f"CXX_{lower}": names.cxx}
    for variable, tool in (("AR", "ar"), ("RANLIB", "ranlib")):
        if tool in names.tools:
            made[f"{variable}_{lower}"] = names.tools[tool]
    if flags := level_flags(chain.target):
        made[f"CFLAGS_{lower}"] = made[f"CXXFLAGS_{lower}"] = " ".join(flags)
    if rustflags := _rustflags(chain):
        made[f"{upper}_RUSTFLAGS"] = rustflags
    if chain.runner:
        made[f"{upper}_RUNNER"] = " ".join(chain.runner)
    made |= _pkg_config(lower, chain, names)
    made[f"CMAKE_TOOLCHAIN_FILE_{lower}"] = cmake_file
    made[f"BINDGEN_EXTRA_CLANG_ARGS_{lower}"] = " ".join(shell_word(flag) for flag in _bindgen_flags(chain))
    return made


def _rustflags(chain: Toolchain) -> str:
    platform = chain.target.platform
    level = f"-Ctarget-cpu=x86-64-{platform.variant}" if platform.arch == "amd64" and platform.variant else ""
    return " ".join(word for word in (level, chain.env.get(RUSTFLAGS_VARIABLE, "")) if word)


def _pkg_config(lower: str, chain: Toolchain, names: Names) -> dict[str, str]:
    made = {f"PKG_CONFIG_ALLOW_CROSS_{lower}": "1", f"PKG_CONFIG_LIBDIR_{lower}": ":".join(chain.pkg_config_folders)}
    if "pkg-config" in names.tools:
        made[f"PKG_CONFIG_{lower}"] = names.tools["pkg-config"]
    if chain.sysroot:
        made[f"PKG_CONFIG_SYSROOT_DIR_{lower}"] = chain.sysroot
    return made


def _bindgen_flags(chain: Toolchain) -> list[str]:
    # libclang has no driver's name to learn the target from, whichever compiler the rest is made with.
    flags = [f"--target={chain.triple}", *level_flags(chain.target)]
    return [*flags, f"--sysroot={chain.sysroot}"] if chain.sysroot else flags


def without_given(made: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """``made`` without what the user has set: that stays as it is."""
    return {name: value for name, value in made.items() if name not in env}
