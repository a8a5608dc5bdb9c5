"""`xx-cc`, `xx-c++`, `xx-clang`, `xx-clang++`, and ``clang`` while it is wrapped."""

from __future__ import annotations

import os
import sys

from xxpy.cc import clang, state
from xxpy.cli.stage import say, told
from xxpy.errors import HostError, UsageError
from xxpy.info import programs
from xxpy.info.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xxpy.cc.describe import Names
    from xxpy.cc.toolchain import Toolchain

_HELP = """\
usage: {name} [compiler's options] FILE…

clang for the target of this build stage (TARGETPLATFORM): its triple, its headers and libraries, its linker.

options of its own:
  --print-target-triple         print the triple that clang is given
  --print-sysroot               print the folder of the target's headers and libraries
  --setup-target-triple         add <triple>-clang, -cc, -ar, -pkg-config … beside this program, and the files below
  --print-cmake-defines         print -D… arguments for cmake
  --print-cmake-toolchain-file  print the path of a CMake toolchain file, for -DCMAKE_TOOLCHAIN_FILE=
  --print-meson-cross-file      print the path of a Meson cross file, for --cross-file
  --print-config-site           print the path of a site file for configure, for CONFIG_SITE=
  --print-env                   print CC, CXX, AR, PKG_CONFIG … to be read with eval
  --wrap, --unwrap              have clang and clang++ mean this program; undo that
  --help                        print this text

variables:
  XX_CC_PREFER_COMPILER   clang (the default), gcc or zig
  XX_CC_PREFER_LINKER     lld (the default), ld, gold or mold
  XX_CC_PREFER_STATIC_LINKER  any text: GNU ld for ppc64le and 386
  XX_CC_GLIBC             with zig, the oldest glibc to run on, as 2.31
  XX_CLANG                a clang other than PATH's

Exit codes: the compiler's own, 1 if the target cannot be served, 2 if a variable of these is wrong.
"""
_OWN = (
    "--print-target-triple", "--print-sysroot", "--setup-target-triple", "--print-cmake-defines", "--wrap", "--unwrap",
    "--print-cmake-toolchain-file", "--print-meson-cross-file", "--print-config-site", "--print-env",
)  # fmt: skip
_OLD_CLANG = 16
"""From this version clang reads the configuration file of its ``--target``, whatever name it is called by."""


def main() -> int:
    """Entry point; what it is depends on the name that it was started by."""
    name = os.path.basename(sys.argv[0])
    args = sys.argv[1:]
    if args == ["--help"] and name.startswith("xx-"):
        return say(name, _HELP.format(name=name))
    return told(name, lambda: _serve(name, args))


def _serve(name: str, args: Sequence[str]) -> int:
    cxx = clang.is_cxx(name)
    own = [arg for word in args if (arg := f"-{word}" if word[:2] in ("-p", "-s") else word) in _OWN]
    wrapped = name in ("clang", "clang++")
    if clang.has_config(args) or (wrapped and not _wrapped_here(args)):
        programs.become([_real_clang(cxx), *args])
    target = _target(name, args)
    if target is None:
        # A triple that is none of ours: clang knows what to do with it, or says so.
        programs.become([_real_clang(cxx), *args])
    if own:
        return _own_option(name, own[-1] if "--wrap" not in own else "--wrap", target)
    args = clang.without_target(args)
    _first_call(target)
    programs.become(clang.command_line(args, target, os.environ, cxx))


def _wrapped_here(args: Sequence[str]) -> bool:
    return state.is_wrapped(os.environ) or clang.given_target(args) != ""


def _own_path() -> str:
    return os.path.abspath(sys.argv[0]) if "/" in sys.argv[0] else programs.find(sys.argv[0])


def _folder() -> str:
    """Where the wrapper and so its aliases are. A ``clang`` that is wrapped is elsewhere."""
    own = _own_path()
    return os.path.dirname(os.path.realpath(own) if os.path.islink(own) else own)


def _real_clang(cxx: bool) -> str:
    from xxpy.cc.find import find_clang

    return find_clang(cxx, os.environ)


def _target(name: str, args: Sequence[str]) -> Target | None:
    """The target of this call: the triple given, that of the alias's name, else TARGETPLATFORM's.

    Raises UsageError (``triple-unknown``) for an alias of a triple that is not known.
    """
    given, alias = clang.given_target(args), clang.alias_triple(name)
    current = Target.current()
    if not given and not alias:
        return current
    from xxpy.cc.toolchain import target_of_triple

    found = target_of_triple(given or alias, os.environ, current)
    if found is None and not given:
        raise UsageError(
            f"{name}: no target here has the triple {alias}",
            remedy="xx-clang --print-target-triple prints the one of TARGETPLATFORM",
            reason="triple-unknown",
        )
    return found


def _first_call(target: Target) -> None:
    """Add the aliases, as the first call always has. Where that cannot be, compiling goes on without them."""
    from xxpy.cc.toolchain import clang_triple, preferred_compiler

    folder = _folder()
    if preferred_compiler(os.environ) != "clang" or state.is_set_up(clang_triple(target), folder):
        return
    if not os.access(folder, os.W_OK):
        return
    try:
        _set_up(target)
    except HostError:
        # No linker, or nothing to be written: a call that only compiles needs neither.
        return


def _set_up(target: Target) -> tuple[Toolchain, Names]:
    from xxpy.cc import install
    from xxpy.cc.find import llvm_version
    from xxpy.cc.toolchain import Toolchain

    chain = Toolchain(target, os.environ)
    names = install.set_up(chain, _folder())
    if chain.clang and 0 < llvm_version(chain.clang) < _OLD_CLANG:
        # So that `clang --target=<triple>`, which reads no configuration file there, links as the alias does.
        try:
            for each in ("clang", "clang++"):
                install.link_clang(each, _folder(), os.environ)
        except HostError:
            return chain, names
    return chain, names


def _own_option(name: str, option: str, target: Target) -> int:
    from xxpy.cc import describe, install
    from xxpy.cc.toolchain import clang_triple

    if option == "--print-target-triple":
        return say(name, f"{clang_triple(target)}\n")
    if option == "--unwrap":
        install.unwrap(_folder(), os.environ)
        return 0
    if option == "--wrap":
        install.wrap(_folder(), os.environ)
        return 0
    if option == "--print-sysroot":
        from xxpy.cc.sdk import find_sdk

        return say(name, f"{find_sdk() if target.platform.os == 'darwin' else target.sysroot}\n")
    chain, names = _set_up(target)
    files = {
        "--print-cmake-toolchain-file": install.CMAKE,
        "--print-meson-cross-file": install.MESON,
        "--print-config-site": install.SITE,
    }
    if option in files:
        return say(name, f"{os.path.join(install.state_folder(chain), files[option])}\n")
    if option == "--print-cmake-defines":
        return say(name, f"{' '.join(describe.cmake_defines(chain, names))}\n")
    if option == "--print-env":
        return say(name, describe.exports(describe.environment(chain, names)))
    return 0
