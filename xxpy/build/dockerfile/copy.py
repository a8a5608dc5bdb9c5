"""COPY as file actions: what is taken, where it goes, whose it becomes."""

from __future__ import annotations

from xxpy.build.dockerfile.expand import expand_word
from xxpy.build.dockerfile.flags import Flags
from xxpy.build.dockerfile.instructions import Heredoc, Instruction
from xxpy.build.dockerfile.scope import Scope
from xxpy.build.graph import CopyAction, FileAction, MakeFileAction
from xxpy.errors import DockerfileError


def copy_actions(at: Instruction, scope: Scope, workdir: str, flags: Flags, *, from_context: bool) -> list[FileAction]:
    """The actions of one COPY whose files are read from input 1.

    Raises DockerfileError: ``missing-arguments``, ``bad-mode``, ``bad-destination``.
    """
    place = f"{scope.path}:{at.range.start}"
    words = [scope.word(word, at) for word in at.args]
    if len(words) < 2:
        raise DockerfileError(
            "COPY needs at least one source and a destination",
            remedy="write COPY SOURCE… DESTINATION",
            reason="missing-arguments",
            place=place,
        )
    *given, destination = words
    if not destination:
        raise DockerfileError("COPY's destination is empty", reason="bad-destination", place=place)
    dest = _destination(destination, workdir)
    if len(given) > 1 and not dest.endswith("/"):
        raise DockerfileError(
            "COPY of several sources needs a folder as its destination",
            remedy=f"end it with a slash: {destination}/",
            reason="bad-destination",
            place=place,
        )
    owner = flags.get("chown") or ("0:0" if from_context else "")
    mode = _mode(flags.get("chmod"), place)
    heredocs = {each.name: each for each in at.heredocs}
    actions: list[FileAction] = []
    sources = []
    for written, source in zip(at.args, given, strict=False):
        heredoc = heredocs.get(source.lstrip("<-")) if written.startswith("<<") else None
        if heredoc is None:
            sources.append(source)
        else:
            path = dest + heredoc.name if dest.endswith("/") else dest
            data = _content(heredoc, scope)
            actions.append(MakeFileAction(path, data, owner or "0:0", 0o644 if mode < 0 else mode))
    if sources:
        actions.insert(0, CopyAction(1, tuple(sources), dest, owner, mode))
    return actions


def _content(heredoc: Heredoc, scope: Scope) -> str:
    if not heredoc.expand:
        return heredoc.content
    variables = scope.variables()
    return "".join(_expanded(line, variables, scope.escape) for line in heredoc.content.splitlines(keepends=True))


def _expanded(line: str, variables: dict[str, str], escape: str) -> str:
    if "$" not in line:
        return line
    # Quotes are text in a heredoc: only the parts around them are expanded.
    parts = []
    for piece in _pieces(line):
        parts.append(piece if piece in "\"'" else expand_word(piece, variables, escape))
    return "".join(parts)


def _pieces(line: str) -> list[str]:
    pieces, current = [], ""
    for char in line:
        if char in "\"'":
            pieces += [current, char] if current else [char]
            current = ""
        else:
            current += char
    return [*pieces, current] if current else pieces


def _destination(text: str, workdir: str) -> str:
    folder = text.endswith("/") or text in (".", "..") or text.endswith(("/.", "/.."))
    parts: list[str] = []
    for part in (text if text.startswith("/") else f"{workdir}/{text}").split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    path = "/" + "/".join(parts)
    return path + "/" if folder and path != "/" else path


def _mode(text: str, place: str) -> int:
    if not text:
        return -1
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise DockerfileError(
            f"--chmod={text} is no octal mode", remedy="write it as 755 or 0644", reason="bad-mode", place=place
        )
    return mode
