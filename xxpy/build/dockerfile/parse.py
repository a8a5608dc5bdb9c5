"""Text to instructions and stages.

Source: Dockerfile reference (format, parser directives, here-documents, and each instruction's forms).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import replace

from xxpy.build.dockerfile.instructions import Directives, Dockerfile, Heredoc, Instruction, Range, Stage
from xxpy.build.dockerfile.lines import Logical, logical_lines, read_directives
from xxpy.build.dockerfile.words import first_word, split_words, unquoted
from xxpy.errors import DockerfileError, UnsupportedError

LONGEST = 1 << 20
"""Bytes of a Dockerfile, at most."""

_KNOWN = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
_FLAGGED = frozenset({"ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"})
_JSON = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})
_WORDS = frozenset({"ADD", "COPY", "EXPOSE", "FROM", "VOLUME"})
_PAIRS = frozenset({"ARG", "ENV", "LABEL"})
_NO_TRIGGER = ("FROM", "MAINTAINER", "ONBUILD")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_SERVED = re.compile(
    r"(docker\.io/)?docker/dockerfile(-upstream)?"
    r"(:(1(\.[0-9]+){0,2}(-[a-z0-9.]+)?|latest|labs|master))?(@sha256:[0-9a-f]{64})?"
)


def parse(text: str | bytes, path: str) -> Dockerfile:
    """Read a Dockerfile; ``path`` is what errors call it.

    Raises DockerfileError with one of the reasons ``dockerfile-empty``, ``dockerfile-unreadable``,
    ``unknown-instruction``, ``missing-arguments``, ``bad-arguments``, ``unterminated-heredoc``, ``before-from``,
    ``bad-stage-name``; UnsupportedError (``syntax-unsupported``).
    """
    text = _decoded(text, path)
    directives = read_directives(text)
    if directives.syntax:
        check_syntax(directives.syntax, f"{path}:1")
    instructions = tuple(_instruction(line, directives, path) for line in logical_lines(text, directives.escape, path))
    if not instructions:
        raise DockerfileError(
            "the file has no instruction",
            remedy="a Dockerfile begins with FROM",
            reason="dockerfile-empty",
            place=path,
        )
    meta, stages = _stages(instructions, path)
    return Dockerfile(path, directives, instructions, meta, stages)


def check_syntax(text: str, place: str = "") -> None:
    """Refuse a language that is not the Dockerfile's own. Raises UnsupportedError (``syntax-unsupported``)."""
    if not _SERVED.fullmatch(text.split()[0] if text.strip() else ""):
        raise UnsupportedError(
            f"# syntax={text[:200]} is another front end's language, which is not run here",
            remedy="files for docker/dockerfile:1 are read without it: leave the line out",
            reason="syntax-unsupported",
            place=place,
        )


def parse_one(text: str, path: str, lines: Range) -> Instruction:
    """Read one instruction that stands in another's place, ``lines`` of ``path``. Raises DockerfileError."""
    place = f"{path}:{lines.start}"
    text = _decoded(text, place)
    try:
        found = list(logical_lines(text, "\\", path))
    except DockerfileError as error:
        error.place = place
        raise
    if len(found) != 1:
        raise DockerfileError(
            f"a trigger of the base has {len(found)} instructions: {text[:60]!r}",
            remedy="make the base again: each ONBUILD has one",
            reason="bad-trigger",
            place=place,
        )
    instruction = _instruction(replace(found[0], range=lines), Directives(), path)
    _check_trigger(instruction.name, place)
    return instruction


def _decoded(text: str | bytes, path: str) -> str:
    problem = ""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            problem, text = f"byte {error.start} is not UTF-8", ""
    if len(text) > LONGEST:
        problem = f"it is longer than {LONGEST} bytes"
    if "\0" in text:
        problem = "it holds a NUL byte"
    if problem:
        raise DockerfileError(
            f"this is no Dockerfile: {problem}",
            remedy="name the Dockerfile with -f",
            reason="dockerfile-unreadable",
            place=path,
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _instruction(line: Logical, directives: Directives, path: str) -> Instruction:
    place = f"{path}:{line.range.start}"
    word, _, rest = line.text.partition(" ") if " " in line.text else (line.text, "", "")
    if "\t" in word:
        word, _, more = word.partition("\t")
        rest = f"{more} {rest}" if rest else more
    name, rest = word.upper(), rest.strip()
    if name not in _KNOWN:
        raise _unknown(word, place)
    flags: tuple[str, ...] = ()
    if name in _FLAGGED:
        flags, rest = _take_flags(rest, directives.escape)
    if name == "ONBUILD" and rest:
        _check_trigger(first_word(rest, directives.escape)[0], place)
    if not rest and not line.heredocs:
        raise DockerfileError(
            f"{name} needs at least one argument",
            remedy=_FORMS.get(name, f"write {name} and what it takes"),
            reason="missing-arguments",
            place=place,
        )
    args, is_json = _arguments(name, rest, directives.escape, place)
    heredocs: tuple[Heredoc, ...] = line.heredocs
    return Instruction(name, args, line.original, line.range, flags, is_json, heredocs)


def _unknown(word: str, place: str) -> DockerfileError:
    close = difflib.get_close_matches(word.upper(), _KNOWN, 1, 0.6)
    return DockerfileError(
        f"unknown instruction: {word[:60]}",
        remedy=f"did you mean {close[0]}?" if close else "a line begins with an instruction, as FROM or RUN",
        reason="unknown-instruction",
        place=place,
    )


def _check_trigger(word: str, place: str) -> None:
    """What follows ONBUILD is read when it runs; what could never run is refused now."""
    if word.upper() not in _KNOWN:
        raise _unknown(word, place)
    if word.upper() in _NO_TRIGGER:
        raise DockerfileError(
            f"{word.upper()} cannot be a trigger of ONBUILD",
            remedy="write it into the Dockerfile that is FROM this image",
            reason="bad-trigger",
            place=place,
        )


_FORMS = {
    "FROM": "write FROM IMAGE [AS NAME]",
    "COPY": "write COPY SOURCE… DESTINATION",
    "RUN": "write RUN COMMAND",
    "ENV": "write ENV NAME=VALUE",
    "ARG": "write ARG NAME[=DEFAULT]",
    "HEALTHCHECK": "write HEALTHCHECK CMD COMMAND, or HEALTHCHECK NONE",
    "ONBUILD": "write ONBUILD and an instruction",
}


def _take_flags(rest: str, escape: str) -> tuple[tuple[str, ...], str]:
    flags: list[str] = []
    while rest.startswith("--"):
        word, after = first_word(rest, escape)
        if word == "--":
            return tuple(flags), after
        flags.append(unquoted(word, escape))
        rest = after
    return tuple(flags), rest


def _arguments(name: str, rest: str, escape: str, place: str) -> tuple[tuple[str, ...], bool]:
    if name in _JSON and rest.startswith("["):
        value = _json_array(name, rest, place)
        if value is not None:
            return value, True
    if name == "HEALTHCHECK":
        kind, command = [*rest.split(None, 1), ""][:2]
        value = _json_array(name, command, place) if command.startswith("[") else None
        words = value if value is not None else (command,) if command else ()
        return (kind, *words), value is not None
    if name in _PAIRS:
        return tuple(_pair_words(name, rest, escape, place)), False
    if name in _WORDS:
        return tuple(rest.split()), False
    return ((rest,) if rest else ()), False


def _json_array(name: str, rest: str, place: str) -> tuple[str, ...] | None:
    """The strings of the exec form; None for what is no JSON and so a command for the shell: ``[ -f x ] && y``."""
    try:
        value, end = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        problem = "takes strings only in its exec form"
    elif rest[end:].strip():
        # BuildKit takes the array and drops what follows without a word.
        problem = f"has text after its exec form: {rest[end:].strip()[:40]!r}"
    else:
        return tuple(value)
    raise DockerfileError(
        f"{name} {problem}",
        remedy='write ["program", "argument"], or a line for the shell that does not begin with a JSON array',
        reason="bad-exec-form",
        place=place,
    )


def _pair_words(name: str, rest: str, escape: str, place: str) -> Iterator[str]:
    words = split_words(rest, escape)
    if name == "ARG":
        yield from words
        return
    if words and "=" not in words[0]:
        # The older form: one name, and all the rest of the line as its value.
        key, value = first_word(rest, escape)
        if not value:
            raise _bad_pair(name, key, place)
        yield f"{key}={value}"
        return
    for word in words:
        if "=" not in word:
            raise _bad_pair(name, word, place)
        yield word


def _bad_pair(name: str, word: str, place: str) -> DockerfileError:
    return DockerfileError(
        f"{name}: {word[:60]!r} is no NAME=VALUE",
        remedy="quote a value that holds spaces",
        reason="bad-arguments",
        place=place,
    )


def pairs(instruction: Instruction) -> tuple[tuple[str, str | None], ...]:
    """The names and values of ENV, LABEL and ARG, as written; None for an ARG without a default."""
    found: list[tuple[str, str | None]] = []
    for word in instruction.args:
        name, equals, value = word.partition("=")
        found.append((name, value if equals else None))
    return tuple(found)


def _stages(instructions: tuple[Instruction, ...], path: str) -> tuple[tuple[Instruction, ...], tuple[Stage, ...]]:
    meta: list[Instruction] = []
    groups: list[tuple[Instruction, list[Instruction]]] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            groups.append((instruction, []))
        elif groups:
            groups[-1][1].append(instruction)
        elif instruction.name == "ARG":
            meta.append(instruction)
        else:
            raise DockerfileError(
                f"{instruction.name} stands before the first FROM",
                remedy="only ARG may; move it below",
                reason="before-from",
                place=f"{path}:{instruction.range.start}",
            )
    if not groups:
        raise DockerfileError(
            "the file has no FROM", remedy="a Dockerfile begins with FROM", reason="dockerfile-empty", place=path
        )
    return tuple(meta), tuple(_stage(index, source, tuple(body), path) for index, (source, body) in enumerate(groups))


def _stage(index: int, source: Instruction, body: tuple[Instruction, ...], path: str) -> Stage:
    place = f"{path}:{source.range.start}"
    args = source.args
    if len(args) not in (1, 3) or (len(args) == 3 and args[1].upper() != "AS"):
        raise DockerfileError(
            "FROM takes an image, or an image AS a name",
            remedy=_FORMS["FROM"],
            reason="bad-arguments",
            place=place,
        )
    name = args[2].lower() if len(args) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        raise DockerfileError(
            f"{args[2]!r} is no name for a stage",
            remedy="a name begins with a letter and has letters, digits, '-', '_' and '.'",
            reason="bad-stage-name",
            place=place,
        )
    platform = ""
    for flag in source.flags:
        key, _, value = flag.partition("=")
        if key != "--platform" or not value:
            raise DockerfileError(
                f"FROM has no flag {key}", remedy="it has --platform=OS/ARCH", reason="bad-flag", place=place
            )
        platform = value
    return Stage(index, name, source, args[0], platform, body)
