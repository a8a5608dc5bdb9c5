"""The cases: one Dockerfile each in ``cases/``, with the flags of its build in a comment ``# flags: …`` at its top."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ANSWERS = FOLDER / "answers.json"
"""What BuildKit made of each case (``record.py``): files and config by platform, or that it refused."""


@dataclass(frozen=True)
class Case:
    """``name`` is the file's; ``flags`` are given to both builders."""

    name: str
    text: str
    flags: tuple[str, ...]


def cases() -> list[Case]:
    """All of them, sorted by name."""
    found = []
    for path in sorted((FOLDER / "cases").iterdir()):
        text = path.read_text()
        flags = [line.removeprefix("# flags:") for line in text.splitlines() if line.startswith("# flags:")]
        found.append(Case(path.name, text, tuple(word for line in flags for word in shlex.split(line))))
    return found


def answers() -> dict[str, Any]:
    """BuildKit's recorded answers by case."""
    made: dict[str, Any] = json.loads(ANSWERS.read_text())
    return made


DIFFERENT = {
    "add-tar": "the owner that an archive names is kept; BuildKit 0.13 keeps it of some archives and not of this one",
    "add-tar-chown": "--chown of a local archive is honoured; BuildKit 0.13 leaves its files root's",
    "add-tar-gz": "as add-tar",
    "add-tar-no-slash": "as add-tar",
    "add-tar-wildcard": "as add-tar",
    "copy-chmod-bad": "a mode that is none is an error; BuildKit 0.13 copies as if there were no flag",
    "copy-chmod-variable": "variables in --chmod are replaced; BuildKit 0.13 copies as if there were no flag",
    "copy-chown-unknown": "a user that the stage does not have is an error; BuildKit makes it root",
    "copy-two-to-file": "several files to one name are an error; BuildKit leaves the last of them",
    "copy-wildcard-folder": "a link that a pattern matches is followed, to a folder too; BuildKit 0.13 fails",
    "run-heredoc-shebang": "the script is a file in /tmp while it runs; BuildKit's is in /dev/pipes",
}
"""Cases that come out otherwise than with BuildKit, on purpose, each with its reason, as in docs/conformance.md."""
