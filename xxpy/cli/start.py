"""The program `xx`: what it is made of is imported where an early ctrl-C is told as any other is."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `xx`."""
    try:
        from xxpy.cli.xx import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("ERROR: interrupted\n")
        raise SystemExit(130) from None
