"""What the commands of stages share: how they print, and how an error is told."""

from __future__ import annotations

from xxpy.errors import UsageError, XxError
from xxpy.info.streams import complain, put

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
    """Print ``text``, and give the exit code as `told` does: 0, or 1 or 141 if stdout does not take it."""

    def work() -> int:
        put(text)
        return 0

    return told(name, work)
