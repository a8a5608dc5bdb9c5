"""The program `xx`: what it is made of is imported where an early ctrl-C is told as any other is."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run `xx`."""
    try:
        _open_streams()
        from xxpy.cli.xx import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("ERROR: interrupted\n")
        raise SystemExit(130) from None


def _open_streams() -> None:
    """Have what the caller has closed (``xx images >&-``) take nothing, rather than be a file that is opened next.

    Writing to such a stdout is an error, to such a stderr none: there is nobody to tell.
    """
    for number, name, flags, mode in (
        (0, "stdin", os.O_RDONLY, "r"),
        (1, "stdout", os.O_RDONLY, "w"),
        (2, "stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode, errors="backslashreplace", closefd=False))
