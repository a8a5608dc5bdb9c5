"""Symbolic file modes, as ``--chmod`` takes them: ``u=rwX,go=rX``.

Source: chmod(1) of FreeBSD, which the Dockerfile reference names; no umask is taken off.
"""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"(?P<who>[ugoa]*)(?P<actions>(?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
# setuid, setgid and the sticky bit belong to one class each.
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0o1000}
_LONGEST = 200


def is_symbolic(text: str) -> bool:
    """Whether ``text`` is a symbolic mode."""
    return 0 < len(text) <= _LONGEST and all(_CLAUSE.fullmatch(clause) for clause in text.split(","))


def changed(text: str, mode: int, *, folder: bool) -> int:
    """The permission bits that the symbolic mode ``text`` makes of ``mode``, permission bits too."""
    before = mode
    for clause in text.split(","):
        parts = _CLAUSE.fullmatch(clause)
        assert parts is not None, text
        who = parts["who"].replace("a", "ugo") or "ugo"
        for sign, letters in _ACTION.findall(parts["actions"]):
            bits = _wanted(who, letters, mode, executable=folder or bool(before & 0o111))
            if sign == "+":
                mode |= bits
            elif sign == "-":
                mode &= ~bits
            else:
                mode = mode & ~_all_of(who) | bits
    return mode


def _wanted(who: str, letters: str, mode: int, *, executable: bool) -> int:
    if letters in _SHIFT:
        plain = mode >> _SHIFT[letters] & 0o7
        return sum(plain << _SHIFT[each] for each in set(who))
    plain = 0
    for letter in letters:
        plain |= _BITS.get(letter, 1 if letter == "X" and executable else 0)
    bits = sum(plain << _SHIFT[each] for each in set(who))
    if "s" in letters:
        bits |= sum(_SPECIAL[each] for each in set(who) if each in "ug")
    if "t" in letters and "o" in who:
        bits |= _SPECIAL["o"]
    return bits


def _all_of(who: str) -> int:
    return sum(0o7 << _SHIFT[each] | _SPECIAL[each] for each in set(who))
