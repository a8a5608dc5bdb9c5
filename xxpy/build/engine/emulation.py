"""The Emulators of a build: found before the first step, told to the kernel inside the build's own user namespace."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from xxpy.build.engine import syscalls
from xxpy.build.engine.binfmt import registration_line
from xxpy.build.tools import Emulator, find_emulator
from xxpy.errors import HostError

HOST_INSTANCE = Path("/proc/sys/fs/binfmt_misc")


def emulators_for(architectures: Iterable[str]) -> tuple[Emulator, ...]:
    """QEMU for each of ``architectures`` (``aarch64``). Raises HostError (``no-emulator``) naming what is missing."""
    found = []
    for arch in architectures:
        emulator = find_emulator(arch)
        if emulator is None:
            raise HostError(
                f"no emulator for {arch}: steps of this build run {arch} programs, and QEMU for them is not installed",
                remedy=f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y qemu-user-static",
                reason="no-emulator",
            )
        found.append(emulator)
    return tuple(found)


def register(emulators: Sequence[Emulator], at: Path, root: Path = Path("/")) -> bool:
    """Mount a binfmt_misc instance of this user namespace at ``at`` and register ``emulators`` with it.

    Without ``emulators`` it is mounted all the same: it hides the host's, so that a foreign program in a native stage
    fails on every machine alike. A kernel before 6.7 has none to give; then the host's own registrations must serve.
    Whether there is such an instance. Raises HostError (``emulator-unregistered``) if the host's do not serve.
    """
    try:
        syscalls.mount("binfmt_misc", str(at), "binfmt_misc")
    except OSError as error:
        lacking = {each.arch: why for each in emulators if (why := host_registration(each.arch, root))}
        if lacking:
            texts = ", ".join(f"{arch} {why}" for arch, why in lacking.items())
            raise HostError(
                f"the kernel gives a build no binfmt_misc of its own ({error.strerror}), and on the host {texts}",
                remedy="upgrade to Linux 6.7, or register it once as root: "
                "apt-get install -y --reinstall qemu-user-static binfmt-support",
                reason="emulator-unregistered",
            ) from None
        return False
    for each in emulators:
        (at / "register").write_bytes(registration_line(each.arch, each.path))
    return True


def host_registration(arch: str, root: Path = Path("/")) -> str:
    """Why the host's binfmt_misc does not serve a build for ``arch``; empty if it does.

    It serves if its entry is enabled and has flag F: without F the kernel looks for QEMU in the step's own root.
    ``root`` is where /proc is read from.
    """
    entry = root / "proc/sys/fs/binfmt_misc" / f"qemu-{arch}"
    try:
        lines = entry.read_text().splitlines()
    except OSError:
        return "not registered"
    flags = next((line.partition(":")[2].strip() for line in lines if line.startswith("flags:")), "")
    if lines[:1] != ["enabled"]:
        return "disabled"
    return "" if "F" in flags else "without flag F"
