"""From two roots and the rules to the table's entries: which programs of a step have a twin that may stand in."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from xxpy.build.engine.binfmt import ELF_KINDS
from xxpy.build.engine.rooted import inside
from xxpy.build.twins.alpine import ALPINE
from xxpy.build.twins.libraries import Loader, find_loader
from xxpy.build.twins.manager import Manager
from xxpy.build.twins.musl import find_musl
from xxpy.build.twins.packages import Packages, read_packages
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

    @property
    def wide(self) -> bool:
        """Whether the target's words have 64 bits, as those of all machines that twins are of."""
        return ELF_KINDS[qemu_arch(self.target)].bits == 64

    @property
    def manager(self) -> Manager:
        """Whose packages both roots have; NONE where that is not one."""
        one, two = self.packages.manager, self.packages_before.manager
        # An empty root, of a stage from scratch, has none yet.
        return one if two in (one, Manager.NONE) else Manager.NONE

    @cached_property
    def loader(self) -> Loader | None:
        """What starts the twin root's dynamic programs in the step; None where nothing can."""
        return _SYSTEMS[self.manager].loader(self) if self.manager in _SYSTEMS else None

    @property
    def by_packages(self) -> bool:
        """Whether roots with the same packages have the same twins."""
        return self.manager not in _SYSTEMS or _SYSTEMS[self.manager].by_packages

    def may_stand_in(self, package: str, emulated: str = "", *, rebuilt: bool = False) -> bool:
        """Whether a twin out of ``package`` may be of use, whose name in the emulated root may be ``emulated``.

        That had it in the same build before the step, or had it not: then its files' time has to tell the build, and
        of one that cannot be told it does not. What was only ``rebuilt`` may be meant, too.
        """
        twin = self.packages.build(package, rebuilt=rebuilt)
        if (emulated or package) not in self.packages_before.versions:
            return twin != ""
        return twin != "" and twin == self.packages_before.build(emulated or package, rebuilt=rebuilt)

    def program(self, path: str) -> Program | None:
        """The program of this machine at ``path`` in the twin root that can be started; None for everything else."""
        found = program_at(self.twin, path, self.host)
        if found is None or not found.dynamic or self.loader is None:
            return found
        return found if self.loader.starts(self.twin / found.path.lstrip("/")) else None

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


@dataclass(frozen=True)
class _System:
    """What the programs of a package manager's roots have twins by: ``loader`` finds what starts them.

    ``by_packages`` says that the packages of both roots alone decide which have; else other libraries do, too.
    """

    rules: tuple[Rule, ...]
    loader: Callable[[Roots], Loader | None]
    no_loader: str
    by_packages: bool = True


_SYSTEMS: Mapping[Manager, _System] = {
    Manager.DPKG: _System(
        SAME,
        lambda roots: find_loader(roots.twin, TWIN, roots.host, triplet(roots.host)),
        "the twin root has no loader that can stand in (glibc 2.33 or newer)",
    ),
    Manager.APK: _System(
        ALPINE,
        lambda roots: find_musl(roots.twin, TWIN, roots.before, roots.host, roots.target),
        "the twin root has no loader that can stand in (musl 1.1.17 or newer, /etc/ld-musl-*.path alike in both roots)",
        by_packages=False,
    ),
}


def find_twins(roots: Roots) -> tuple[list[Entry], str]:
    """The entries of the programs that do the same everywhere, or why there are none. Raises OSError."""
    system = _SYSTEMS.get(roots.manager)
    if system is None:
        return [], "the twin root has neither dpkg's packages nor Alpine's"
    if roots.loader is None:
        return [], system.no_loader
    found: list[Entry] = []
    for rule in system.rules:
        if (rule.endian and not roots.same_order) or (rule.wide and not roots.wide):
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
    for program in sorted(_programs(rule, package, roots), key=lambda each: each.path):
        emulated = roots.emulated_path(program.path)
        if not all(proof(roots.twin, roots.before, emulated, roots.target) for proof in rule.proofs):
            continue
        arguments = tuple(word.format(**words, name=os.path.basename(program.path)) for word in rule.arguments)
        built = build_time(roots, program.path, emulated, there=package in roots.packages_before.versions)
        made = program.entry(roots.twin, TWIN, loader, emulated, built, arguments)
        yield replace(made, guards=(*made.guards, *guards))


def _perl_version(root: Path, multi: str) -> str:
    """What the folder of perl's compiled modules is called; "none" where there is none."""
    with contextlib.suppress(OSError, XxError):
        names = os.listdir(inside(root, f"/usr/lib/{multi}/perl"))
        return max((name for name in names if _VERSION.fullmatch(name)), default="none")
    return "none"


def build_time(roots: Roots, path: str, emulated: str, *, there: bool) -> int:
    """The time that tells the build which a twin may stand in for, in seconds since 1970.

    Debian's packages keep it, and it is that of the changelog: the same for all architectures, unless one was built
    anew. In Alpine's it is that of the recipe's commit. Where the package is ``there`` in the emulated root, as the
    twin's build, it is that file's own.
    """
    with contextlib.suppress(OSError, XxError):
        if there:
            return int(os.lstat(inside(roots.before, emulated)).st_mtime)
    return int(os.lstat(inside(roots.twin, path)).st_mtime)


def _programs(rule: Rule, package: str, roots: Roots) -> set[Program]:
    """The real paths of the programs of ``package`` that a rule means."""
    found = set()
    files = {_merged(listed): listed for listed in roots.packages.files(package)}
    for name, listed in files.items():
        if not any(fnmatchcase(name, pattern) for pattern in rule.paths):
            continue
        program = roots.program(listed)
        # A link to another package's program is not what the rule means.
        meant = program is not None and _merged(program.path) in files
        if program and meant and program.path not in rule.but and name not in rule.but:
            found.add(program)
    return found


def _merged(path: str) -> str:
    """A path with its folder below /usr: lists, and roots where they are not merged, may call it by its old name."""
    return f"/usr{path}" if path.startswith(("/bin/", "/sbin/", "/lib/")) else path


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
