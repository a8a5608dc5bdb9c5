"""COPY and ADD as file actions: what is taken, where it goes, whose it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field

from xxpy.build.dockerfile.expand import expand_word
from xxpy.build.dockerfile.flags import Flags
from xxpy.build.dockerfile.instructions import Heredoc, Instruction
from xxpy.build.dockerfile.remote import checked_checksum, git_source, http_op, is_url
from xxpy.build.dockerfile.scope import Scope
from xxpy.build.graph import CopyAction, FileAction, MakeFileAction, SourceOp
from xxpy.build.modes import changed, is_symbolic
from xxpy.errors import DockerfileError

COPY_FLAGS = {"allowed": ("from", "chown", "chmod"), "repeated": ("exclude",), "switches": ("link", "parents")}
ADD_FLAGS = {
    "allowed": ("chown", "chmod", "checksum"),
    "repeated": ("exclude",),
    "switches": ("link", "keep-git-dir", "unpack"),
}


@dataclass
class Files:
    """The actions of one COPY or ADD, and what their inputs are.

    Input 0 is what is changed; ``sources`` are the inputs from 1 on, None for the files that a COPY is about: the
    context, or what ``--from`` names.
    """

    actions: list[FileAction] = field(default_factory=list)
    sources: list[SourceOp | None] = field(default_factory=list)

    def input_of(self, source: SourceOp | None) -> int:
        """The index of an input, which is added if it is new."""
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source) + 1


def copy_files(at: Instruction, scope: Scope, workdir: str, flags: Flags) -> Files:
    """One COPY or ADD.

    Raises DockerfileError: ``missing-arguments``, ``bad-mode``, ``bad-destination``, ``bad-checksum``, ``bad-url``,
    ``bad-git-url``, ``copy-url``.
    """
    with scope.placed(at):
        given, dest = _words(at, scope, workdir)
        mode, change = _mode(flags.get("chmod"))
        heredocs = {each.name: each for each in at.heredocs}
        files, written = Files(), []
        local: list[str] = []

        def made(index: int, sources: tuple[str, ...], unpack: bool) -> CopyAction:
            owner, exclude, parents = flags.get("chown"), flags.all("exclude"), flags.on("parents")
            return CopyAction(index, sources, dest, owner, mode, change, exclude, parents, unpack)

        def end_local() -> None:
            if local:
                unpack = flags.on("unpack", default=at.name == "ADD")
                files.actions.append(made(files.input_of(None), tuple(local), unpack))
                local.clear()

        for text, source in zip(at.args, given, strict=False):
            heredoc = heredocs.get(source.lstrip("<-")) if text.startswith("<<") else None
            if heredoc is not None:
                written.append(heredoc)
            elif (remote := _remote(at, source, flags, several=len(given) > 1)) is not None:
                end_local()
                op, path = remote
                files.actions.append(made(files.input_of(op), (path,), is_url(op.identifier) and flags.on("unpack")))
            else:
                local.append(source)
        end_local()
        file_mode = changed(change, 0o644, folder=False) if change else mode
        for heredoc in written:
            files.actions.append(_written(heredoc, dest, scope, flags.get("chown") or "0:0", file_mode))
        return files


def _words(at: Instruction, scope: Scope, workdir: str) -> tuple[list[str], str]:
    """The sources and the destination, expanded."""
    words = [scope.word(word, at) for word in at.args]
    if len(words) < 2:
        raise DockerfileError(
            f"{at.name} needs at least one source and a destination",
            remedy=f"write {at.name} SOURCE… DESTINATION",
            reason="missing-arguments",
        )
    *given, destination = words
    if not destination:
        raise DockerfileError(f"{at.name}'s destination is empty", reason="bad-destination")
    dest = _destination(destination, workdir)
    if len(given) > 1 and not dest.endswith("/"):
        raise DockerfileError(
            f"{at.name} of several sources needs a folder as its destination",
            remedy=f"end it with a slash: {destination}/",
            reason="bad-destination",
        )
    return given, dest


def _remote(at: Instruction, source: str, flags: Flags, *, several: bool) -> tuple[SourceOp, str] | None:
    """The source vertex of what ADD fetches, and the path in it that is copied; None for files that are there."""
    git = git_source(source)
    checksum = flags.get("checksum")
    if git is None and not is_url(source):
        if checksum:
            raise DockerfileError(
                "--checksum is for a URL or a git repository", remedy="leave the flag out", reason="bad-checksum"
            )
        return None
    if at.name != "ADD":
        raise DockerfileError(
            "COPY takes no URL and no git repository", remedy="write ADD in place of COPY", reason="copy-url"
        )
    if checksum and several:
        raise DockerfileError(
            "--checksum is for one source", remedy="write one ADD for each source", reason="bad-checksum"
        )
    checked_checksum(checksum, source, git=git is not None)
    if git is None:
        op, name = http_op(source, checksum)
        return op, _literal(name)
    if checksum and git.checksum and checksum != git.checksum:
        raise DockerfileError(
            f"--checksum={checksum} and the URL's {git.checksum} differ", remedy="leave one out", reason="bad-checksum"
        )
    return git.op(checksum, flags.on("keep-git-dir")), _literal(git.subdir) or "/"


def _literal(name: str) -> str:
    """A name as a pattern that means it alone."""
    return "".join("\\" + char if char in "*?[\\" else char for char in name)


def _written(heredoc: Heredoc, dest: str, scope: Scope, owner: str, mode: int) -> MakeFileAction:
    path = dest + heredoc.name if dest.endswith("/") else dest
    return MakeFileAction(path, _content(heredoc, scope), owner, 0o644 if mode < 0 else mode, heredoc.name)


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


def is_numeric(owner: str) -> bool:
    """Whether an owner, as ``--chown`` takes it, is told by numbers alone, or is none."""
    return all(part.isdigit() for part in owner.split(":") if part)


def _mode(text: str) -> tuple[int, str]:
    """``--chmod`` as permission bits, -1 for none, and as a symbolic mode, empty for none."""
    if is_symbolic(text):
        return -1, text
    try:
        mode = int(text, 8) if text else -1
        fine = not text or (text.isdigit() and 0 <= mode <= 0o7777)
    except ValueError:
        fine = False
    if not fine:
        raise DockerfileError(
            f"--chmod={text} is no mode", remedy="write it as 755, 0644 or u=rwX,go=rX", reason="bad-mode"
        )
    return mode, ""
