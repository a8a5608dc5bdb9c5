"""The programs of others that a build starts: QEMU and the OCI runtime, found the same way by every part."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.engine.process import output_of
from xxpy.errors import HostError, XxError
from xxpy.verify.elf import read_elf

RUNTIME_VARIABLE = "XX_RUNTIME"
"""Environment variable that names the OCI runtime: a path, or a name on PATH."""

# Debian has the runtimes in sbin, which the PATH of users lacks.
_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
VERSION_UNKNOWN = "unknown version"


@dataclass(frozen=True)
class Emulator:
    """QEMU's user mode program for ``arch`` (QEMU's name). It needs no library, so it runs in every root."""

    arch: str
    path: str
    version: str


@dataclass(frozen=True)
class Runtime:
    """An OCI runtime. ``name`` is that of the program, ``crun`` or ``runc``, also when the file is named otherwise."""

    path: str
    name: str
    version: str


def find_program(name: str) -> str | None:
    """The path of a program on PATH or in the system's own folders."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS))
    found = shutil.which(name, path=path)
    return os.path.abspath(found) if found else None


def version_of(path: str) -> str:
    """The version that ``path --version`` prints in its first line: its first word that begins with a digit.

    Raises HostError (``program-failed``) if the program does not start.
    """
    return _version_in(_asked(path))


def _asked(path: str) -> str:
    try:
        return output_of([path, "--version"])
    except OSError as error:
        # Not executable on this machine: another architecture's program, or an empty file.
        raise HostError(
            f"{path} does not start: {error.strerror}",
            remedy="install it again from the distribution",
            reason="program-failed",
        ) from None


def _version_in(text: str) -> str:
    words = text.partition("\n")[0].split()
    return next((word for word in words if word[0].isdigit()), VERSION_UNKNOWN)


def find_emulator(arch: str) -> Emulator | None:
    """A QEMU for ``arch`` (``aarch64``) that is statically linked and starts; None if there is none.

    Looks for ``qemu-ARCH-static``, then ``qemu-ARCH``, as distributions name them.
    """
    for name in (f"qemu-{arch}-static", f"qemu-{arch}"):
        path = find_program(name)
        if path is None or not _is_static(path):
            continue
        try:
            return Emulator(arch, os.path.realpath(path), version_of(path))
        except XxError:
            continue
    return None


def _is_static(path: str) -> bool:
    try:
        return not read_elf(path).has_interpreter
    except XxError:
        return False


def find_runtime(root: Path = Path("/")) -> Runtime | None:
    """The OCI runtime to use: what XX_RUNTIME names, else crun, else runc; runc first where cgroups are version 1.

    None if there is none. Raises HostError (``runtime-missing``) if XX_RUNTIME names what does not start.
    ``root`` is where /sys is read from.
    """
    named = os.environ.get(RUNTIME_VARIABLE, "")
    if named:
        path = find_program(named)
        runtime = _runtime(path) if path else None
        if runtime is None:
            raise HostError(
                f"{RUNTIME_VARIABLE} names {named}, which is no program that starts",
                remedy=f"unset {RUNTIME_VARIABLE}, or name crun or runc",
                reason="runtime-missing",
            )
        return runtime
    names = ("runc", "crun") if cgroup_v1(root) else ("crun", "runc")
    paths = [path for name in names if (path := find_program(name))]
    return next((runtime for path in paths if (runtime := _runtime(path))), None)


def _runtime(path: str) -> Runtime | None:
    try:
        text = _asked(path)
    except XxError:
        return None
    # "crun version 1.8.1", "runc version 1.1.5+ds1"
    name = text.split(maxsplit=1)[0] if text.strip() else ""
    return Runtime(path, name or os.path.basename(path), _version_in(text))


def cgroup_v1(root: Path = Path("/")) -> bool:
    """Whether /sys/fs/cgroup has a version 1 hierarchy, alone or beside version 2 (cgroups(7))."""
    folder = root / "sys/fs/cgroup"
    # Only the root of a version 2 hierarchy has this file; version 1 has a folder for each controller there.
    return folder.is_dir() and any(folder.iterdir()) and not (folder / "cgroup.controllers").exists()


def crun_refuses(root: Path = Path("/")) -> bool:
    """Whether crun ends with "cgroups in hybrid mode not supported": version 2 beside version 1, with controllers."""
    try:
        return bool((root / "sys/fs/cgroup/unified/cgroup.controllers").read_text().strip())
    except OSError:
        return False
