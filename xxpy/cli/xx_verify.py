"""`xx-verify`: fails a build stage whose output is not for the target platform."""

from __future__ import annotations

import os
import sys

from xxpy.errors import XxError
from xxpy.info.osrelease import OsRelease
from xxpy.info.target import Request
from xxpy.verify.check import check, require_supported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HELP = """\
usage: xx-verify [--static] FILE...

Checks that each file is an ELF file for the platform that this build stage is to produce code for (TARGETPLATFORM):
machine, class, byte order and OS ABI. All files are checked; each problem is one line.

options:
  --static      also fail on programs that need a dynamic linker or shared libraries; XX_VERIFY_STATIC=1 does the same
  -h, --help    print this text
  --version     print the version
  --            what follows is files, even if it begins with a dash

status: 0 all files are right, 1 some file is not or the target cannot be checked, 2 the command line is wrong\
"""


def run(args: Sequence[str], env: Mapping[str, str], machine: str) -> tuple[int, str, list[str]]:
    """Status, standard output, and the lines for standard error. ``machine`` is `uname -m`."""
    # As upstream, any text switches it on; 0 is what people write for off.
    static = env.get("XX_VERIFY_STATIC", "") not in ("", "0")
    files: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if arg == "--":
            files += rest
            break
        if arg in ("-h", "--help"):
            return 0, HELP, []
        if arg == "--version":
            from xxpy import __version__

            return 0, f"xx-verify {__version__}", []
        if arg == "--static":
            static = True
        elif arg.startswith("-"):
            return 2, "", [f"unknown option {arg!r}", "Run xx-verify --help for the options."]
        else:
            files.append(arg)
    if not files:
        return 2, "", ["no file given", "Run xx-verify --help for the usage."]
    try:
        target = Request(env, OsRelease(), machine).platform()
        require_supported(target)
        problems = [problem for file in files for problem in check(file, target, static)]
    except XxError as error:
        return 1, "", error.lines()
    return (1 if problems else 0), "", [str(problem) for problem in problems]


def main() -> int:
    """Entry point. 0: all right. 1: a problem in a file, or no such target. 2: a wrong command line."""
    status, out, errors = run(sys.argv[1:], os.environ, os.uname().machine)
    if out:
        sys.stdout.write(out + "\n")
    sys.stderr.write("".join(f"xx-verify: {line}\n" for line in errors))
    return status


if __name__ == "__main__":
    sys.exit(main())
