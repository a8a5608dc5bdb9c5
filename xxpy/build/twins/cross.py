"""Compilers: the twin of a compiler's part is that part of the cross-compiler of the very same version.

Debian and Ubuntu have GCC and binutils as cross tools of the same source, packaged beside the native ones. The
drivers (gcc, g++) stay emulated: they read the root's specs and find its parts. Those (cc1, cc1plus, lto1, as, ld) are
what takes the time. A native and a cross part differ in compiled-in paths, which are given as arguments.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xxpy.build.engine.rooted import read_inside
from xxpy.build.twins.find import CROSS, Roots, build_time, program_at, seen_from_debian, triplet
from xxpy.build.twins.libraries import Loader
from xxpy.build.twins.manager import Manager
from xxpy.build.twins.packages import Packages
from xxpy.build.twins.table import Entry, Guard, Kind
from xxpy.info import OsRelease
from xxpy.pkg.crossnames import suffix_of
from xxpy.platforms import Platform

_GCC = re.compile(r"(?P<part>cpp|gcc|g\+\+)-(?P<major>[0-9]+)(?:-(?P<triple>[a-z0-9-]+))?")
_PARTS = {"cpp": ("cc1",), "g++": ("cc1plus",), "gcc": ("lto1",)}
"""The parts that each package of GCC brings."""


@dataclass(frozen=True)
class CrossPackage:
    """A package of cross tools that is wanted: ``version`` is that of the native one that it stands in for."""

    name: str
    version: str


def gnu_triple(platform: Platform) -> str:
    """The triple in names of GCC and its packages."""
    return seen_from_debian(platform).triple


def _dashed(platform: Platform) -> str:
    return suffix_of(gnu_triple(platform))


def wanted(twin: Packages, host: Platform, target: Platform) -> tuple[CrossPackage, ...]:
    """The cross packages for what compiles in a twin root, by name; none where nothing does."""
    found: dict[str, CrossPackage] = {}
    if twin.manager is not Manager.DPKG:
        return ()
    for name, version in twin.versions.items():
        if match := _compiler(name, host):
            cross = f"{match['part']}-{match['major']}-{_dashed(target)}"
            found[cross] = CrossPackage(cross, version)
    if f"binutils-{_dashed(host)}" in twin.versions:
        cross = f"binutils-{_dashed(target)}"
        found[cross] = CrossPackage(cross, twin.versions[f"binutils-{_dashed(host)}"])
    return tuple(found[name] for name in sorted(found))


def download_script(packages: Sequence[CrossPackage], folder: str) -> str:
    """A shell script that unpacks ``packages`` of the root's own archive into ``folder``.

    Only a package of the very version counts; Debian adds ``cross1`` to the version of GCC. What is not to be had is
    left out. None of their scripts is run, and nothing of the root is changed but apt's lists.
    """
    lines = ["set -e", "apt-get update -q", f"mkdir -p {folder}/debs && cd {folder}/debs"]
    for package in packages:
        name, version = shlex.quote(package.name), re.escape(package.version).replace(r"\-", "-")
        pattern = shlex.quote(f"^{version}(cross[0-9]+)?$")
        lines.append(
            f"version=$(apt-cache madison {name} | cut -d'|' -f2 | tr -d ' ' | grep -E {pattern} | head -n1 || true)"
        )
        lines.append(f'[ -z "$version" ] || apt-get download -q {name}="$version"')
    lines.append(f'for deb in *.deb; do [ ! -e "$deb" ] || dpkg-deb -x "$deb" {folder}/root; done')
    lines.append(f"mkdir -p {folder}/root; cd /; rm -rf {folder}/debs")
    return "\n".join(lines)


def find_cross(roots: Roots, cross: Path) -> Iterator[Entry]:
    """The entries of compilers whose parts are in ``cross``, the unpacked cross packages. Raises OSError."""
    if roots.loader is None:
        return
    own = f"usr/lib/{triplet(roots.host)}"
    more = {f"{CROSS}/{own}": cross / own} if (cross / own).is_dir() else {}
    finder = _Finder(roots, cross, Loader(roots.loader.program, {**more, **roots.loader.folders}))
    yield from finder.binutils()
    for name in roots.packages.versions:
        if match := _compiler(name, roots.host):
            for part in _PARTS[match["part"]]:
                yield from finder.gcc(part, name, match["major"])


def _compiler(package: str, host: Platform) -> re.Match[str] | None:
    """The parts of a package's name, if it is of a GCC for ``host`` itself."""
    match = _GCC.fullmatch(package)
    return match if match and match["triple"] in (None, _dashed(host)) else None


@dataclass(frozen=True)
class _Finder:
    roots: Roots
    cross: Path
    loader: Loader

    def gcc(self, part: str, package: str, major: str) -> Iterator[Entry]:
        host, target = gnu_triple(self.roots.host), gnu_triple(self.roots.target)
        for library in ("libexec", "lib"):
            own = f"/usr/{library}/gcc/{host}/{major}/{part}"
            twin = f"/usr/{library}/gcc-cross/{target}/{major}/{part}"
            suffix = _includes(self.roots.target, major, part)
            guards = (
                # A plugin would be one of the emulated root.
                Guard(Kind.NO_ARGUMENT_PREFIX, "-fplugin"),
                Guard(Kind.NO_ARGUMENT, "-nostdinc++"),
                # The marks of lines tell -isystem from compiled-in folders.
                Guard(Kind.NO_ARGUMENT, "-E"),
                # It would name the folders twice.
                Guard(Kind.NO_ARGUMENT, "-v"),
                Guard(Kind.NO_SUFFIX_IF, "-nostdinc"),
            )
            yield from self._entry(own, twin, package, suffix, guards)

    def binutils(self) -> Iterator[Entry]:
        host, target = gnu_triple(self.roots.host), gnu_triple(self.roots.target)
        package = f"binutils-{_dashed(self.roots.host)}"
        if package not in self.roots.packages.versions:
            return
        yield from self._entry(f"/usr/bin/{host}-as", f"/usr/bin/{target}-as", package)
        plugins = list(self._plugins(target))
        guards = [Guard(Kind.NEXT_AMONG, "-plugin", tuple(emulated for emulated, _ in plugins))]
        guards += [Guard(Kind.REPLACE, emulated, twin) for emulated, twin in plugins]
        yield from self._entry(f"/usr/bin/{host}-ld.bfd", f"/usr/bin/{target}-ld.bfd", package, (), tuple(guards))

    def _plugins(self, target: str) -> Iterator[tuple[str, str]]:
        """The linker's plugins as the emulated driver names them, and their twins."""
        for library in ("libexec", "lib"):
            for twin in sorted(self.cross.glob(f"usr/{library}/gcc-cross/{target}/*/liblto_plugin.so")):
                major = twin.parent.name
                yield (
                    f"/usr/{library}/gcc/{target}/{major}/liblto_plugin.so",
                    f"{CROSS}/{twin.relative_to(self.cross)}",
                )

    def _entry(
        self, own: str, twin: str, package: str, suffix: tuple[str, ...] = (), guards: tuple[Guard, ...] = ()
    ) -> Iterator[Entry]:
        """``own`` is the native tool in the twin root, ``twin`` the cross tool that stands in for its emulated like."""
        roots = self.roots
        program = program_at(self.cross, twin, roots.host)
        if program is None or program_at(roots.twin, own, roots.host) is None:
            return
        emulated = own.replace(gnu_triple(roots.host), gnu_triple(roots.target))
        emulated_package = package.replace(_dashed(roots.host), _dashed(roots.target))
        if not roots.may_stand_in(package, emulated_package):
            return
        there = emulated_package in roots.packages_before.versions
        made = program.entry(self.cross, CROSS, self.loader, emulated, build_time(roots, own, emulated, there=there))
        yield replace(made, suffix=suffix, guards=(*made.guards, *guards))


def _includes(target: Platform, major: str, part: str) -> tuple[str, ...]:
    """The folders of headers that are compiled into a native cc1 or cc1plus of Debian, in their order, as arguments.

    Given before a cross compiler's own, which are some of the same or are not there. -nostdinc would leave out
    stdc-predef.h as well, which is included before all else.
    """
    if part == "lto1":
        return ()
    gnu, multi = gnu_triple(target), triplet(target)
    base = f"/usr/lib/gcc/{gnu}/{major}"
    folders = [
        *((f"/usr/include/c++/{major}", f"/usr/include/{multi}/c++/{major}", f"/usr/include/c++/{major}/backward")
          if part == "cc1plus" else ()),
        f"{base}/include", f"/usr/local/include/{multi}", "/usr/local/include", f"{base}/include-fixed/{multi}",
        f"{base}/include-fixed", f"{base}/../../../../{gnu}/include", f"/usr/include/{multi}", "/usr/include",
    ]  # fmt: skip
    return tuple(word for folder in folders for word in ("-isystem", folder))


def key_parts(packages: Sequence[CrossPackage], host: Platform, target: Platform, release: str) -> list[object]:
    """What identifies the unpacked ``packages`` of a distribution's ``release``."""
    return ["cross", 1, str(host), str(target), release, [[each.name, each.version] for each in packages]]


def release_of(root: Path) -> str:
    """Which distribution a root is of: ID and VERSION_ID of its os-release."""
    found = OsRelease.parse(read_inside(root, "/usr/lib/os-release"))
    return f"{found.id} {found.version_id}"
