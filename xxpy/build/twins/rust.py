"""Rust: rustc is the same program for every target, which an argument tells it; rustc.pl says what else it takes.

cargo stays emulated: it asks rustc which machine it is on, and names what it makes after that. What cargo starts, build
scripts above all, was made for the target and is emulated, so it sees the machine that the Dockerfile means.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from xxpy.build.engine.rooted import inside, read_inside
from xxpy.build.twins.cross import gnu_triple
from xxpy.build.twins.find import PLACE, TWIN, Roots, build_time, program_at, seen_from_debian, triplet
from xxpy.build.twins.libraries import Loader
from xxpy.build.twins.table import Entry, Guard, Kind
from xxpy.cargo.triple import rust_triple
from xxpy.errors import XxError
from xxpy.platforms import Platform

HELPER = Path(__file__).with_name("rustc.pl")
SHOWN = f"{PLACE}/rustc.pl"
LINKER = f"{PLACE}/link"
MACROS = f"{PLACE}/macros"
FOLDERS = ("commands", "libraries", "macros", "uses")
"""What rustc.pl keeps in `MACROS`."""

_RUSTUP = ("/usr/local/rustup", "/root/.rustup")
"""RUSTUP_HOME of the rust images, and where it is by default."""
_MANIFEST = "lib/rustlib/multirust-channel-manifest.toml"
_MOST_MANIFEST = 8 << 20
_GUARDS = (
    # What is asked of it is answered by the one that the step has.
    *(Guard(Kind.NO_ARGUMENT, each) for each in ("-V", "-vV", "-Vv", "--version", "-h", "--help", "--explain")),
    *(Guard(Kind.NO_ARGUMENT_PREFIX, each) for each in ("--print", "@")),
    # The machine's own processor would be another, and a plugin's library is of the root.
    *(Guard(Kind.NO_ARGUMENT, each) for each in ("target-cpu=native", "-Ctarget-cpu=native")),
    *(Guard(Kind.NO_ARGUMENT_PREFIX, each) for each in ("-Zcodegen-backend", "-Zllvm-plugins", "llvm-args", "passes")),
    Guard(Kind.NO_VARIABLE, "PERL"),
)


@dataclass(frozen=True)
class Rust:
    """The entries of rustc, and the ``linker`` that makes macros for this machine: a script to be seen at `LINKER`."""

    entries: tuple[Entry, ...]
    linker: str


@dataclass(frozen=True)
class _Toolchain:
    """A rustc in both roots, and what is its sysroot in each."""

    twin: str
    twin_sysroot: str
    emulated: str
    sysroot: str
    there: bool


def find_rust(roots: Roots) -> Rust | None:
    """The twins of rustc; None where there is none, or no linker or perl to go with it. Raises OSError."""
    loader, toolchains = roots.loader, list(_toolchains(roots))
    # Most steps have no rustc, and need nothing else looked at.
    if loader is None or not toolchains or "perl-base" not in roots.packages.versions:
        return None
    perl = program_at(roots.twin, "/usr/bin/perl", roots.host)
    if perl is None:
        return None
    entries = [entry for each in toolchains if (entry := _entry(roots, loader, perl.path, each))]
    linker = _linker(roots, loader)
    return Rust(tuple(entries), linker) if entries and linker else None


def _entry(roots: Roots, loader: Loader, perl: str, found: _Toolchain) -> Entry | None:
    program = program_at(roots.twin, found.twin, roots.host)
    if program is None:
        return None
    host, target = _triples(roots)
    arguments = (
        f"-I{TWIN}/usr/lib/{triplet(roots.host)}/perl-base", SHOWN, PLACE, loader.program, ":".join(loader.folders),
        f"{TWIN}{program.path}", f"{TWIN}{found.twin_sysroot}", host, found.emulated, found.sysroot, target, "--",
    )  # fmt: skip
    built = build_time(roots, program.path, found.emulated, there=found.there)
    made = Entry(found.emulated, built, loader.program, loader.prefix(f"{TWIN}{perl}", arguments))
    libraries = (*loader.guards(roots.twin / perl.lstrip("/")), *loader.guards(roots.twin / program.path.lstrip("/")))
    return replace(made, guards=(*libraries, *_GUARDS))


def _triples(roots: Roots) -> tuple[str, str]:
    return _rust_triple(roots.host), _rust_triple(roots.target)


def _rust_triple(platform: Platform) -> str:
    return rust_triple(seen_from_debian(platform), False)


def _toolchains(roots: Roots) -> Iterator[_Toolchain]:
    for package in roots.packages.versions:
        if package == "rustc" or package.startswith("rustc-1."):
            for path in roots.packages.files(package):
                if path.startswith("/usr/") and path.endswith("/bin/rustc") and roots.may_stand_in(package):
                    sysroot = path.removesuffix("/bin/rustc")
                    yield _Toolchain(path, sysroot, path, sysroot, package in roots.packages_before.versions)
    host, target = _triples(roots)
    for home in _RUSTUP:
        try:
            toolchains = sorted(Path(inside(roots.twin, f"{home}/toolchains")).glob(f"*-{host}"))
        except (OSError, XxError):
            continue
        for twin in (f"{home}/toolchains/{each.name}" for each in toolchains):
            emulated = f"{twin.removesuffix(host)}{target}"
            one = read_inside(roots.twin, f"{twin}/{_MANIFEST}", _MOST_MANIFEST)
            if one and one == read_inside(roots.before, f"{emulated}/{_MANIFEST}", _MOST_MANIFEST):
                yield _Toolchain(f"{twin}/bin/rustc", twin, f"{emulated}/bin/rustc", emulated, there=True)


def _linker(roots: Roots, loader: Loader) -> str:
    """The script at `LINKER`: the twin root's ld, told where that root's libraries are. Empty where there is none."""
    gnu, multi = gnu_triple(roots.host), triplet(roots.host)
    program = program_at(roots.twin, f"/usr/bin/{gnu}-ld.bfd", roots.host)
    own = sorted((roots.twin / f"usr/lib/gcc/{gnu}").glob("*/libgcc_s.so"))
    if program is None or not own:
        return ""
    folders = [f"/{own[-1].parent.relative_to(roots.twin)}", f"/usr/lib/{multi}", f"/lib/{multi}"]
    seen = f"{TWIN}{program.path}"
    words = loader.prefix(seen, (f"--sysroot={TWIN}", *(f"-L{TWIN}{folder}" for folder in folders)), name=seen)
    return f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'
