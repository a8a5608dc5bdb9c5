"""The Target: a Platform seen from the distribution it is built on. `xx-info` prints it; the wrappers act on it."""

from xxpy.info.osrelease import OsRelease
from xxpy.info.target import Target

__all__ = ["OsRelease", "Target"]
