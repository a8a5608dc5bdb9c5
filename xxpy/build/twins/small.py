"""Steps that are over under QEMU before their like on this machine would be: those need no twins.

A container of its own and the look into its root take some hundredths of a second, as much as QEMU takes to start a
few small programs.
"""

from __future__ import annotations

import shlex

from xxpy.build.graph import ExecOp, Vertex

_SMALL = frozenset(
    (
        ":", "[", "cat", "cd", "chgrp", "chmod", "chown", "cp", "date", "echo", "exit", "export", "false", "groupadd",
        "id", "install", "ln", "ls", "mkdir", "mv", "printf", "pwd", "rm", "rmdir", "set", "sleep", "tee", "test",
        "touch", "true", "umask", "uname", "unlink", "useradd",
    )
)  # fmt: skip
"""Programs and words of the shell that start nothing else, and take no longer for what a Dockerfile has them do."""
_MOST = 8
"""Commands in one step: each is a start under QEMU, some 20 ms."""
_SHELL = ("/bin/sh", "-c")
_BETWEEN = frozenset(("&&", "||", ";", "|", "&"))


def small_exec(vertex: Vertex) -> bool:
    """Whether a vertex is an exec all of whose programs are known to be small."""
    op = vertex.op
    if not isinstance(op, ExecOp) or op.mounts[1:] or len(op.args) != 3 or op.args[:2] != _SHELL:
        return False
    text = op.args[2]
    if any(mark in text for mark in ("`", "$(", "<<")):
        return False
    words = shlex.shlex(text.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars="();&|")
    words.whitespace_split = True
    try:
        commands = _commands(list(words))
    except ValueError:
        return False
    return len(commands) <= _MOST and all(command in _SMALL for command in commands)


def _commands(words: list[str]) -> list[str]:
    """The first word of each command; an empty one for what is more than a list of commands."""
    found, begins = [], True
    for word in words:
        if word in _BETWEEN:
            begins = True
        elif set(word) & set("()"):
            found.append("")
        elif begins and "=" not in word and word != "!":
            found.append(word.rpartition("/")[2] if word.startswith(("/bin/", "/usr/bin/")) else word)
            begins = False
    return found
