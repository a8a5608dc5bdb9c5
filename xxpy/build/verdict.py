"""Whether an image is what its platform says: what was found, how much it weighs, and what is told of it.

Values and pure functions alone; the files are read by `xxpy.build.engine.truth`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from xxpy.build.graph import SourceOp
from xxpy.build.naming import harmless
from xxpy.build.plan import Plan, base_of
from xxpy.errors import VerifyError
from xxpy.platforms import Platform, runs_natively

WRONG_MACHINE, WRONG_BASE, WRONG_OBJECT = "wrong-machine", "wrong-base", "wrong-object"
"""Reasons: a program or library, the whole base image, an object file or static library of another architecture."""

_SHOWN_ALIKE = 5
_SHOWN = 40


class Mode(Enum):
    """What ends a build: ``AUTO`` another architecture alone, ``ERROR`` every problem, ``WARN`` none.

    With ``OFF`` nothing is looked at.
    """

    AUTO = "auto"
    OFF = "off"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True)
class Verify:
    """How an image is checked. ``allow`` are patterns of paths that are not judged; ``*`` stands for ``/`` too.

    ``kept`` says that the image gets a name or is written out: a base of another platform is no lie where it is not.
    """

    mode: Mode = Mode.AUTO
    allow: tuple[str, ...] = ()
    kept: bool = True


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a platform's image.

    ``path`` is absolute in the image, empty for the base. ``message`` is a predicate of it. ``line`` is of the step
    that brought it, 0 for none.
    """

    platform: Platform
    path: str
    message: str
    reason: str
    line: int = 0


def wrong_bases(plan: Plan) -> tuple[Problem, ...]:
    """The targets whose image is made on a base of another platform, which does not run its programs."""
    found = []
    for result in plan.graph.results:
        base = base_of(plan.graph, result.root) if result.root else None
        if base is None or base.platform is None or not isinstance(base.op, SourceOp):
            continue
        if not runs_natively(base.platform, result.platform):
            words = f"the image for {result.platform} is made on a base of {base.platform}"
            found.append(Problem(result.platform, "", words, WRONG_BASE, result.from_line))
    return tuple(found)


def require_bases(plan: Plan, verify: Verify, path: str) -> None:
    """Refuse, before the first step, an image on a base of another platform. Raises VerifyError (``wrong-base``)."""
    judge([problem for problem in wrong_bases(plan) if fatal(problem, verify)], verify, path)


def fatal(problem: Problem, verify: Verify) -> bool:
    """Whether ``problem`` ends the build."""
    if verify.mode is Mode.ERROR:
        return True
    if verify.mode is not Mode.AUTO:
        return False
    return problem.reason == WRONG_MACHINE or (problem.reason == WRONG_BASE and verify.kept)


def judge(problems: Sequence[Problem], verify: Verify, path: str) -> tuple[str, ...]:
    """The warnings to tell; ``path`` is the Dockerfile's.

    Raises VerifyError, its reason that of the first problem, if one of them ends the build.
    """
    counted = [problem for problem in problems if not allowed(problem.path, verify.allow)]
    errors = [problem for problem in counted if fatal(problem, verify)]
    warnings = tuple(_told([problem for problem in counted if problem not in set(errors)], path))
    if not errors:
        return warnings
    first = errors[0]
    lines = (*(f"NOTICE: {warning}" for warning in warnings), *_told(errors, path))
    subject = f"{shown(first.path)} " if first.path else ""
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    raise VerifyError(
        f"{subject}{first.message}{more}",
        remedy=_remedy(first),
        reason=first.reason,
        place=_place(first, path),
        problems=lines if len(lines) > 1 else (),
    )


def allowed(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of ``patterns`` excuses the file."""
    return bool(path) and any(fnmatchcase(path, f"/{pattern.lstrip('/')}") for pattern in patterns)


def shown(path: str) -> str:
    """A path that may hold anything, for people."""
    return path if path.isprintable() else ascii(path)


def _place(problem: Problem, path: str) -> str:
    return f"{path}:{problem.line}" if problem.line else path


def _told(problems: Sequence[Problem], path: str) -> Iterator[str]:
    """A line for each problem, few of those that are alike."""
    seen: dict[tuple[int, str, Platform], int] = {}
    kept: dict[tuple[int, str, Platform], int] = {}
    for problem in problems:
        kind = (problem.line, problem.reason, problem.platform)
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= _SHOWN_ALIKE and sum(kept.values()) < _SHOWN:
            kept[kind] = kept.get(kind, 0) + 1
            subject = f"{shown(problem.path)} " if problem.path else ""
            yield harmless(f"{_place(problem, path)}: {subject}{problem.message}")
    for (line, reason, platform), count in seen.items():
        if more := count - kept.get((line, reason, platform), 0):
            at = f"{path}:{line}" if line else path
            yield f"{at}: {more} more of {platform} are so ({reason})"


def _remedy(problem: Problem) -> str:
    if problem.reason == WRONG_BASE:
        return (
            "leave --platform out of the final stage's FROM and COPY --from the stage that builds; "
            "--verify=warn builds it all the same"
        )
    if problem.reason in (WRONG_MACHINE, WRONG_OBJECT):
        return (
            f"have it made or fetched for TARGETPLATFORM, which is {problem.platform}; "
            f"if it is data on purpose: --verify-allow {_quoted(problem.path)}"
        )
    return f"bring what it needs into the image, or link it statically; else --verify-allow {_quoted(problem.path)}"


def _quoted(path: str) -> str:
    return shlex.quote(shown(path))


# How paths name an architecture, besides Docker's name: npm's and .NET's, Debian's, the kernel's and LLVM's.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "amd64": ("x86_64", "x86-64", "amd64", "x64"),
    "386": ("i386", "i686", "ia32", "x86", "386"),
    "arm": ("arm", "armhf", "armv7l", "armv7", "armv6l", "armv6", "armel"),
    "arm64": ("aarch64", "arm64"),
    "riscv64": ("riscv64",),
    "ppc64le": ("ppc64le", "ppc64el", "powerpc64le", "ppc64"),
    "s390x": ("s390x",),
    "loong64": ("loong64", "loongarch64"),
    "mips": ("mips",),
    "mipsle": ("mipsel", "mipsle"),
    "mips64": ("mips64",),
    "mips64le": ("mips64el", "mips64le"),
}


def multiarch_of(path: str) -> tuple[str, bool]:
    """The architecture whose GNU triple is a folder of ``path``, empty if none is; whether it is a cross toolchain's.

    Debian keeps the libraries of several architectures side by side in ``/usr/lib/TRIPLE``, and those that a cross
    toolchain links in ``/usr/TRIPLE`` and ``/usr/lib/gcc-cross/TRIPLE``.
    """
    folders = path.split("/")[1:-1]
    for index, folder in enumerate(folders):
        word, linux, _ = folder.partition("-linux-")
        arch = next((arch for arch, words in _SPELLINGS.items() if word in words), "") if linux else ""
        if arch:
            return arch, folders[:index] == ["usr"] or "gcc-cross" in folders[:index]
    return "", False


def counterparts(path: str, found: str, wanted: str) -> tuple[str, ...]:
    """Where the same file for the architecture ``wanted`` would be, if ``path`` names the architecture ``found``.

    Packages for several platforms have a folder or a name for each: ``prebuilds/linux-x64``, ``runtimes/linux-arm64``.
    """
    words = "|".join(re.escape(word) for word in _SPELLINGS.get(found, ()))
    if not words:
        return ()
    named = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9]|[_-]64)")
    places = list(named.finditer(path))
    made = []
    for word in _SPELLINGS.get(wanted, ()):
        if places:
            first, last = places[0], places[-1]
            made += [named.sub(word, path), f"{path[: first.start()]}{word}{path[first.end() :]}"]
            made.append(f"{path[: last.start()]}{word}{path[last.end() :]}")
    return tuple(dict.fromkeys(made))
