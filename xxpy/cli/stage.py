"""What the commands of stages share: how they print, and how an error is told."""

from __future__ import annotations

import errno
import os
import sys

from xxpy.errors import UsageError, XxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_GONE = 141
"""128 and SIGPIPE, as shells have it of programs whose reader has gone (``xx-info env | head -n 1``)."""


def told(name: str, work: Callable[[], int]) -> int:
    """The exit code of ``work``. What keeps it from its end is told in a line or two, each with ``name`` before it.

    2 for a wrong command line or variable, 130 for an interrupt, 141 where nobody reads what it prints, else 1.
    """
    try:
        return work()
    except XxError as error:
        lines = error.lines()
        code = 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        lines, code = [], _GONE
    except OSError as error:
        lines = [f"{error.filename or 'a file'}: {error.strerror}"]
        code = 1
    except KeyboardInterrupt:
        lines, code = ["interrupted"], 130
    complain("".join(f"{name}: {line}\n" for line in lines))
    return code


def say(name: str, text: str) -> int:
    """Put ``text`` on stdout, and give the exit code: 0, 141 where nobody reads it, 1 (and why) if it is not taken."""
    try:
        if sys.stdout is None:
            # It was closed (``>&-``).
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.write(text)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        code = _GONE
    except OSError as error:
        complain(f"{name}: cannot write to stdout: {error.strerror}\n")
        code = 1
    # What is still buffered must not fail again when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def complain(text: str) -> None:
    """Put ``text`` on stderr, if there is anybody to read it."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
