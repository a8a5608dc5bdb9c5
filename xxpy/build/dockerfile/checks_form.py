"""Build checks of how a Dockerfile is written: cases, names, forms. They need nothing but the file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xxpy.build.dockerfile.checks import Findings, comments_above, everything, word_of
from xxpy.build.dockerfile.instructions import Dockerfile, Instruction, Stage
from xxpy.build.dockerfile.parse import pairs
from xxpy.build.dockerfile.ports import exposed
from xxpy.build.dockerfile.words import first_word
from xxpy.errors import DockerfileError

_RESERVED = ("context", "scratch")


def check_form(file: Dockerfile, lines: Sequence[str], findings: Findings) -> None:
    """All checks of this module on ``file``, whose text is ``lines``."""
    _casing(file, findings)
    _stage_names(file.stages, findings)
    for at in everything(file):
        _continuation(at, lines, file.directives.escape, findings)
        _description(at, file, lines, findings)
    for stage in file.stages:
        for at in stage.instructions:
            if at.name == "MAINTAINER":
                findings.add("MaintainerDeprecated", "MAINTAINER is deprecated: write LABEL maintainer=…", at)


def _casing(file: Dockerfile, findings: Findings) -> None:
    written = [(at, word_of(at)) for stage in file.stages for at in (stage.source, *stage.instructions)]
    lower = sum(word.islower() for _, word in written)
    upper = sum(word.isupper() for _, word in written)
    most = "lower" if lower > upper else "upper"
    for at, word in written:
        if not (word.islower() if most == "lower" else word.isupper()):
            text = f"{word} is written otherwise than most of the file's instructions, which are in {most} case"
            findings.add("ConsistentInstructionCasing", text, at)


def _stage_names(stages: Sequence[Stage], findings: Findings) -> None:
    seen: set[str] = set()
    for stage in stages:
        if not stage.name:
            continue
        at = stage.source
        keyword, name = at.args[1], at.args[2]
        if name != name.lower():
            findings.add("StageNameCasing", f"the stage name {name} should be in lower case", at)
        word = word_of(at)
        if (word.islower() or word.isupper()) and keyword.islower() != word.islower():
            findings.add("FromAsCasing", f"{word} and {keyword} should be in the same case", at)
        if stage.name in _RESERVED:
            findings.add("ReservedStageName", f"{stage.name} has a meaning of its own: give the stage another name", at)
        if stage.name in seen:
            text = f"there is a stage {stage.name} above: FROM and --from mean the last of a name"
            findings.add("DuplicateStageName", text, at)
        seen.add(stage.name)


def _continuation(at: Instruction, lines: Sequence[str], escape: str, findings: Findings) -> None:
    mark = re.escape(escape)
    continued = re.compile(rf"(?<!{mark}){mark}[ \t]*$")
    empty, index = False, at.range.start - 1
    for index in range(at.range.start - 1, min(at.range.end, len(lines))):
        line = lines[index]
        if index >= at.range.start and (not line.strip() or line.lstrip().startswith("#")):
            empty = empty or not line.strip()
        elif not continued.search(line):
            break
    if empty:
        text = "an empty line stands inside an instruction that goes on: remove it, or begin it with #"
        findings.at_lines("NoEmptyContinuation", text, at, (index + 1, index + 1))


def _description(at: Instruction, file: Dockerfile, lines: Sequence[str], findings: Findings) -> None:
    """``# NAME what it is`` above an ARG or a named FROM, as ``--call=outline`` shows it."""
    if at.name == "FROM":
        names = [at.args[2]] if len(at.args) == 3 else []
    else:
        names = [name for name, _ in pairs(at)] if at.name == "ARG" else []
    # What stands at the top of the file is a directive, not a comment.
    comments = [
        line for line in comments_above(lines, at) if not re.match(r"#\s*(check|syntax|escape)\s*=", line, re.I)
    ]
    said = comments[-1].lstrip()[1:].strip() if comments else ""
    if names and said and said.split()[0] not in names:
        text = f"the comment above {at.name} should be: # {names[0] if len(names) == 1 else 'NAME'} and what it is"
        findings.add("InvalidDefinitionDescription", text, at)


def legacy_pair(at: Instruction, escape: str) -> bool:
    """Whether an ENV or LABEL is of the older form: one name, and all the rest of the line as its value."""
    rest = at.original.split(None, 1)
    return len(rest) == 2 and "=" not in first_word(rest[1], escape)[0]


def check_ports(at: Instruction, words: Sequence[str], findings: Findings) -> None:
    """The checks of EXPOSE, on its words once their variables are replaced."""
    for word in words:
        try:
            found = exposed(word)
        except DockerfileError:
            continue
        if found.protocol != found.protocol.lower():
            findings.add("ExposeProtoCasing", f"the protocol of {word} should be in lower case", at)
        if found.mapped:
            text = f"{word} names an address or a port of the host, which EXPOSE cannot set: docker run -p does"
            findings.add("ExposeInvalidFormat", text, at)
