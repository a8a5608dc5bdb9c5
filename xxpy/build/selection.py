"""What a COPY takes: the files of each source, each with the name that it gets below the destination.

The cache key is made of this and the engine copies this, so that the two cannot differ. Source: Dockerfile reference,
"COPY --parents", "COPY --exclude"; Go's filepath.Match for the patterns of sources.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xxpy.build.dockerfile.ignore import Ignore, has_wildcard, match
from xxpy.build.graph import CopyAction
from xxpy.errors import SourceError

Walk = Iterator[tuple[str, os.stat_result]]
NOTHING = Ignore(())
"""Rules that exclude nothing."""
_PIVOT = "/./"


class Tree(Protocol):
    """Where files are taken from. Paths are relative to ``root``, without a slash at either end."""

    @property
    def root(self) -> Path: ...

    def resolve(self, path: str) -> str | None:
        """``path`` with its links followed as if ``root`` were ``/``; None if it is not there or is hidden."""
        ...

    def hides(self, path: str) -> bool:
        """Whether ``path`` itself is one that COPY does not see."""
        ...

    def walk(self, start: str, skip: Callable[[str], bool]) -> Walk:
        """What is at ``start`` and below, folders first; folders that ``skip`` names and hidden files are left out."""
        ...


@dataclass(frozen=True)
class Entry:
    """One file or folder: ``full`` is its path in this process, ``name`` that below the destination.

    ``name`` is empty for the source itself. ``parent`` says that the folder is there only for what is in it.
    """

    full: str
    name: str
    info: os.stat_result
    parent: bool = False


@dataclass(frozen=True)
class Taken:
    """What a source without wildcards stands for, or one match of a pattern.

    ``name`` is its last part before links are followed, which a file keeps when it is copied into a folder. ``entries``
    can be gone through once, the source itself first.
    """

    path: str
    name: str
    info: os.stat_result
    entries: Iterator[Entry]

    @property
    def folder(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)


def take(tree: Tree, action: CopyAction, source: str) -> list[Taken]:
    """What one of ``action``'s sources stands for; a pattern that nothing matches gives an empty list.

    Raises as `found` does, SourceError (``copy-source-missing``, ``copy-socket``, ``bad-pattern``, ``too-many-links``).
    """
    base, include = _pivoted(source) if action.parents else (source, "")
    wild = has_wildcard(source)
    if include and not wild and tree.resolve(_join(base, include)) is None:
        raise _missing(source)
    places = found(tree, base)
    exclude = Ignore.of(action.exclude)
    taken = []
    for path, name in places:
        info = os.lstat(os.path.join(tree.root, path))
        if stat.S_ISSOCK(info.st_mode):
            raise SourceError(f"{name} is a socket: no file to copy", remedy="leave it out", reason="copy-socket")
        folder = stat.S_ISDIR(info.st_mode)
        if folder or not exclude.excludes(name):
            entries = entries_of(tree, path, Ignore.of([include]) if include and folder else None, exclude)
            taken.append(Taken(path, name, info, entries))
    return taken


def clean(path: str) -> str:
    """A source of COPY as a path from the root of what it is taken from; no ``..`` leads out of that."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _pivoted(source: str) -> tuple[str, str]:
    """The folder that ``--parents`` starts from, and the pattern below it of what is taken."""
    before, pivot, after = source.partition(_PIVOT)
    return (before, clean(after)) if pivot else ("", clean(source))


def _join(base: str, path: str) -> str:
    return f"{base}/{path}"


def _missing(source: str) -> SourceError:
    return SourceError(
        f"the source {source} is not there",
        remedy="see what the stage it comes from leaves there",
        reason="copy-source-missing",
    )


def found(tree: Tree, source: str) -> list[tuple[str, str]]:
    """The paths that a source stands for, links followed, each with the last part of its name; sorted.

    Raises SourceError (``copy-source-missing``) for a name that is not there, for a pattern in a folder that is not
    there, and for a link that leads nowhere.
    """
    parts = clean(source).split("/")
    fixed = next((index for index, part in enumerate(parts) if has_wildcard(part)), len(parts))
    named = "/".join(parts[:fixed])
    start = None if tree.hides(named) else tree.resolve(named)
    if start is None:
        raise _missing(source)
    if fixed == len(parts):
        return [(start, parts[-1])]
    level = [start]
    for part in parts[fixed:]:
        matching = [(folder, name) for folder in level for name in _names(tree, folder) if match(part, name)]
        level = [_join(folder, name).lstrip("/") for folder, name in matching]
    matches = []
    for path in sorted(level, key=lambda each: each.split("/")):
        if not tree.hides(path):
            real = tree.resolve(path)
            if real is None:
                raise _missing(path)
            matches.append((real, path.rpartition("/")[2]))
    return matches


def _names(tree: Tree, folder: str) -> list[str]:
    """What is in a folder; nothing for what is none, or is a link: those are not followed between two patterns."""
    full = os.path.join(tree.root, folder)
    try:
        return os.listdir(full) if stat.S_ISDIR(os.lstat(full).st_mode) else []
    except OSError:
        return []


def entries_of(tree: Tree, start: str, include: Ignore | None = None, exclude: Ignore = NOTHING) -> Iterator[Entry]:
    """What is at ``start`` and below of what the rules let through, the path itself first. Raises OSError."""
    top = os.path.join(tree.root, start) if start else os.fspath(tree.root)
    info = os.lstat(top)
    yield Entry(top, "", info)
    if not stat.S_ISDIR(info.st_mode):
        return
    cut = len(start) + 1 if start else 0

    def skip(path: str) -> bool:
        name = path[cut:]
        if exclude.excludes(name) and exclude.may_skip(name):
            return True
        return include is not None and not include.excludes(name) and not include.may_reach_below(name)

    given = {""}
    for path, found in tree.walk(start, skip):
        if path == start:
            continue
        name = path[cut:]
        # The rules of an Ignore say what they match, which here is what is wanted.
        if exclude.excludes(name) or (include is not None and not include.excludes(name)):
            continue
        if name.rpartition("/")[0] not in given:
            parts = name.split("/")
            for depth in range(1, len(parts)):
                parent = "/".join(parts[:depth])
                if parent not in given:
                    given.add(parent)
                    full = os.path.join(top, parent)
                    yield Entry(full, parent, os.lstat(full), parent=True)
        if stat.S_ISDIR(found.st_mode):
            given.add(name)
        yield Entry(os.path.join(top, name), name, found)
