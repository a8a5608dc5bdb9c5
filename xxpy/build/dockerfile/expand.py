"""Words of a Dockerfile with their variables replaced and their quotes removed.

Source: Dockerfile reference, "Environment replacement": ``$name``, ``${name}``, the modifiers ``:-``, ``:+``, ``:?``
(and each without the colon), ``#``, ``##``, ``%``, ``%%``, ``/``, ``//``; single quotes keep everything, double quotes
keep spaces, the escape character keeps the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from xxpy.errors import DockerfileError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEEPEST = 32
"""Levels of ``${a:-${b:-…}}`` that are followed."""


def expand_word(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """``word`` as one word. Raises DockerfileError (``expand-failed``), without a place."""
    return "".join(text for text, _ in _Expander(word, variables, escape).pieces())


def expand_words(word: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """``word`` as words: spaces that stand outside quotes, also in the value of a variable, separate them."""
    words, current, begun = [], "", False
    for text, quoted in _Expander(word, variables, escape).pieces():
        if quoted:
            current, begun = current + text, True
            continue
        for char in text:
            if char in " \t\n":
                if begun or current:
                    words.append(current)
                current, begun = "", False
            else:
                current, begun = current + char, True
    return [*words, current] if begun or current else words


def _failed(message: str, remedy: str = "") -> DockerfileError:
    return DockerfileError(message, remedy=remedy, reason="expand-failed")


class _Expander:
    """Reads one word from left to right; pieces are (text, was it quoted)."""

    def __init__(self, word: str, variables: Mapping[str, str], escape: str, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise _failed(f"variables are nested more than {_DEEPEST} deep")
        self._word = word
        self._at = 0
        self._variables = variables
        self._escape = escape
        self._depth = depth

    def pieces(self) -> list[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == "'":
                found.append((self._single(), True))
            elif char == '"':
                found += [(text, True) for text in self._double()]
            elif char == "$":
                found.append((self._dollar(), False))
            elif char == self._escape:
                self._at += 1
                if self._at < len(self._word):
                    found.append((self._word[self._at], True))
                    self._at += 1
            else:
                found.append((char, False))
                self._at += 1
        return found

    def _single(self) -> str:
        end = self._word.find("'", self._at + 1)
        if end < 0:
            raise _failed(f"a single quote is not closed in {self._word!r}", "close it, or escape it")
        text = self._word[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double(self) -> list[str]:
        self._at += 1
        # An empty piece marks that a quoted, possibly empty, word was there.
        found = [""]
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == '"':
                self._at += 1
                return found
            if char == "$":
                found.append(self._dollar())
                continue
            self._at += 1
            if char == self._escape and self._at < len(self._word):
                following = self._word[self._at]
                if following in ('"', "$", self._escape):
                    found.append(following)
                    self._at += 1
                    continue
            found.append(char)
        raise _failed(f"a double quote is not closed in {self._word!r}", "close it, or escape it")

    def _dollar(self) -> str:
        self._at += 1
        rest = self._word[self._at : self._at + 1]
        if rest == "{":
            return self._braces()
        if match := _NAME.match(self._word, self._at):
            self._at = match.end()
            return self._variables.get(match.group(), "")
        if rest.isdigit() or rest in tuple("@*#?-!"):
            self._at += 1
            return self._variables.get(rest, "")
        return "$"

    def _braces(self) -> str:
        start = self._at
        self._at += 1
        match = _NAME.match(self._word, self._at)
        if match is None:
            raise _failed(f"{self._word[start - 1 :]!r} names no variable", "write ${NAME}")
        name = match.group()
        self._at = match.end()
        value = self._variables.get(name)
        modifier = self._word[self._at : self._at + 1]
        if modifier == "}":
            self._at += 1
            return value or ""
        colon = modifier == ":"
        if colon:
            self._at += 1
            modifier = self._word[self._at : self._at + 1]
        self._at += 1
        if modifier in ("-", "+", "?") and modifier:
            return self._default(name, value, modifier, colon)
        if modifier in ("#", "%", "/") and modifier and not colon:
            return self._pattern(value or "", modifier)
        raise _failed(f"{self._word[start - 1 :]!r} has a modifier that is not known", "see the Dockerfile reference")

    def _default(self, name: str, value: str | None, modifier: str, colon: bool) -> str:
        text = self._until("}")
        missing = value is None or (colon and not value)
        if modifier == "+":
            return "" if missing else self._inner(text)
        if not missing:
            return value or ""
        if modifier == "?":
            why = self._inner(text) or "not allowed to be " + ("empty or unset" if colon else "unset")
            raise _failed(f"{name}: {why}", f"give it: --build-arg {name}=…")
        return self._inner(text)

    def _pattern(self, value: str, modifier: str) -> str:
        doubled = self._word[self._at : self._at + 1] == modifier
        self._at += doubled
        if modifier == "/":
            pattern = self._inner(self._until("/}"))
            replacement = ""
            if self._word[self._at - 1] == "/":
                replacement = self._inner(self._until("}"))
            if not pattern:
                return value
            return _glob(pattern, greedy=True).sub(lambda _: replacement, value, count=0 if doubled else 1)
        pattern = self._inner(self._until("}"))
        return _cut(value, pattern, front=modifier == "#", longest=doubled)

    def _until(self, ends: str) -> str:
        """The text up to a closing character that is not nested, quoted or escaped; moves behind it."""
        start, depth, quote = self._at, 0, ""
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == self._escape:
                self._at += 2
                continue
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif self._word.startswith("${", self._at):
                depth += 1
                self._at += 1
            elif depth and char == "}":
                depth -= 1
            elif not depth and char in ends:
                self._at += 1
                return self._word[start : self._at - 1]
            self._at += 1
        raise _failed(f"a brace is not closed in {self._word!r}", "write ${NAME}")

    def _inner(self, text: str) -> str:
        expander = _Expander(text, self._variables, self._escape, self._depth + 1)
        return "".join(piece for piece, _ in expander.pieces())


def _cut(value: str, pattern: str, *, front: bool, longest: bool) -> str:
    regex = _glob(pattern, greedy=True)
    lengths: Callable[[], range] = lambda: range(len(value), -1, -1) if longest else range(len(value) + 1)  # noqa: E731
    for length in lengths():
        part = value[:length] if front else value[len(value) - length :]
        if regex.fullmatch(part):
            return value[length:] if front else value[: len(value) - length]
    return value


def _glob(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    """A shell pattern of ``*`` and ``?`` with ``\\`` as its escape, as a regular expression."""
    many = ".*" if greedy else ".*?"
    parts, index = [], 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\" and index + 1 < len(pattern):
            index += 1
            parts.append(re.escape(pattern[index]))
        else:
            parts.append({"*": many, "?": "."}.get(char) or re.escape(char))
        index += 1
    return re.compile("".join(parts), re.DOTALL)
