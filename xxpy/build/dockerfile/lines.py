"""Physical lines to logical ones: parser directives, comments, continuations, here-documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from xxpy.build.dockerfile.instructions import Directives, Heredoc, Range
from xxpy.errors import DockerfileError

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_OPENING = re.compile(r"([0-9]*)<<(-?)([^<\s]+)")
_HEREDOC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKES_HEREDOC = frozenset({"ADD", "COPY", "RUN"})


@dataclass(frozen=True)
class Logical:
    """One instruction's text on one line, its source without comments, its lines and its here-documents."""

    text: str
    original: str
    range: Range
    heredocs: tuple[Heredoc, ...] = ()


def read_directives(text: str) -> Directives:
    """The parser directives at the top: the first line that is none ends them. A second of a name is a comment."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _DIRECTIVE.fullmatch(line)
        if match is None or match.group(1).lower() not in ("syntax", "escape", "check"):
            break
        found.setdefault(match.group(1).lower(), match.group(2))
    escape = found.get("escape", "\\")
    return Directives(found.get("syntax", ""), escape if escape in ("\\", "`") else "\\", found.get("check", ""))


def logical_lines(text: str, escape: str, path: str) -> Iterator[Logical]:
    """Every instruction of ``text``. Raises DockerfileError (``unterminated-heredoc``)."""
    lines = text.split("\n")
    continued = re.compile(re.escape(escape) + r"[ \t]*$")
    index = 0
    while index < len(lines):
        first = lines[index].strip()
        if not first or first.startswith("#"):
            index += 1
            continue
        start, end = index + 1, index + 1
        parts: list[str] = []
        while index < len(lines):
            line = lines[index]
            index += 1
            # Comments and, as in BuildKit, empty lines inside a continued instruction are passed over.
            if parts and (not line.strip() or line.lstrip().startswith("#")):
                continue
            if not parts:
                line = line.lstrip()
            end = index
            match = continued.search(line)
            parts.append(line[: match.start()] if match else line)
            if match is None:
                break
        joined = "".join(parts).rstrip()
        heredocs, index = _heredocs(joined, lines, index, path, start)
        end = index if heredocs else end
        body = "".join(f"\n{each.content}{each.name}" for each in heredocs)
        yield Logical(joined, joined + body, Range(start, end), heredocs)


def _heredocs(line: str, lines: list[str], index: int, path: str, start: int) -> tuple[tuple[Heredoc, ...], int]:
    name, _, rest = line.partition(" ")
    if name.upper() not in _TAKES_HEREDOC or "<<" not in rest:
        return (), index
    found = []
    for fd, dash, word in _openings(rest):
        quoted = word[0] in "'\"" and word[-1] == word[0] and len(word) > 2
        delimiter = word[1:-1] if quoted else word
        if not _HEREDOC_NAME.fullmatch(delimiter):
            continue
        content = []
        while True:
            if index >= len(lines):
                raise DockerfileError(
                    f"the here-document {delimiter} has no end",
                    remedy=f"write {delimiter} on a line of its own after it",
                    reason="unterminated-heredoc",
                    place=f"{path}:{start}",
                )
            text = lines[index].lstrip("\t") if dash else lines[index]
            index += 1
            if text == delimiter:
                break
            content.append(text + "\n")
        found.append(Heredoc(delimiter, "".join(content), not quoted, bool(dash), int(fd or 0)))
    return tuple(found), index


def _openings(rest: str) -> Iterator[tuple[str, str, str]]:
    """The ``<<NAME`` words that stand outside quotes; ``<<<`` is the shell's own here-string."""
    quote, index = "", 0
    while index < len(rest):
        char = rest[index]
        if quote:
            quote = "" if char == quote else quote
        elif char == "\\":
            index += 1
        elif rest.startswith("<<<", index):
            index += 2
        elif rest.startswith("<<", index) and (match := _OPENING.match(rest, index)):
            number = re.search(r"(?:^|\s)([0-9]+)$", rest[:index])
            yield (number.group(1) if number else "", match.group(2), match.group(3))
            index = match.end() - 1
        elif char in "'\"":
            quote = char
        index += 1
