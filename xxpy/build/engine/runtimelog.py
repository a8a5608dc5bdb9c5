"""What an OCI runtime says of its own: told apart from what the step prints, and put in fewer words.

runc and crun write, with ``--log FILE --log-format json``, an object a line: ``level`` and ``msg``. Warnings there tell
what the machine lacks and steps do without, as a count of processes that were killed for memory: that is for --debug.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from xxpy.build.engine import process
from xxpy.build.naming import harmless

_MOST = 1 << 16
"""Bytes of a log that are read."""
_HARMLESS = ("warning", "info", "debug", "trace")
_HEADS = re.compile(
    r"(?:runc (?:run|create|start) failed: |unable to start container process: |error during container init: )+"
)
_NO_PROGRAM = re.compile(r"\bexec(?:utable)?\b.*(?:no such file|not found)|\bexec\b.*permission denied", re.IGNORECASE)

NO_PROGRAM = "see whether that program is in this stage, under that path, and may be executed"
NO_ROOT = "see the instruction's mounts, and what the stage has where they go; xx doctor looks at the machine"


def errors_of(log: Path) -> list[str]:
    """The errors that a runtime has written to ``log``, oldest first. What cannot be read as its format is one too."""
    try:
        with log.open("rb") as file:
            lines = file.read(_MOST).decode(errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in filter(str.strip, lines):
        try:
            said = json.loads(line)
            level, text = str(said["level"]), str(said["msg"])
        except (ValueError, TypeError, KeyError, RecursionError):
            level, text = "error", line
        if level not in _HARMLESS:
            found.append(text)
        elif process.debug:
            sys.stderr.write(f"{level} of the OCI runtime: {harmless(text)}\n")
    return found


def in_words(error: str) -> str:
    """``error`` without what each of a runtime's errors begins with."""
    return _HEADS.sub("", error, count=1)


def is_of_the_program(error: str) -> bool:
    """Whether it is about the program that the step starts, not about the surroundings that are made for it."""
    return _NO_PROGRAM.search(error) is not None
