"""What dpkg knows of a root: packages, their versions, and their files. Read without starting any program of the root.

Format: dpkg's status file (deb822(5), deb-control(5)) and the lists in its info folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.engine.rooted import read_inside
from xxpy.build.twins.manager import Manager

STATUS = "/var/lib/dpkg/status"
_INFO = "/var/lib/dpkg/info"
_MOST = 64 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_REBUILT = re.compile(r"\+b[0-9]+$")


@dataclass(frozen=True)
class Dpkg:
    """The packages of ``root``, a folder of this machine, as dpkg knows them. See `twins.packages.Packages`.

    A package that is there for several architectures counts for the first in the file.
    """

    root: Path
    versions: Mapping[str, str]
    architectures: Mapping[str, str]
    digest: bytes = b""
    manager: Manager = Manager.DPKG

    def build(self, package: str, *, rebuilt: bool = False) -> str:
        """The version of ``package``, without what tells a rebuild if ``rebuilt``.

        A version that ends in "+b1" is of the same source, built anew for one architecture (Debian Developer's
        Reference, "binary-only NMU"), and two architectures are two builds in any case.
        """
        version = self.versions.get(package, "")
        return _REBUILT.sub("", version) if rebuilt else version

    def files(self, package: str) -> Iterator[str]:
        """The paths that ``package`` has brought, as dpkg lists them."""
        names = (f"{package}.list", f"{package}:{self.architectures.get(package, '')}.list")
        for name in names:
            text = read_inside(self.root, f"{_INFO}/{name}", _MOST)
            if text:
                yield from (line for line in text.splitlines() if line.startswith("/") and "\0" not in line)
                return


def read_dpkg(root: Path) -> Dpkg:
    """The packages of ``root``; none where dpkg has no status."""
    versions: dict[str, str] = {}
    architectures: dict[str, str] = {}
    status = read_inside(root, STATUS, _MOST)
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] not in " \t")
        name = fields.get("Package", "")
        if not _NAME.fullmatch(name) or not fields.get("Status", "").endswith(" installed") or name in versions:
            continue
        versions[name] = fields.get("Version", "")
        architectures[name] = fields.get("Architecture", "")
    return Dpkg(root, versions, architectures, hashlib.sha256(status.encode(errors="replace")).digest())
