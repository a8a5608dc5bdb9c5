"""From two roots and the rules to the table's entries: which programs of a step have a twin that may stand in."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from xxpy.build.engine.rooted import inside
from xxpy.build.twins.dpkg import Packages, read_packages
from xxpy.build.twins.rules import ALWAYS, SAME, Rule
from xxpy.build.twins.table import NAME, Entry, Guard, Kind
from xxpy.errors import XxError
from xxpy.platforms import Platform, debian_arch, elf_machine, multiarch
from xxpy.verify.elf import read_elf

PLACE = "/dev/.xx"
"""Where a step sees what the dispatcher needs: in its /dev, which is in no layer."""
TWIN = f"{PLACE}/r"
"""The twin root there."""
CROSS = f"{PLACE}/c"
"""The cross packages there."""

_BIG_ENDIAN = ("s390x", "mips", "mips64")


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
        return (self.host.arch in _BIG_ENDIAN) == (self.target.arch in _BIG_ENDIAN)

    def emulated_path(self, path: str) -> str:
        """What a path of the twin root is called in the emulated one: its multiarch triplet is another."""
        return path.replace(multiarch(self.host), multiarch(self.target))


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


def find_loader(root: Path, host: Platform, more: tuple[str, ...] = ()) -> Loader | None:
    """The loader of the twin ``root``; None where it cannot keep argv[0] (glibc before 2.33) or there is none.

    ``more`` are folders of libraries besides.
    """
    names = {"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
    if host.arch not in names:
        return None
    path = Path(inside(root, names[host.arch]))
    try:
        if b"--argv0" not in path.read_bytes():
            return None
    except OSError:
        return None
    triplet = multiarch(host)
    folders = ["/usr/local/lib", f"/usr/local/lib/{triplet}", f"/lib/{triplet}", f"/usr/lib/{triplet}"]
    real = {
        os.path.relpath(inside(root, folder), root): None for folder in folders if os.path.isdir(inside(root, folder))
    }
    libraries = (*more, *(f"{TWIN}/{folder}" for folder in real))
    return Loader(f"{TWIN}/{os.path.relpath(path, root)}", libraries)


def find_twins(roots: Roots) -> tuple[list[Entry], str]:
    """The entries of the programs that do the same everywhere, or why there are none. Raises OSError."""
    packages = read_packages(roots.twin)
    if not packages.versions:
        return [], "the twin root has no dpkg"
    loader = find_loader(roots.twin, roots.host)
    if loader is None:
        return [], "the twin root has no loader that can stand in (glibc 2.33 or newer)"
    before = read_packages(roots.before)
    found: list[Entry] = []
    for rule in SAME:
        if rule.endian and not roots.same_order:
            continue
        for package in packages.versions:
            if any(fnmatchcase(package, pattern) for pattern in rule.packages) and same_version(
                package, packages, before
            ):
                found += _entries(rule, package, packages, before, roots, loader)
    return found, ""


def same_version(package: str, packages: Packages, before: Packages) -> bool:
    """Whether a twin of ``package`` may be of use: the emulated root had it in the same version, or had it not."""
    return before.versions.get(package) in (None, packages.versions[package])


def _entries(
    rule: Rule, package: str, packages: Packages, before: Packages, roots: Roots, loader: Loader
) -> Iterator[Entry]:
    guards = [*ALWAYS, *rule.guards]
    if not roots.same_order:
        guards.append(Guard(Kind.PLAIN_LOCALE))
    words = {"arch": debian_arch(roots.target), "triplet": multiarch(roots.host)}
    arguments = tuple(word.format(**words) for word in rule.arguments)
    for path in sorted(_programs(rule, package, packages, roots)):
        emulated = roots.emulated_path(path)
        yield Entry(
            emulated,
            build_time(roots, path, emulated, package in before.versions),
            loader.program,
            loader.prefix(f"{TWIN}{path}", arguments),
            guards=tuple(guards),
        )


def build_time(roots: Roots, path: str, emulated: str, there: bool) -> int:
    """The time that tells the build which a twin may stand in for, in seconds since 1970.

    Debian's packages keep it, and it is that of the changelog: the same for all architectures, unless one was built
    anew. Where the package is in the emulated root already, in the twin's version, it is that file's own.
    """
    where = (roots.before, emulated) if there else (roots.twin, path)
    try:
        return int(os.lstat(inside(*where)).st_mtime)
    except OSError:
        return int(os.lstat(inside(roots.twin, path)).st_mtime)


def _programs(rule: Rule, package: str, packages: Packages, roots: Roots) -> set[str]:
    """The real paths of the programs of ``package`` that a rule means."""
    found = set()
    for listed in packages.files(package):
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
