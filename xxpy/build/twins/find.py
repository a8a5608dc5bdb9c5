"""From two roots and the rules to the table's entries: which programs of a step have a twin that may stand in."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from xxpy.build.engine.binfmt import ELF_KINDS
from xxpy.build.engine.rooted import inside
from xxpy.build.twins.dpkg import Packages, read_packages
from xxpy.build.twins.libraries import Loader, find_loader
from xxpy.build.twins.rules import SAME, Rule
from xxpy.build.twins.table import NAME, Entry, Guard, Kind
from xxpy.cc.toolchain import multiarch
from xxpy.errors import XxError
from xxpy.info import OsRelease, Target
from xxpy.platforms import Platform, debian_arch, elf_machine, qemu_arch
from xxpy.verify.elf import read_elf

PLACE = "/dev/.xx"
"""Where a step sees what the dispatcher needs: in its /dev, which is in no layer."""
TWIN = f"{PLACE}/r"
"""The twin root there."""
CROSS = f"{PLACE}/c"
"""The cross packages there."""
APT_CONF = f"{PLACE}/apt.conf"
"""What tells apt's twins the architecture (`apt_conf`)."""

_REBUILT = re.compile(r"\+b[0-9]+$")
_VERSION = re.compile(r"[0-9.]+")
_ET_EXEC, _ET_DYN = 2, 3


def seen_from_debian(platform: Platform) -> Target:
    """The Target that a platform is to Debian and Ubuntu."""
    return Target.from_env({"TARGETPLATFORM": str(platform)}, OsRelease("debian"), os.uname().machine)


def triplet(platform: Platform) -> str:
    """Debian's name of a platform's library folders: ``arm-linux-gnueabihf``."""
    return multiarch(seen_from_debian(platform))


def apt_conf(platform: Platform) -> str:
    """apt.conf(5) for twins of an apt of ``platform``, which has its own architecture compiled in."""
    return f'APT::Architecture "{debian_arch(platform)}";\n'


@dataclass(frozen=True)
class Roots:
    """What a step's twins are found in.

    ``twin`` is the same stage after the same step on ``host``, ``before`` the emulated root before the step, both as
    folders of this machine. ``target`` is the emulated platform.
    """

    twin: Path
    before: Path
    host: Platform
    target: Platform

    @property
    def same_order(self) -> bool:
        """Whether both machines have the same byte order."""
        host, target = (ELF_KINDS[qemu_arch(each)] for each in (self.host, self.target))
        return host.order == target.order

    @cached_property
    def packages(self) -> Packages:
        """Those of the twin root."""
        return read_packages(self.twin)

    @cached_property
    def packages_before(self) -> Packages:
        """Those of the emulated root before the step."""
        return read_packages(self.before)

    @cached_property
    def loader(self) -> Loader | None:
        """See `find_loader`."""
        return find_loader(self.twin, TWIN, self.host, triplet(self.host))

    def may_stand_in(self, package: str, emulated: str = "", *, rebuilt: bool = False) -> bool:
        """Whether a twin out of ``package`` may be of use, whose name in the emulated root may be ``emulated``.

        That had it in the same version before the step, or had it not. What was only ``rebuilt`` may be meant, too: a
        version that ends in "+b1" is of the same source, built anew for one architecture (Debian Developer's Reference,
        "binary-only NMU"), and two architectures are two builds in any case.
        """
        there, twin = self.packages_before.versions.get(emulated or package), self.packages.versions[package]
        return there is None or there == twin or (rebuilt and _source(there) == _source(twin))

    def emulated_path(self, path: str) -> str:
        """What a path of the twin root is called in the emulated one: its multiarch triplet is another."""
        return path.replace(triplet(self.host), triplet(self.target))


@dataclass(frozen=True)
class Program:
    """A program of this machine at its real path in a root. A static one needs no loader."""

    path: str
    dynamic: bool

    def entry(
        self, root: Path, seen: str, loader: Loader, emulated: str, built: int, arguments: tuple[str, ...] = ()
    ) -> Entry:
        """The table's entry of the program in ``root``, which the step sees at ``seen``, for ``emulated``."""
        own = f"{seen}{self.path}"
        if not self.dynamic:
            return Entry(emulated, built, own, (NAME, *arguments))
        guards = loader.guards(root / self.path.lstrip("/"))
        return Entry(emulated, built, loader.program, loader.prefix(own, arguments), guards=guards)


def find_twins(roots: Roots) -> tuple[list[Entry], str]:
    """The entries of the programs that do the same everywhere, or why there are none. Raises OSError."""
    if not roots.packages.versions:
        return [], "the twin root has no dpkg"
    if roots.loader is None:
        return [], "the twin root has no loader that can stand in (glibc 2.33 or newer)"
    found: list[Entry] = []
    for rule in SAME:
        if rule.endian and not roots.same_order:
            continue
        for package in roots.packages.versions:
            meant = any(fnmatchcase(package, pattern) for pattern in rule.packages)
            if meant and roots.may_stand_in(package, rebuilt=True):
                found += _entries(rule, package, roots, roots.loader)
    return found, ""


def _entries(rule: Rule, package: str, roots: Roots, loader: Loader) -> Iterator[Entry]:
    guards = list(rule.guards)
    if not roots.same_order:
        guards.append(Guard(Kind.PLAIN_LOCALE))
    multi = triplet(roots.host)
    words = {
        "triplet": multi,
        "perl": _perl_version(roots.twin, multi),
    }
    arguments = tuple(word.format(**words) for word in rule.arguments)
    for program in sorted(_programs(rule, package, roots), key=lambda each: each.path):
        emulated = roots.emulated_path(program.path)
        built = build_time(roots, program.path, emulated, there=package in roots.packages_before.versions)
        made = program.entry(roots.twin, TWIN, loader, emulated, built, arguments)
        yield replace(made, guards=(*made.guards, *guards))


def _perl_version(root: Path, multi: str) -> str:
    """What the folder of perl's compiled modules is called; "none" where there is none."""
    with contextlib.suppress(OSError, XxError):
        names = os.listdir(inside(root, f"/usr/lib/{multi}/perl"))
        return max((name for name in names if _VERSION.fullmatch(name)), default="none")
    return "none"


def _source(version: str) -> str:
    return _REBUILT.sub("", version)


def build_time(roots: Roots, path: str, emulated: str, *, there: bool) -> int:
    """The time that tells the build which a twin may stand in for, in seconds since 1970.

    Debian's packages keep it, and it is that of the changelog: the same for all architectures, unless one was built
    anew. Where the package is ``there`` in the emulated root, in the twin's version, it is that file's own.
    """
    with contextlib.suppress(OSError, XxError):
        if there:
            return int(os.lstat(inside(roots.before, emulated)).st_mtime)
    return int(os.lstat(inside(roots.twin, path)).st_mtime)


def _programs(rule: Rule, package: str, roots: Roots) -> set[Program]:
    """The real paths of the programs of ``package`` that a rule means."""
    found = set()
    for listed in roots.packages.files(package):
        # Debian's lists may call /usr/bin by its old name.
        name = f"/usr{listed}" if listed.startswith(("/bin/", "/sbin/", "/lib/")) else listed
        if not any(fnmatchcase(name, pattern) for pattern in rule.paths):
            continue
        program = program_at(roots.twin, listed, roots.host)
        if program and program.path not in rule.but and name not in rule.but:
            found.add(program)
    return found


def program_at(root: Path, path: str, host: Platform) -> Program | None:
    """The program of ``host`` at ``path`` in ``root``; None for everything else, and for what gives rights."""
    try:
        real = inside(root, path)
        info = os.lstat(real)
        if not stat.S_ISREG(info.st_mode) or not info.st_mode & 0o111 or info.st_mode & 0o6000:
            return None
        if "security.capability" in os.listxattr(real, follow_symlinks=False):
            return None
        header = read_elf(real)
    except (OSError, XxError):
        return None
    if header.machine != elf_machine(host) or header.kind not in (_ET_EXEC, _ET_DYN):
        return None
    return Program(f"/{os.path.relpath(real, root)}", header.has_interpreter)
