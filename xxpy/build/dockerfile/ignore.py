"""``.dockerignore`` and the patterns of COPY sources, as Go's ``filepath.Match`` and Docker's patternmatcher read them.

Source: Dockerfile reference, ".dockerignore file"; Go's documentation of path/filepath.Match.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from xxpy.errors import SourceError

_LONGEST = 4096
"""Characters of a pattern, at most."""


def has_wildcard(text: str) -> bool:
    """Whether a COPY source is a pattern rather than a name."""
    return any(char in text for char in "*?[\\")


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str, doublestar: bool) -> re.Pattern[str]:
    if len(pattern) > _LONGEST:
        raise _bad(pattern[:40] + "…", f"it is longer than {_LONGEST} characters")
    parts, index = [], 0
    while index < len(pattern):
        char = pattern[index]
        if doublestar and pattern.startswith("**", index):
            index += 2
            if pattern.startswith("/", index):
                index += 1
                parts.append("(?:.*/)?")
            else:
                parts.append(".*")
            continue
        if char == "*":
            parts.append("[^/]*")
        elif char == "?":
            parts.append("[^/]")
        elif char == "[":
            text, index = _class(pattern, index)
            parts.append(text)
            continue
        elif char == "\\":
            index += 1
            if index == len(pattern):
                raise _bad(pattern, "it ends with a backslash")
            parts.append(re.escape(pattern[index]))
        else:
            parts.append(re.escape(char))
        index += 1
    return re.compile("".join(parts), re.DOTALL)


def _class(pattern: str, start: int) -> tuple[str, int]:
    """A ``[…]`` of a pattern and the index behind it."""
    index, negated = start + 1, ""
    items: list[str] = []
    if pattern.startswith("^", index):
        negated, index = "^/", index + 1
    while True:
        if index < len(pattern) and pattern[index] == "]" and items:
            return f"[{negated}{''.join(items)}]", index + 1
        low, index = _member(pattern, index)
        high = low
        if pattern.startswith("-", index):
            high, index = _member(pattern, index + 1)
        if low > high:
            raise _bad(pattern, f"its range {low}-{high} is backwards")
        items.append(re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}")


def _member(pattern: str, index: int) -> tuple[str, int]:
    if pattern.startswith("\\", index):
        index += 1
    elif pattern[index : index + 1] in ("-", "]"):
        raise _bad(pattern, "its brackets hold no range")
    if index >= len(pattern):
        raise _bad(pattern, "a bracket is not closed")
    return pattern[index], index + 1


def _bad(pattern: str, why: str) -> SourceError:
    return SourceError(
        f"the pattern {pattern!r} cannot be read: {why}",
        remedy="patterns have * ? [a-z] and, in .dockerignore, **",
        reason="bad-pattern",
    )


def match(pattern: str, path: str) -> bool:
    """Whether the whole of ``path`` matches; ``*`` and ``?`` match no slash. Raises SourceError (``bad-pattern``)."""
    return _compiled(pattern, False).fullmatch(path) is not None


@dataclass(frozen=True)
class _Rule:
    regex: re.Pattern[str]
    again: bool
    text: str


class Ignore:
    """The rules of one ``.dockerignore``: the last that matches a path, or a folder above it, decides."""

    def __init__(self, rules: tuple[_Rule, ...]) -> None:
        self._rules = rules
        self._exceptions = tuple(rule for rule in rules if rule.again)

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Ignore:
        """The rules of ``patterns``; ``!`` stands before what is brought back. Raises SourceError (``bad-pattern``)."""
        rules = []
        for text in patterns:
            again = text.strip().startswith("!")
            pattern = _clean(text.strip()[again:].strip())
            if pattern:
                rules.append(_Rule(_compiled(pattern, True), again, pattern))
        return cls(tuple(rules))

    @classmethod
    def parse(cls, text: str) -> Ignore:
        """Read the file's text; an unreadable pattern is a SourceError (``bad-pattern``) with its line."""
        rules = []
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
            if line.startswith("#"):
                continue
            pattern = line.strip()
            again = pattern.startswith("!")
            pattern = _clean(pattern[1:].strip() if again else pattern)
            if not pattern:
                continue
            try:
                rules.append(_Rule(_compiled(pattern, True), again, pattern))
            except SourceError as error:
                error.place = f".dockerignore:{number}"
                raise
        return cls(tuple(rules))

    def excludes(self, path: str) -> bool:
        """Whether ``path`` (relative, no slash at either end) is left out of the context."""
        excluded = False
        for rule in self._rules:
            if rule.again == excluded and _reaches(rule.regex, path):
                excluded = not rule.again
        return excluded

    @property
    def has_exceptions(self) -> bool:
        """Whether a rule brings something back."""
        return bool(self._exceptions)

    def may_skip(self, folder: str) -> bool:
        """Whether an excluded folder can be passed over: no ``!`` rule could match anything in it."""
        return not any(_may_be_below(rule.text, folder) for rule in self._exceptions)

    def may_reach_below(self, folder: str) -> bool:
        """Whether some rule could match something in ``folder``."""
        return any(_may_be_below(rule.text, folder) for rule in self._rules)


def _reaches(regex: re.Pattern[str], path: str) -> bool:
    if regex.fullmatch(path):
        return True
    at = path.find("/")
    while at >= 0:
        if regex.fullmatch(path, 0, at):
            return True
        at = path.find("/", at + 1)
    return False


def _may_be_below(pattern: str, folder: str) -> bool:
    for part, name in zip(pattern.split("/"), folder.split("/"), strict=False):
        if "**" in part:
            return True
        if _compiled(part, False).fullmatch(name) is None:
            return False
    return True


def _clean(pattern: str) -> str:
    parts: list[str] = []
    for part in pattern.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
