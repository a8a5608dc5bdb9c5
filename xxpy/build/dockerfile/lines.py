"""Physical lines to logical ones: parser directives, comments, continuations, here-documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from xxpy.build.dockerfile.instructions import Directives, Heredoc, Range
from xxpy.build.dockerfile.words import split_words, unquoted
from xxpy.errors import DockerfileError

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_OPENING = re.compile(r"([0-9]*)<<(-?)([^<]*)")
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
    # An escape character that is itself escaped continues nothing.
    mark = re.escape(escape)
    continued = re.compile(rf"(?<!{mark}){mark}[ \t]*$")
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
        else:
            # Continued to the end of the file, which only comments and empty lines fill.
            end = len(lines) - (lines[-1] == "")
        joined = "".join(parts).rstrip()
        if not joined:
            # Continuations of nothing: as good as empty lines.
            continue
        after = index
        heredocs, index = _heredocs(joined, escape, lines, index, f"{path}:{start}")
        end = index if heredocs else end
        body = "".join(f"\n{line}" for line in lines[after:index])
        yield Logical(joined, joined + body, Range(start, end), heredocs)


def _heredocs(line: str, escape: str, lines: list[str], index: int, place: str) -> tuple[tuple[Heredoc, ...], int]:
    name, *rest = line.split(None, 1)
    if name.upper() == "ONBUILD" and rest:
        name, *rest = rest[0].split(None, 1)
    if name.upper() not in _TAKES_HEREDOC or not rest or "<<" not in rest[0]:
        return (), index
    found = []
    for fd, dash, word in _openings(rest[0], escape):
        delimiter = unquoted(word, escape)
        content = []
        while True:
            if index >= len(lines):
                raise DockerfileError(
                    f"the here-document {delimiter} has no end",
                    remedy=f"write {delimiter} on a line of its own after it",
                    reason="unterminated-heredoc",
                    place=place,
                )
            text = lines[index].lstrip("\t") if dash else lines[index]
            index += 1
            if text == delimiter:
                break
            content.append(text + "\n")
        found.append(Heredoc(delimiter, "".join(content), word == delimiter, bool(dash), int(fd or 0)))
    return tuple(found), index


def _openings(rest: str, escape: str) -> Iterator[tuple[str, str, str]]:
    """The words that open a here-document: file descriptor, dash, and the delimiter with its quotes.

    Only a word of its own does: ``$((1<<2))`` and the shell's ``<<<`` do not.
    """
    for word in split_words(rest, escape):
        match = _OPENING.fullmatch(word)
        if match is not None and match[3]:
            yield match[1], match[2], match[3]
