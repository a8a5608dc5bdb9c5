"""The few system calls that Python 3.11 does not offer: unshare, mount, umount2, prctl, syncfs, sync_file_range.

All but `begin_writing` raise OSError with the call's errno.
Flags are those of ``linux/mount.h``, ``linux/sched.h`` and ``linux/prctl.h``.
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_RDONLY = 1
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_RELATIME = 1 << 21
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19
MS_PRIVATE = 1 << 18

MNT_DETACH = 2

_SYNC_FILE_RANGE_WRITE = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces (unshare(2))."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount ``source`` at ``target`` (mount(2)); ``kind`` is the file system type, ``data`` its options."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(kind) or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    _check(result, target)


def umount(target: str, flags: int = 0) -> None:
    """Unmount ``target`` (umount2(2))."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), target)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send ``signal_number`` when the parent ends; lost when the process changes its user id."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Have descendants whose parent ends become this process's children (PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def syncfs(descriptor: int) -> None:
    """Write everything of the file system that ``descriptor`` is on to its disk (syncfs(2))."""
    _check(_libc.syncfs(ctypes.c_int(descriptor)), "syncfs")


def begin_writing(descriptor: int, start: int, length: int) -> None:
    """Have that part of a file begin on its way to the disk, and do not wait (sync_file_range(2)).

    A fsync(2) after it still tells what went wrong.
    """
    # Where a file system has no such thing nothing is lost but time.
    _libc.sync_file_range(
        ctypes.c_int(descriptor), ctypes.c_int64(start), ctypes.c_int64(length), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE)
    )
