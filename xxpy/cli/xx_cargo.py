"""`xx-cargo`: cargo for the platform that this build stage is to produce code for."""

from __future__ import annotations

import os
import sys

from xxpy.cargo import arguments, environment, library
from xxpy.cargo.triple import rust_triple
from xxpy.cc import install
from xxpy.cc.toolchain import Toolchain
from xxpy.cli.stage import say, told
from xxpy.info import programs
from xxpy.info.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP = """\
usage: xx-cargo [+TOOLCHAIN] [cargo's options] COMMAND …

cargo for the target of this build stage (TARGETPLATFORM): --target is added, Rust's standard library for it is fetched
once (rustup, else the distribution's package), and build scripts are told of its compiler, pkg-config, CMake and clang
flags by variables of the target alone. Variables that are set already stay as they are.

options of its own:
  --print-target-triple   print Rust's name of the target
  --print-env             print the variables that would be set
  --setup-target-triple   fetch the standard library and add the aliases of the compiler, and do no more
  --help                  print this text; xx-cargo help is cargo's own

variables:
  XX_RUSTFLAGS            flags for rustc for the target alone
  XX_CC_PREFER_COMPILER, XX_CC_PREFER_LINKER, XX_CLANG   as with xx-clang

Exit codes: cargo's own, 1 if the target cannot be served, 2 if a variable of these is wrong.
"""
_OWN = ("--print-target-triple", "--setup-target-triple", "--print-env")


def main() -> int:
    """Entry point of xx-cargo."""
    args = sys.argv[1:]
    if args in (["--help"], ["-h"]):
        return say("xx-cargo", _HELP)
    return told("xx-cargo", lambda: _serve(args))


def _serve(args: Sequence[str]) -> int:
    env = os.environ
    target = Target.current()
    triple = rust_triple(target, library.has_rustup(env))
    end = args.index("--") if "--" in args else len(args)
    own = [arg for arg in args[:end] if arg in _OWN]
    if "--print-target-triple" in own:
        return say("xx-cargo", f"{triple}\n")
    rest = [arg for index, arg in enumerate(args) if index >= end or arg not in _OWN]
    if not programs.find("cargo"):
        raise programs.missing("cargo")
    if not own and arguments.with_target(rest, triple) == list(rest) and not arguments.given_target(rest):
        # Nothing is built: xx-cargo --version, xx-cargo new.
        programs.become(["cargo", *rest])
    folder = os.path.dirname(programs.find("xx-clang") or os.path.abspath(sys.argv[0]))
    chain = Toolchain(target, env)
    state = install.state_folder(chain)
    names = install.set_up_once(chain, folder)
    made = environment.build_environment(triple, chain, names, os.path.join(state, install.CMAKE))
    made = environment.without_given(made, env)
    if "--print-env" in own:
        from xxpy.cc.describe import exports

        return say("xx-cargo", exports(made.items()))
    library.ensure(triple, arguments.toolchain_of(rest), target, env, state)
    if "--setup-target-triple" in own:
        return 0
    programs.become(["cargo", *arguments.with_target(rest, triple)], {**env, **made})
