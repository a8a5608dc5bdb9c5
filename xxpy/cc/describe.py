"""A toolchain told to build systems: CMake, Meson, autoconf, pkg-config, and a shell's environment. Texts alone.

Sources: cmake-toolchains(7); Meson's "Cross compilation" page; autoconf's manual, "Setting Site Defaults";
pkg-config(1).
"""

from __future__ import annotations

from xxpy.platforms import uname_machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from xxpy.cc.toolchain import Toolchain

_CMAKE_SYSTEM = {"linux": "Linux", "darwin": "Darwin", "windows": "Windows", "freebsd": "FreeBSD"}
_MESON_FAMILY = {
    "amd64": "x86_64", "386": "x86", "arm64": "aarch64", "ppc64le": "ppc64", "loong64": "loongarch64",
    "mipsle": "mips", "mips64le": "mips64",
}  # fmt: skip
_BIG_ENDIAN = ("s390x", "mips", "mips64")

# By the name of an alias's end: autoconf's and make's variable.
VARIABLES: Mapping[str, str] = {
    "AR": "ar", "NM": "nm", "RANLIB": "ranlib", "STRIP": "strip", "READELF": "readelf", "OBJCOPY": "objcopy",
    "OBJDUMP": "objdump", "WINDRES": "windres", "DLLTOOL": "dlltool", "PKG_CONFIG": "pkg-config",
}  # fmt: skip


class Names:
    """What the toolchain's programs are called: ``cc`` and ``cxx``, and ``tools`` by the end of their name (``ar``)."""

    __slots__ = ("cc", "cxx", "tools")

    def __init__(self, cc: str, cxx: str, tools: Mapping[str, str]) -> None:
        self.cc = cc
        self.cxx = cxx
        self.tools = tools


def clang_config(chain: Toolchain) -> str:
    """The text of clang's configuration file: one argument a line (Clang's user manual, "Configuration files")."""
    return "".join(f"{_config_word(flag)}\n" for flag in [*chain.cc[1:], *chain.link_flags])


def _config_word(word: str) -> str:
    return "".join(f"\\{char}" if char in " \\\"'" else char for char in word)


def pkg_config_script(chain: Toolchain, program: str, begin: str = "#!/bin/sh\n") -> str:
    """A shell script that asks ``program`` for the target's libraries."""
    lines = [begin.rstrip(), f"export PKG_CONFIG_LIBDIR={':'.join(chain.pkg_config_folders)}"]
    if chain.sysroot:
        lines.append(f"export PKG_CONFIG_SYSROOT_DIR={chain.sysroot}")
    return "\n".join([*lines, f'exec {program} "$@"', ""])


def cmake_toolchain(chain: Toolchain, names: Names) -> str:
    """A CMake toolchain file, for CMAKE_TOOLCHAIN_FILE."""
    platform = chain.target.platform
    rows = [
        ("CMAKE_C_COMPILER", names.cc), ("CMAKE_CXX_COMPILER", names.cxx), ("CMAKE_ASM_COMPILER", names.cc),
        *((f"CMAKE_{name}", names.tools[end]) for name, end in VARIABLES.items()
          if end in names.tools and name not in ("PKG_CONFIG", "WINDRES")),
    ]  # fmt: skip
    if chain.target.is_cross:
        # With these set CMake takes it for a cross build, which it is not where the target is this machine.
        processor = uname_machine(platform) if platform.os == "linux" else chain.target.march
        rows = [
            ("CMAKE_SYSTEM_NAME", _CMAKE_SYSTEM.get(platform.os, "Generic")),
            ("CMAKE_SYSTEM_PROCESSOR", processor),
            *rows,
        ]
        if "windres" in names.tools:
            rows.append(("CMAKE_RC_COMPILER", names.tools["windres"]))
    if "pkg-config" in names.tools:
        rows.append(("PKG_CONFIG_EXECUTABLE", names.tools["pkg-config"]))
    if chain.sysroot:
        rows += [("CMAKE_SYSROOT", chain.sysroot), ("CMAKE_FIND_ROOT_PATH", chain.sysroot)]
    if chain.runner:
        rows.append(("CMAKE_CROSSCOMPILING_EMULATOR", ";".join(chain.runner)))
    lines = [f'set({name} "{value}")' for name, value in rows]
    if chain.sysroot:
        lines.append("set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)")
        lines += [f"set(CMAKE_FIND_ROOT_PATH_MODE_{what} ONLY)" for what in ("LIBRARY", "INCLUDE", "PACKAGE")]
    return f"# {platform}\n" + "\n".join(lines) + "\n"


def cmake_defines(chain: Toolchain, names: Names) -> list[str]:
    """The same as ``-D`` arguments, none with a space in it: they are put in with ``$(…)``."""
    rows = []
    for line in cmake_toolchain(chain, names).splitlines():
        if line.startswith("set(") and line.endswith('")'):
            name, _, value = line[4:-2].partition(' "')
            rows.append(f"-D{name}={value}")
    return rows


def meson_cross(chain: Toolchain, names: Names) -> str:
    """A Meson cross file. For a target that is this machine it serves as ``--native-file`` as well."""
    platform = chain.target.platform
    binaries = {"c": names.cc, "cpp": names.cxx}
    binaries |= {end: names.tools[end] for end in ("ar", "strip", "nm", "objcopy", "windres") if end in names.tools}
    if "pkg-config" in names.tools:
        # Meson 1.3 reads the first, older ones the second.
        binaries |= {"pkg-config": names.tools["pkg-config"], "pkgconfig": names.tools["pkg-config"]}
    lines = ["[binaries]", *(f"{key} = {value!r}" for key, value in binaries.items())]
    if chain.runner:
        lines.append(f"exe_wrapper = {list(chain.runner)!r}")
    lines += [
        "",
        "[properties]",
        f"needs_exe_wrapper = {'true' if chain.target.is_cross and platform.arch != '386' else 'false'}",
    ]
    if chain.sysroot:
        lines.append(f"sys_root = {chain.sysroot!r}")
    family = _MESON_FAMILY.get(platform.arch, platform.arch)
    cpu = uname_machine(platform) if platform.os == "linux" else chain.target.march
    endian = "big" if platform.arch in _BIG_ENDIAN else "little"
    lines += ["", "[host_machine]", f"system = {platform.os!r}", f"cpu_family = {family!r}", f"cpu = {cpu!r}"]
    return "\n".join([*lines, f"endian = {endian!r}", ""])


def environment(chain: Toolchain, names: Names) -> list[tuple[str, str]]:
    """CC, CXX, AR … for make and configure."""
    rows = [("CC", names.cc), ("CXX", names.cxx)]
    return rows + [(name, names.tools[end]) for name, end in VARIABLES.items() if end in names.tools]


# What configure scripts find out by running a program, which in a cross build they cannot. True of every target here:
# glibc and musl on Linux (autoconf's and gnulib's macros of these names).
_CONFIG_SITE = (
    ("ac_cv_func_malloc_0_nonnull", "yes"), ("ac_cv_func_realloc_0_nonnull", "yes"),
    ("ac_cv_func_calloc_0_nonnull", "yes"), ("ac_cv_func_mmap_fixed_mapped", "yes"),
    ("ac_cv_func_memcmp_working", "yes"), ("ac_cv_func_fork_works", "yes"), ("ac_cv_func_vfork_works", "yes"),
    ("ac_cv_func_lstat_dereferences_slashed_symlink", "yes"), ("ac_cv_func_stat_empty_string_bug", "no"),
    ("ac_cv_func_strnlen_working", "yes"), ("ac_cv_func_getgroups_works", "yes"),
    ("ac_cv_func_chown_works", "yes"), ("ac_cv_func_strtod", "yes"),
    ("ac_cv_file__dev_ptmx", "yes"), ("ac_cv_file__dev_ptc", "no"),
)  # fmt: skip


def config_site(chain: Toolchain, names: Names) -> str:
    """A CONFIG_SITE file: the programs, and answers to checks that would have to run the target's programs."""
    lines = [f"# {chain.target.platform}", *(f": ${{{name}={value}}}" for name, value in environment(chain, names))]
    if chain.target.is_cross and chain.target.platform.os == "linux":
        lines += [f": ${{{name}={value}}}" for name, value in _CONFIG_SITE]
    return "\n".join(lines) + "\n"


def exports(rows: Iterable[tuple[str, str]]) -> str:
    """Variables as a shell sets them with eval."""
    return "".join(f"export {name}={shell_word(value)}\n" for name, value in rows)


def shell_word(word: str) -> str:
    """A word as a shell reads it back."""
    plain = word != "" and all(char.isalnum() or char in "._-+/:@%=,;" for char in word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"
