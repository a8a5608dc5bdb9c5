"""What the commands of stages print: to a stdout that may be full or closed, or whose reader may have gone."""

from __future__ import annotations

import errno
import os
import sys

from xxpy.errors import XxError


def put(text: str) -> None:
    """Print ``text``. Raises BrokenPipeError where nobody reads it any more, XxError (``stdout-unwritable``)."""
    try:
        if sys.stdout is None:
            # It was closed (``>&-``).
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered must not fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise
        raise XxError(f"cannot write to stdout: {error.strerror}", reason="stdout-unwritable") from None


def complain(text: str) -> None:
    """Print ``text`` on stderr, if there is anybody to read it."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
