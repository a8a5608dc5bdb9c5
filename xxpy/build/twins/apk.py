"""What apk knows of a root: packages, the build of each, and their files. No program of the root is started.

Format: apk's database of what is installed, lines of a letter, a colon and a value, packages apart by an empty line.
P is the name, V the version with its release, c the commit of the recipe, F a folder, R a file in the last folder
(apk-tools, ``apk_pkgtmpl_add_info`` and ``apk_db_fdb_read``; Alpine's wiki, "Apk spec"). apk itself ends at a letter
that it does not know; here what is not understood is passed over, since nothing is written back.

Files have the time of their recipe's commit: abuild gives that to all that it packs (``SOURCE_DATE_EPOCH``), and apk
sets it. So one recipe's files have one time on all architectures.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.engine.rooted import read_inside
from xxpy.build.twins.manager import Manager
from xxpy.build.twins.musl import ARCHITECTURES
from xxpy.info import OsRelease

DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
"""Where apk has it, and where since folders are merged into /usr."""

ARCH = "/etc/apk/arch"
"""The architecture that apk installs for; without it the one that it was compiled for."""
CONFIGS = ("/etc/apk/config", "/lib/apk/config")
"""Arguments that apk takes as given, since version 3."""

_SETTINGS = (ARCH, *CONFIGS, *(f"/etc/ld-musl-{name}.path" for name in ARCHITECTURES.values()))
"""What besides the packages decides which programs have twins."""
_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
_MOST = 64 << 20
_MOST_PACKAGES = 100_000
"""Three times as many as Alpine has."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Apk:
    """The packages of an Alpine root. See `twins.packages.Packages`.

    ``commits`` are those of the recipes (aports); one that is not told, or that was changed (``-dirty``), is left out.
    """

    versions: Mapping[str, str]
    commits: Mapping[str, str]
    digest: bytes
    _lines: Mapping[str, str]
    manager: Manager = Manager.APK

    def build(self, package: str, *, rebuilt: bool = False) -> str:
        """Version, release and commit of ``package``; Alpine builds nothing anew under the same release."""
        commit = self.commits.get(package, "")
        return f"{self.versions[package]} {commit}" if commit else ""

    def files(self, package: str) -> Iterator[str]:
        """The paths that ``package`` has brought."""
        folder = ""
        for line in self._lines.get(package, "").split("\n"):
            if line.startswith("F:"):
                folder = line[2:]
            elif line.startswith("R:") and "/" not in line and "\0" not in f"{folder}{line}":
                yield f"/{folder}/{line[2:]}" if folder else f"/{line[2:]}"


def read_apk(root: Path) -> Apk:
    """The packages of ``root``; none where it is not Alpine's or has no database.

    Other distributions that have apk have other recipes under the same names.
    """
    versions: dict[str, str] = {}
    commits: dict[str, str] = {}
    lines: dict[str, str] = {}
    text = _first(root, DATABASES) if OsRelease.parse(_first(root, _RELEASES)).id == "alpine" else ""
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in paragraph.lstrip("\n").split("\n"):
            fields.setdefault(line[:2], line[2:])
        name = fields.get("P:", "")
        # f: files or scripts of the package are not as they should be.
        if not _NAME.fullmatch(name) or name in versions or "f:" in fields or not fields.get("V:"):
            continue
        if len(versions) >= _MOST_PACKAGES:
            break
        versions[name], lines[name] = fields["V:"], paragraph
        if _COMMIT.fullmatch(fields.get("c:", "")):
            commits[name] = fields["c:"]
    told = "\0".join((text, *(read_inside(root, path) for path in _SETTINGS)))
    return Apk(versions, commits, hashlib.sha256(told.encode(errors="replace")).digest(), lines)


def _first(root: Path, paths: tuple[str, ...]) -> str:
    """The text of the first of ``paths`` that is there."""
    return next((text for path in paths if (text := read_inside(root, path, _MOST))), "")
