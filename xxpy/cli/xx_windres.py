"""`xx-windres`: GNU windres' command line, served by LLVM's resource compiler."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile

from xxpy.cc import windres
from xxpy.cli.stage import say, told
from xxpy.info import programs
from xxpy.info.target import Target

_HELP = """\
usage: xx-windres [option(s)] [input-file] [output-file]

Compiles Windows resources (.rc, .res) for the target of this build stage, with the options of GNU windres.

  -i --input=FILE            input; else the first file named, else standard input
  -o --output=FILE           output; else the second file named, else standard output
  -J --input-format=FORMAT   rc or res; else by the file's ending, else rc
  -O --output-format=FORMAT  res or coff; else by the file's ending, else coff
  -F --target=TARGET         triple or BFD target; else that of TARGETPLATFORM
     --preprocessor=PROGRAM  default: CC, else clang, else gcc
     --preprocessor-arg=ARG, -I --include-dir=DIR, -D --define SYM[=VAL], -U --undefine SYM   for the preprocessor
  -c --codepage=CODEPAGE, -l --language=VAL
  -r -v --verbose --use-temp-file --no-use-temp-file   taken, without effect
  -h --help, -V --version

XX_WINDRES_DRYRUN=1 prints the commands and runs none. It needs llvm-rc and llvm-cvtres (Debian's package llvm).
Exit codes: 1 a command failed or is not here, 2 the command line is wrong.
"""


def main() -> int:
    """Entry point of xx-windres."""
    args = sys.argv[1:]
    if "-h" in args or "--help" in args:
        return say("xx-windres", _HELP)
    if "-V" in args or "--version" in args:
        from xxpy import __version__

        return say("xx-windres", f"xx-windres {__version__}\n")
    return told("xx-windres", lambda: _serve(args))


def _serve(args: list[str]) -> int:
    options = windres.parse(args)
    preprocessor = shlex.split(options.preprocessor or os.environ.get("CC", ""))
    if not preprocessor:
        preprocessor = ["clang" if programs.find("clang") else "gcc"]
    target = Target.current().triple if not options.target else ""
    with tempfile.TemporaryDirectory(prefix="xx-windres-") as work:
        for argv in windres.commands(options, target, preprocessor, work):
            if os.environ.get("XX_WINDRES_DRYRUN"):
                if status := say("xx-windres", f"{shlex.join(argv)}\n"):
                    return status
                continue
            status = programs.run([_versioned(argv[0]), *argv[1:]])
            if status:
                return 1
    return 0


def _versioned(program: str) -> str:
    """``llvm-rc`` where only ``llvm-rc-19`` is there."""
    from xxpy.cc.find import find_llvm

    if not program.startswith("llvm-"):
        return program
    return find_llvm(program, programs.find("clang"), os.environ) or program
