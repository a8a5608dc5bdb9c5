"""Many cases as one Dockerfile: what each has made is in a folder of the last stage, named by its case."""

from __future__ import annotations

import re
from collections.abc import Sequence

from conformance.cases import Case

_FROM = re.compile(r"^(?P<word>FROM\s+(?:--\S+\s+)*)(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?\s*$", re.IGNORECASE)
_DIRECTIVE = re.compile(r"^#\s*[a-z]+=")
_TAKEN = re.compile(r"(?P<word>\bfrom=)(?P<name>[A-Za-z0-9-]+)")


def merges(case: Case) -> bool:
    """Whether ``case`` can be part of one Dockerfile with others.

    Flags, directives and ARGs before the first FROM would be those of all.
    """
    first = next(line for line in case.text.splitlines() if not line.startswith("#") or _DIRECTIVE.match(line))
    return not case.flags and _FROM.match(first) is not None


def merged(cases: Sequence[Case]) -> str:
    """One Dockerfile of all ``cases``, of which each `merges`."""
    lines = [line for case in cases for line in _renamed(case)]
    last = [f"COPY --from={_last(case)} / /{case.name}/" for case in cases]
    return "\n".join([*lines, "FROM scratch", *last, ""])


def _last(case: Case) -> str:
    return f"{case.name}-{sum(_FROM.match(line) is not None for line in case.text.splitlines()) - 1}"


def _renamed(case: Case) -> list[str]:
    """The case's lines, its stages named by the case and their number."""
    made, names = [], dict[str, str]()
    for line in case.text.splitlines():
        found = _FROM.match(line)
        if found is None:
            line = _TAKEN.sub(lambda each: each["word"] + names.get(each["name"].lower(), each["name"]), line)
        else:
            base = names.get(found["base"].lower(), found["base"])
            number = str(sum(each.isdigit() for each in names))
            name = f"{case.name}-{number}"
            names[number] = name
            if found["name"]:
                names[found["name"].lower()] = name
            line = f"{found['word']}{base} AS {name}"
        made.append(line)
    return made
