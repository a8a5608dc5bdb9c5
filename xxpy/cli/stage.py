"""What the commands of stages share: how an error is told."""

from __future__ import annotations

import sys

from xxpy.errors import UsageError, XxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def told(name: str, work: Callable[[], int]) -> int:
    """The exit code of ``work``. What keeps it from its end is told in a line or two, each with ``name`` before it.

    2 for a wrong command line or variable, 130 for an interrupt, else 1.
    """
    try:
        return work()
    except XxError as error:
        lines = error.lines()
        code = 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        lines = [f"{error.filename or 'a file'}: {error.strerror}"]
        code = 1
    except KeyboardInterrupt:
        lines, code = ["interrupted"], 130
    sys.stderr.write("".join(f"{name}: {line}\n" for line in lines))
    return code
