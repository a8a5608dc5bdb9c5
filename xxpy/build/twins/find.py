"""From two roots and the rules to the table's entries: which programs of a step have a twin that may stand in."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from xxpy.build.engine.binfmt import ELF_KINDS
from xxpy.build.engine.rooted import inside
from xxpy.build.twins import LOADERS
from xxpy.build.twins.dpkg import Packages, read_packages
from xxpy.build.twins.rules import ALWAYS, SAME, Rule
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


def seen_from_debian(platform: Platform) -> Target:
    """The Target that a platform is to Debian and Ubuntu."""
    return Target.from_env({"TARGETPLATFORM": str(platform)}, OsRelease("debian"), os.uname().machine)


def triplet(platform: Platform) -> str:
    """Debian's name of a platform's library folders: ``arm-linux-gnueabihf``."""
    return multiarch(seen_from_debian(platform))


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
        return find_loader(self.twin, self.host)

    def may_stand_in(self, package: str, emulated: str = "") -> bool:
        """Whether a twin out of ``package`` may be of use, whose name in the emulated root may be ``emulated``.

        That had it in the same version before the step, or had it not.
        """
        return self.packages_before.versions.get(emulated or package) in (None, self.packages.versions[package])

    def emulated_path(self, path: str) -> str:
        """What a path of the twin root is called in the emulated one: its multiarch triplet is another."""
        return path.replace(triplet(self.host), triplet(self.target))


@dataclass(frozen=True)
class Loader:
    """How a dynamic program of a root is started in a root that lacks its loader and libraries (ld.so(8)).

    ``program`` and ``libraries`` are paths as the step sees them.
    """

    program: str
    libraries: tuple[str, ...]

    def prefix(self, program: str, arguments: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The words before the arguments of ``program``, with the argv[0] that it was started with."""
        libraries = ":".join(self.libraries)
        return (self.program, "--inhibit-cache", "--argv0", NAME, "--library-path", libraries, program, *arguments)


def find_loader(root: Path, host: Platform) -> Loader | None:
    """The loader of the twin ``root``; None where it cannot keep argv[0] (glibc before 2.33) or there is none."""
    if host.arch not in LOADERS:
        return None
    name = triplet(host)
    folders = ("/usr/local/lib", f"/usr/local/lib/{name}", f"/lib/{name}", f"/usr/lib/{name}")
    try:
        path = Path(inside(root, LOADERS[host.arch]))
        if b"--argv0" not in path.read_bytes():
            return None
        real = dict.fromkeys(real for folder in folders if os.path.isdir(real := inside(root, folder)))
    except (OSError, XxError):
        return None
    return Loader(
        f"{TWIN}/{os.path.relpath(path, root)}", tuple(f"{TWIN}/{os.path.relpath(each, root)}" for each in real)
    )


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
            if any(fnmatchcase(package, pattern) for pattern in rule.packages) and roots.may_stand_in(package):
                found += _entries(rule, package, roots, roots.loader)
    return found, ""


def _entries(rule: Rule, package: str, roots: Roots, loader: Loader) -> Iterator[Entry]:
    guards = [*ALWAYS, *rule.guards]
    if not roots.same_order:
        guards.append(Guard(Kind.PLAIN_LOCALE))
    words = {"arch": debian_arch(roots.target), "triplet": triplet(roots.host)}
    arguments = tuple(word.format(**words) for word in rule.arguments)
    for path in sorted(_programs(rule, package, roots)):
        emulated = roots.emulated_path(path)
        yield Entry(
            emulated,
            build_time(roots, path, emulated, there=package in roots.packages_before.versions),
            loader.program,
            loader.prefix(f"{TWIN}{path}", arguments),
            guards=tuple(guards),
        )


def build_time(roots: Roots, path: str, emulated: str, *, there: bool) -> int:
    """The time that tells the build which a twin may stand in for, in seconds since 1970.

    Debian's packages keep it, and it is that of the changelog: the same for all architectures, unless one was built
    anew. Where the package is ``there`` in the emulated root, in the twin's version, it is that file's own.
    """
    with contextlib.suppress(OSError, XxError):
        if there:
            return int(os.lstat(inside(roots.before, emulated)).st_mtime)
    return int(os.lstat(inside(roots.twin, path)).st_mtime)


def _programs(rule: Rule, package: str, roots: Roots) -> set[str]:
    """The real paths of the programs of ``package`` that a rule means."""
    found = set()
    for listed in roots.packages.files(package):
        # Debian's lists may call /usr/bin by its old name.
        name = f"/usr{listed}" if listed.startswith(("/bin/", "/sbin/", "/lib/")) else listed
        if not any(fnmatchcase(name, pattern) for pattern in rule.paths):
            continue
        path = real_program(roots.twin, listed, roots.host)
        if path and path not in rule.but and name not in rule.but:
            found.add(path)
    return found


def real_program(root: Path, path: str, host: Platform) -> str:
    """The real path in ``root`` of a dynamic program of ``host`` at ``path``; empty for everything else."""
    try:
        real = inside(root, path)
        info = os.lstat(real)
        if not stat.S_ISREG(info.st_mode) or not info.st_mode & 0o111 or info.st_mode & 0o6000:
            return ""
        if "security.capability" in os.listxattr(real, follow_symlinks=False):
            return ""
        header = read_elf(real)
    except (OSError, XxError):
        return ""
    if header.machine != elf_machine(host) or not header.has_interpreter:
        return ""
    return f"/{os.path.relpath(real, root)}"
