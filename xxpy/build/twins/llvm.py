"""clang and lld: the same program for every target, which clang is told and lld reads in its input.

Unlike GCC's, clang's driver runs as a twin too: it is the compiler, and finds all that it needs by the path of its own
program, which is given to it as argv[0], and by the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from xxpy.build.twins.find import TWIN, Roots, build_time
from xxpy.build.twins.manager import Manager
from xxpy.build.twins.table import Entry, Guard, Kind


@dataclass(frozen=True)
class _Distribution:
    """How a distribution has clang: its ``package``, the ``folder`` and the ``file`` of its program.

    ``triples`` are the targets that it has by default on each architecture, which bitcode names: see
    ``clang --version``.
    """

    package: re.Pattern[str]
    folder: str
    file: str
    triples: Mapping[str, str]


_DISTRIBUTIONS: Mapping[Manager, _Distribution] = {
    Manager.DPKG: _Distribution(
        re.compile(r"clang-(?P<major>[0-9]+)"),
        "/usr/lib/llvm-{major}/bin",
        "clang",
        {
            "amd64": "x86_64-pc-linux-gnu",
            "arm64": "aarch64-unknown-linux-gnu",
            "riscv64": "riscv64-unknown-linux-gnu",
        },
    ),
    Manager.APK: _Distribution(
        re.compile(r"clang(?P<major>[0-9]+)"),
        "/usr/lib/llvm{major}/bin",
        "clang-{major}",
        {arch: f"{name}-alpine-linux-musl" for arch, name in
         (("amd64", "x86_64"), ("arm64", "aarch64"), ("riscv64", "riscv64"))},
    ),
}  # fmt: skip

_FRONT = ("-cc1", "-cc1as")
"""The first argument of the processes that a driver with more than one job starts."""

_NEVER = (
    # What is asked of it is answered by the one that the step has.
    *(Guard(Kind.NO_ARGUMENT, each) for each in ("--version", "-v", "-###", "-dumpmachine", "-dumpversion", "--help")),
    *(Guard(Kind.NO_ARGUMENT_PREFIX, each) for each in ("-print-", "--print-", "--autocomplete", "--config", "@")),
    # The machine's own processor would be another, and a plugin is a library of the root.
    *(Guard(Kind.NO_ARGUMENT, f"-m{what}=native") for what in ("arch", "cpu", "tune")),
    *(Guard(Kind.NO_ARGUMENT_PREFIX, each) for each in ("-fplugin", "-fpass-plugin", "-load", "--gcc-toolchain")),
    # These write down the arguments, of which a twin has more.
    *(Guard(Kind.NO_ARGUMENT, each) for each in ("-frecord-command-line", "-grecord-command-line", "-save-temps")),
    *(Guard(Kind.NO_ARGUMENT_PREFIX, each) for each in ("-frecord-gcc-switches", "-grecord-gcc-switches", "-MJ")),
    # CCC_OVERRIDE_OPTIONS, COMPILER_PATH, CLANG_NO_DEFAULT_CONFIG: they may say all of that.
    *(Guard(Kind.NO_VARIABLE, each) for each in ("CCC_", "COMPILER_PATH", "CLANG_")),
)


def find_llvm(roots: Roots) -> Iterator[Entry]:
    """The entries of clang. Raises OSError."""
    clang = _DISTRIBUTIONS.get(roots.manager)
    if roots.loader is None or clang is None or roots.target.arch not in clang.triples:
        return
    for package in roots.packages.versions:
        match = clang.package.fullmatch(package)
        # Its whole version, that of a rebuild too, is in what it compiles.
        if match and roots.may_stand_in(package):
            yield from _clang(roots, clang, package, match["major"])


def _clang(roots: Roots, clang: _Distribution, package: str, major: str) -> Iterator[Entry]:
    folder = clang.folder.format(major=major)
    own = f"{folder}/{clang.file.format(major=major)}"
    program = roots.program(own)
    if program is None or not program.dynamic or program.path != own or roots.loader is None:
        return
    built = build_time(roots, own, own, there=package in roots.packages_before.versions)
    made = program.entry(roots.twin, TWIN, roots.loader, own, built)
    guards = (*made.guards, *_NEVER)
    yield replace(made, guards=(*guards, Guard(Kind.FIRST_ARGUMENT, _FRONT)))
    # /proc/self/exe is the loader, so it has to go by its name; the triple's own flags come later and count.
    told = ("-no-canonical-prefixes", f"--target={clang.triples[roots.target.arch]}")
    for name, names in (("clang", ("clang", "cc")), ("clang++", ("clang++", "c++"))):
        called = Guard(Kind.NAMED, (*names, f"{name}-{major}"))
        prefix = roots.loader.prefix(f"{TWIN}{own}", told, name=f"{folder}/{name}")
        driver = tuple(Guard(Kind.NO_ARGUMENT, each) for each in _FRONT)
        yield replace(made, prefix=prefix, guards=(*guards, *driver, called))
