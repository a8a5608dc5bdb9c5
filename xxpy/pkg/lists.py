"""Fetching package lists: those that are missing, once, and a word on each that a mirror does not have in step."""

from __future__ import annotations

import os
import sys

from xxpy.errors import HostError
from xxpy.info import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED = r"(?:E|Err|W)[:\d]* .*?(\S+://\S+)(.*)"
LISTS = "/var/lib/apt/lists"
_STEP = ("unexpected size", "Hash Sum mismatch", "hash mismatch", "Hashes of expected file", "Mirror sync in progress")


def update_command(arch: str, native: str, have_native: bool) -> list[str]:
    """``apt-get update`` for this machine and the target alone.

    dpkg may have other architectures from before, and one index that a mirror has not in step makes apt throw away the
    whole suite, the target's part too.
    """
    command = ["apt-get", "update", "-q"]
    if arch != native:
        command += ["-o", f"APT::Architectures::={native}", "-o", f"APT::Architectures::={arch}"]
        # Not to be cleaned away: the lists of others.
        command += ["-o", "APT::Get::List-Cleanup=false"]
        if have_native:
            # Descriptions are the same for all architectures.
            command += ["-o", "Acquire::Languages=none"]
    return command


def behind(output: str, arch: str) -> list[str]:
    """The indexes of ``arch`` that differ from what their Release file says, as ``apt-get update`` tells it."""
    import re

    found: list[str] = []
    lines = output.splitlines()
    for index, line in enumerate(lines):
        match = re.match(_FAILED, line)
        if match is None:
            continue
        # apt tells the reason beside the URL or in the indented lines below it.
        reason = match[2] + " ".join(each for each in lines[index + 1 : index + 3] if each.startswith(" "))
        named = f"{match[1]} {match[2]}"
        if any(words in reason for words in _STEP) and (f"binary-{arch}" in named or f" {arch} " in f"{named} "):
            found.append(match[1] if f"binary-{arch}" in match[1] else "")
    # The lines with the whole URL come at the end, those that name the suite before them.
    return [url for url in dict.fromkeys(found) if url]


def has_files(arch: str) -> bool:
    """Whether lists of ``arch`` are where apt keeps them unless told otherwise: a look, where asking takes time.

    A list may be compressed by apt (Acquire::GzipIndexes), so the name's end is not looked at.
    """
    try:
        return any(f"_binary-{arch}_Packages" in name for name in os.listdir(LISTS))
    except OSError:
        return False


def fetch(arch: str, native: str) -> None:
    """Fetch the lists of ``arch``, and this machine's if they are not there either.

    Raises HostError (``lists-missing``, ``lists-behind``, ``architecture-not-served``).
    """
    if has_files(arch):
        return
    have = _architectures()
    if arch in have:
        return
    status, output = programs.tee(update_command(arch, native, native in have))
    late = behind(output, arch)
    for index in late:
        sys.stderr.write(
            f"xx-apt-get: {index} lags behind its Release file on this mirror: until it does not, packages of {arch} "
            "may seem to be missing\n"
        )
    if arch in _architectures():
        if status and not late:
            sys.stderr.write(f"xx-apt-get: some package lists could not be fetched; going on with those of {arch}\n")
        return
    if late:
        raise HostError(
            f"this mirror's packages of {arch} are not in step with its Release file",
            remedy="another mirror or suite, or an hour later: nothing is wrong with the stage",
            reason="lists-behind",
        )
    # Without a network apt-get ends with 0 and warnings.
    if status or "Failed to fetch" in output:
        raise HostError(
            f"apt-get update could not fetch the package lists of {arch}",
            remedy="its lines above say which source fails, and why",
            reason="lists-missing",
        )
    raise HostError(
        f"no source of this stage serves {arch}",
        remedy="see /etc/apt/sources.list and sources.list.d: do [arch=…] or Architectures: leave it out?",
        reason="architecture-not-served",
    )


def _architectures() -> Sequence[str]:
    """Of which lists were fetched from some source, deb822 or one-line: apt shows just those."""
    return programs.ask(["apt-get", "indextargets", "--format", "$(ARCHITECTURE)", "Created-By: Packages"]).split()
