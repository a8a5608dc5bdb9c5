"""Fetching package lists: those that are missing, once, and a word on each that a mirror does not have in step.

Commands that begin at the same time take turns: apt-get update does not wait for another, as apt-get install does.
"""

from __future__ import annotations

import fcntl
import os
import time

from xxpy.errors import HostError
from xxpy.info import programs
from xxpy.info.streams import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FAILED = r"(?:E|Err|W)[:\d]* .*?(\S+://\S+)(.*)"
LISTS = "/var/lib/apt/lists"
MOST_WAIT = 120.0
"""Seconds that an apt-get update of somebody else's is waited for, as `xxpy.pkg.apt.waiting` has apt wait for dpkg."""
_LOOK = 0.2
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


class Alone:
    """A block in which no other command of the suite changes what apt goes by: flock(2) on its folder, without a file.

    Who has it before is waited for. Where that folder cannot be opened nothing is locked.
    """

    __slots__ = ("_fd",)

    def __enter__(self) -> None:
        try:
            self._fd = os.open(os.path.dirname(LISTS), os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            self._fd = -1

    def __exit__(self, *_error: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _wait_for_apt(pause: Callable[[float], None] = time.sleep) -> None:
    """Let an apt-get update that is under way end: it has a lock of fcntl(2) on ``lists/lock`` until then."""
    try:
        fd = os.open(f"{LISTS}/lock", os.O_RDWR)
    except OSError:
        return
    try:
        for _ in range(int(MOST_WAIT / _LOOK)):
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                pause(_LOOK)
    finally:
        os.close(fd)


def update(argv: Sequence[str]) -> int:
    """Run an ``apt-get update`` of the user's own when no other is under way; its exit code."""
    with Alone():
        _wait_for_apt()
        return programs.run(argv)


def fetch(arch: str, native: str) -> None:
    """Fetch the lists of ``arch``, and this machine's if they are not there either.

    Raises HostError (``lists-missing``, ``lists-behind``, ``architecture-not-served``).
    """
    with Alone():
        # Now that nobody fetches: of lists that are being fetched some are there before the others.
        if not has_files(arch):
            _wait_for_apt()
            _fetch(arch, native)


def _fetch(arch: str, native: str) -> None:
    have = _architectures()
    if arch in have:
        return
    status, output = programs.tee(update_command(arch, native, native in have))
    late = behind(output, arch)
    for index in late:
        complain(
            f"xx-apt-get: {index} lags behind its Release file on this mirror: until it does not, packages of {arch} "
            "may seem to be missing\n"
        )
    if arch in _architectures():
        if status and not late:
            complain(f"xx-apt-get: some package lists could not be fetched; going on with those of {arch}\n")
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
