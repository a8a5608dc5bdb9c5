"""What a root's package manager knows: packages, which build each is, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from xxpy.build.twins import apk, dpkg
from xxpy.build.twins.manager import Manager

DATABASES = (dpkg.STATUS, *apk.DATABASES)
"""The files that say what is installed: a root with none of them has no twins."""


class Packages(Protocol):
    """The installed packages of a root."""

    @property
    def manager(self) -> Manager:
        """Whose word it is: rules are of one package manager's packages."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each package, by name."""

    @property
    def digest(self) -> bytes:
        """A digest of all that the manager says, and is told."""

    def build(self, package: str, *, rebuilt: bool = False) -> str:
        """What tells the build of ``package``: where two architectures have the same, it is of one source.

        What was only ``rebuilt`` for one of them may count as the same, too. Empty where it cannot be told.
        """

    def files(self, package: str) -> Iterator[str]:
        """The paths that ``package`` has brought."""


@dataclass(frozen=True)
class Unknown:
    """The packages of a root without a package manager that is known: none."""

    manager: Manager = Manager.NONE
    versions: Mapping[str, str] = field(default_factory=dict)
    digest: bytes = b""

    def build(self, package: str, *, rebuilt: bool = False) -> str:
        """Empty: nothing is known."""
        return ""

    def files(self, package: str) -> Iterator[str]:
        """Nothing."""
        return iter(())


def read_packages(root: Path) -> Packages:
    """The packages of ``root``, a folder of this machine."""
    found: tuple[Packages, ...] = (dpkg.read_dpkg(root), apk.read_apk(root))
    return next((each for each in found if each.versions), Unknown())
