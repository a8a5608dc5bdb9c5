"""`xx-apk`: apk for the platform that this build stage is to produce code for."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys

from xxpy.cli.stage import say, told
from xxpy.errors import HostError
from xxpy.info import programs
from xxpy.info.osrelease import OsRelease
from xxpy.info.streams import complain
from xxpy.info.target import Target
from xxpy.pkg import apk
from xxpy.platforms import alpine_arch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP = """\
usage: xx-apk [apk's options] COMMAND [PACKAGE…]

apk for the target of this build stage (TARGETPLATFORM). For another architecture than this machine's, packages go into
a root of their own, /<triple>, that xx-clang takes for its sysroot. No script of such a package is run, and its
programs, which this machine cannot start, are removed.

  xx-c-essentials, xx-cxx-essentials   what a C or C++ cross-compiler needs of the target
  xx-apk setup     make the second root and do no more
  xx-apk clean     remove it

XX_APK_KEEP_BINARIES=1 leaves programs there. For a target that is not Linux nothing is done.
Exit codes: apk's own, 1 if the target cannot be served, 2 if a meta-name is used wrongly.
"""
_PROGRAMS = ("bin", "sbin", "usr/bin", "usr/sbin")
_DONE = ".xx-setup"


def main() -> int:
    """Entry point of xx-apk."""
    args = sys.argv[1:]
    if not args or args in (["--help"], ["-h"]):
        return say("xx-apk", _HELP)
    # Packages are Alpine's whatever vendor the triple is to have.
    env = {name: value for name, value in os.environ.items() if name != "XX_VENDOR"}
    return told("xx-apk", lambda: _serve(args, Target.from_env(env, OsRelease.read(), os.uname().machine)))


def _serve(args: Sequence[str], target: Target) -> int:
    if target.platform.os != "linux":
        complain(f"xx-apk: nothing to install for {target.platform}: apk has packages for Linux only\n")
        return 0
    if not programs.find("apk"):
        raise programs.missing("apk")
    if target.platform.arch in apk.NEVER:
        raise HostError(
            f"Alpine has no packages for {target.platform}", remedy="another distribution may", reason="not-served"
        )
    root = f"/{target.triple}"
    if args[0] == "clean":
        if target.is_cross:
            shutil.rmtree(root, ignore_errors=True)
        return 0
    if target.is_cross:
        _set_up(target, root)
    if args[0] == "setup":
        return 0
    argv = apk.command_line(args, root, target.is_cross)
    status = programs.run(argv)
    if status == 0 and target.is_cross:
        for name in apk.linked_packages(args):
            _link(name, target, root)
        if not os.environ.get(apk.KEEP_VARIABLE):
            _remove_programs(root)
    return status


def _set_up(target: Target, root: str) -> None:
    """Make the second root: its architecture, repositories and keys, and a cache of its own. Once."""
    if os.path.exists(f"{root}/{_DONE}"):
        return
    folder = f"{root}/etc/apk"
    os.makedirs(f"{folder}/keys", exist_ok=True)
    lock = os.open(f"{folder}/.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(f"{root}/{_DONE}"):
            return
        arch = alpine_arch(target.platform)
        with open("/etc/apk/repositories", encoding="utf-8") as file:
            text = apk.repositories(file.read(), target.platform, target.distro.version_id)
        for name, content in (("repositories", text), ("arch", f"{arch}\n")):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(content)
        os.makedirs(f"{folder}/protected_paths.d", exist_ok=True)
        _copy_keys(arch, f"{folder}/keys")
        if os.path.isdir("/etc/apk/cache") and not os.path.lexists(f"{folder}/cache"):
            os.makedirs(f"/etc/apk/cache/_{arch}", exist_ok=True)
            os.symlink(f"/etc/apk/cache/_{arch}", f"{folder}/cache")
        programs.ask(["apk", "--root", root, "--no-network", "add", "--initdb"])
        with open(f"{root}/{_DONE}", "w", encoding="utf-8"):
            pass
    finally:
        os.close(lock)


def _copy_keys(arch: str, to: str) -> None:
    """The keys that sign the architecture's packages: alpine-keys has those of all, so that none is taken unchecked."""
    copied = False
    for folder in (f"/usr/share/apk/keys/{arch}", "/etc/apk/keys"):
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                shutil.copyfile(f"{folder}/{name}", f"{to}/{name}")
                copied = True
    if not copied:
        raise HostError(
            f"this stage has no keys for Alpine's {arch} packages", remedy="RUN apk add alpine-keys", reason="no-keys"
        )


def _link(package: str, target: Target, root: str) -> None:
    """Have the stage's own compiler find what it looks for in its own root."""
    if package == "rust-stdlib":
        path = f"/usr/lib/rustlib/{target.triple}"
        if os.path.isdir(root + path):
            _symlink(root + path, path)
        return
    for line in programs.ask(["apk", "--root", root, "info", "-qL", package]).splitlines():
        if "clang_rt." in line:
            _symlink(f"{root}/{line}", f"/{line}")


def _symlink(to: str, path: str) -> None:
    if not os.path.lexists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(to, path)


def _remove_programs(root: str) -> None:
    """Remove the target's programs, and links to them. Scripts, such as ``xml2-config``, stay."""
    folders = [f"{root}/{folder}" for folder in _PROGRAMS]
    entries = [entry for at in folders if os.path.isdir(at) and not os.path.islink(at) for entry in _entries(at)]
    for entry in entries:
        if entry.is_file(follow_symlinks=False) and _is_elf(entry.path):
            os.unlink(entry.path)
    for entry in entries:
        if entry.is_symlink() and not os.path.exists(_inside(root, entry.path)):
            os.unlink(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder, by name."""
    return sorted(os.scandir(folder), key=lambda entry: entry.name)


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _inside(root: str, path: str) -> str:
    to = os.readlink(path)
    return root + to if to.startswith("/") else os.path.join(os.path.dirname(path), to)
