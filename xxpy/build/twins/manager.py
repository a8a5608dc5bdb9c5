"""Which package managers' word is taken for what a program is."""

from __future__ import annotations

from enum import Enum


class Manager(Enum):
    """What keeps the list of a root's packages."""

    NONE = "none"
    DPKG = "dpkg"
    APK = "apk"
