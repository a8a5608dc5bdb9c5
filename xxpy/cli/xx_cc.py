"""`xx-cc`, `xx-c++`, `xx-clang`, `xx-clang++` and the ``<triple>-clang`` aliases."""

from __future__ import annotations

import os
import sys

from xxpy.cc import clang
from xxpy.errors import HostError, XxError
from xxpy.info import programs
from xxpy.info.target import Target

_HELP = """\
usage: {name} [clang's options] FILE…

clang for the target of this build stage (TARGETPLATFORM): its triple, its headers and libraries, its linker.

options of its own (each alone):
  --print-target-triple   print the triple that clang is given
  --setup-target-triple   add <triple>-clang and <triple>-clang++ beside this program
  --help                  print this text

XX_CC_PREFER_LINKER=ld takes the target's GNU ld instead of lld. Exit codes: clang's own, 1 if the target cannot be
served.
"""


def main() -> int:
    """Entry point; what it is depends on the name that it was started by."""
    name = os.path.basename(sys.argv[0])
    args = sys.argv[1:]
    if args == ["--help"]:
        sys.stdout.write(_HELP.format(name=name))
        return 0
    try:
        current = Target.current()
        target = clang.target_of_alias(name, os.environ, current) or current
        if args == ["--print-target-triple"]:
            print(clang.clang_triple(target))
            return 0
        if args == ["--setup-target-triple"]:
            _add_aliases(target)
            return 0
        programs.become(clang.command_line(args, target, os.environ, clang.is_cxx(name)))
    except XxError as error:
        sys.stderr.write("".join(f"{name}: {line}\n" for line in error.lines()))
        return 1


def _add_aliases(target: Target) -> None:
    own = sys.argv[0] if "/" in sys.argv[0] else programs.find(sys.argv[0])
    folder = os.path.dirname(os.path.abspath(own))
    for alias, wrapper in clang.aliases(target):
        path = os.path.join(folder, alias)
        temporary = f"{path}.{os.getpid()}"
        try:
            os.symlink(wrapper, temporary)
            os.replace(temporary, path)
        except OSError as error:
            raise HostError(
                f"cannot make {path}: {error.strerror}", remedy="USER root above this RUN", reason="alias-failed"
            ) from None
