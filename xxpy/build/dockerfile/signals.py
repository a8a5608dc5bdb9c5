"""STOPSIGNAL: which words name a signal of Linux (signal(7)), whatever machine this is."""

from __future__ import annotations

import re

# fmt: off
_NAMES = frozenset({
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "UNUSED", "URG",
    "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
})
# fmt: on
_REAL_TIME = re.compile(r"RTMIN\+([0-9]{1,2})|RTMAX-([0-9]{1,2})")


def is_signal(text: str) -> bool:
    """Whether ``text`` is a number above 0 or a name, with or without ``SIG`` and in any case."""
    if text.isascii() and text.isdigit():
        return int(text[:10]) > 0
    name = text.upper().removeprefix("SIG")
    counted = _REAL_TIME.fullmatch(name)
    # Of the real-time signals 34 to 64, the C library's range.
    return name in _NAMES or (counted is not None and int(counted[1] or counted[2]) <= (15 if counted[1] else 14))
