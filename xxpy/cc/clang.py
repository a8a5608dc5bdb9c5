"""The compiler's whole command line for one call, computed as a value.

Debian keeps the headers and libraries of several architectures side by side, so clang finds them by the triple (clang,
lib/Driver/ToolChains/Gnu.cpp).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xxpy.info.target import Target

# Any of these says that the compiler is not to link (clang --help).
_NO_LINK = frozenset({
    "-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "-emit-ast", "--precompile", "--analyze", "--version",
    "-dumpversion", "-dumpmachine", "-emit-interface-stubs", "-r",
})  # fmt: skip
_CXX = ("c++", "clang++")
_ALIAS_ENDS = ("-clang++", "-clang", "-c++", "-cc")


def is_cxx(name: str) -> bool:
    """Whether a wrapper of this name (``xx-clang++``, ``aarch64-linux-gnu-c++``) compiles C++."""
    return name.endswith(_CXX)


def alias_triple(name: str) -> str:
    """``aarch64-linux-gnu`` of ``aarch64-linux-gnu-clang``; empty for a name without a triple."""
    if name.startswith("xx-"):
        return ""
    for end in _ALIAS_ENDS:
        triple = name.removesuffix(end)
        if triple != name:
            return triple if "-" in triple else ""
    return ""


def links(args: Sequence[str]) -> bool:
    """Whether the compiler would start a linker for ``args``; without any file it does not."""
    if any(arg in _NO_LINK or arg.startswith(("-print-", "--print-", "--help", "-###")) for arg in args):
        return False
    return any(not arg.startswith("-") or arg == "-" for arg in args)


def given_target(args: Sequence[str]) -> str:
    """The triple of ``--target=X`` or ``-target X`` among ``args``, the last one; or empty."""
    found = ""
    for index, arg in enumerate(args):
        if arg.startswith("--target="):
            found = arg[len("--target=") :]
        elif arg in ("-target", "--target") and index + 1 < len(args):
            found = args[index + 1]
    return found


def without_target(args: Sequence[str]) -> list[str]:
    """``args`` without ``--target=X`` and ``-target X``."""
    made: list[str] = []
    skip = False
    for arg in args:
        if skip:
            skip = False
        elif arg in ("-target", "--target"):
            skip = True
        elif not arg.startswith("--target="):
            made.append(arg)
    return made


def has_config(args: Sequence[str]) -> bool:
    """Whether the user brings a configuration file of their own: then nothing of ours is added."""
    return any(arg == "--config" or arg.startswith("--config=") for arg in args)


def command_line(args: Sequence[str], target: Target, env: Mapping[str, str], cxx: bool) -> list[str]:
    """The whole command line for ``args``. Raises HostError, UsageError.

    Only a call that links looks for a linker: a stage that compiles needs none.
    """
    from xxpy.cc import find, toolchain
    from xxpy.cc.linker import find_linker, rpath_link

    if (compiler := toolchain.preferred_compiler(env)) != "clang":
        return [*toolchain.other_compiler(compiler, target, env, cxx), *args]
    clang = find.find_clang(cxx, env)
    made = [clang, *toolchain.clang_flags(target)]
    own = any(arg.startswith(("-fuse-ld", "--ld-path")) for arg in args)
    if links(args) and not own:
        linker = find_linker(target, env, clang)
        made += [*linker.flags, *rpath_link(target, linker, toolchain.library_folders(target))]
    return made + list(args)
