"""What mmdebstrap's failure means: its last lines and apt's, read for what the user can mend."""

from __future__ import annotations

import re

from xxpy.errors import HostError, SourceError, StoreError, UsageError, XxError
from xxpy.platforms import Platform

_LAST_LINES = 12
_NO_RELEASE = re.compile(r"The repository '(?P<url>\S+) (?P<suite>\S+) Release' does not have a Release file")
_NO_INDICES = re.compile(r"did not find any indices for architecture '(?P<arch>[^']+)' in suite '(?P<suite>[^']+)'")
_UNREACHABLE = re.compile(
    r"Failed to fetch (?P<url>\S+?)/dists/\S+\s+"
    r"(?P<why>(?:Could not (?:connect|resolve)|Temporary failure|Connection|Unable to connect|Cannot initiate)[^\n]*)"
)
_FULL = re.compile(r"No space left on device|Disk quota exceeded|don't have enough free space", re.IGNORECASE)
_LONGEST = 200


def bootstrap_error(said: str, ended: str, name: str, platform: Platform) -> XxError:
    """The error for ``name`` (as ``debian:trixie``) on ``platform``, of which mmdebstrap ``said`` so much at its end.

    UsageError (``suite-unknown``, ``platform-unserved``) where the archive answers that it has none, SourceError
    (``archive-unreachable``) where it does not answer, StoreError (``disk-full``), else HostError
    (``bootstrap-failed``) with the last lines.
    """
    if (found := _NO_RELEASE.search(said)) and re.search(r"^\s*404\b", said, re.MULTILINE):
        return UsageError(
            f"{name}: {found['url']} has no release {found['suite']!r}",
            remedy="name the release's code name, as debian:trixie; --mirror URL names another archive",
            reason="suite-unknown",
        )
    if found := _NO_INDICES.search(said):
        return UsageError(
            f"{name}: the archive has no packages of {found['suite']} for {platform} ({found['arch']})",
            remedy="leave that platform out, or name an archive that has it: --mirror URL",
            reason="platform-unserved",
        )
    if found := _UNREACHABLE.search(said):
        return SourceError(
            f"{name}: the archive {found['url']} cannot be reached: {found['why'].strip()[:_LONGEST]}",
            remedy="see whether the address is right, and whether this machine needs a proxy (http_proxy); "
            "--mirror URL names another archive",
            reason="archive-unreachable",
        )
    if _FULL.search(said):
        return StoreError(
            f"no space left to make {name} for {platform}",
            remedy="Free space on the file system of the store, or put the store elsewhere (--store, XX_STORE).",
            reason="disk-full",
        )
    lines = said.strip().splitlines()[-_LAST_LINES:]
    return HostError(
        f"mmdebstrap {ended} for {name} {platform}:\n  " + "\n  ".join(lines),
        remedy="is the release's name right, has its archive that architecture? --mirror URL names another",
        reason="bootstrap-failed",
    )
