"""Instruction and Stage: what a Dockerfile says, typed, each with its source range.

Nothing here is expanded: words keep their ``$NAME`` as written, and ``expand`` resolves them when the graph is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Range:
    """Lines of a file, 1-based, both ends in it."""

    start: int
    end: int


@dataclass(frozen=True)
class Heredoc:
    """A here-document: ``expand`` is false when its delimiter was quoted; ``chomp`` is true for ``<<-``."""

    name: str
    content: str
    expand: bool = True
    chomp: bool = False
    fd: int = 0


@dataclass(frozen=True)
class Instruction:
    """One instruction. ``original`` is its source, continuation lines joined, comments removed.

    ``flags`` are the ``--name=value`` words before the arguments, as written. ``args`` are the arguments: for the JSON
    form its strings (``json`` is true), else the words or the one line, as the instruction takes them (see the parser).
    ``trigger`` is true for what a base's ONBUILD says; its range is that of the FROM.
    """

    name: str
    args: tuple[str, ...]
    original: str
    range: Range
    flags: tuple[str, ...] = ()
    json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    trigger: bool = False


@dataclass(frozen=True)
class Stage:
    """A FROM and what follows it: ``name`` is the text after AS in lower case, or empty; ``index`` counts from 0."""

    index: int
    name: str
    source: Instruction
    """The FROM itself: ``args`` are the base's name as written, then AS and a name if given."""
    base: str
    platform: str
    """The value of ``--platform``, unexpanded; empty when there is none."""
    instructions: tuple[Instruction, ...] = ()


@dataclass(frozen=True)
class Directives:
    """Parser directives from the top of the file: ``syntax`` and ``check`` as written, ``escape`` one character."""

    syntax: str = ""
    escape: str = "\\"
    check: str = ""


@dataclass(frozen=True)
class Dockerfile:
    """A whole parsed file. ``path`` is how the user names it; errors say ``path:line``.

    ``instructions`` is the flat list as read; ``meta_args`` are the ARGs before the first FROM.
    """

    path: str
    directives: Directives
    instructions: tuple[Instruction, ...]
    meta_args: tuple[Instruction, ...] = ()
    stages: tuple[Stage, ...] = field(default=())
