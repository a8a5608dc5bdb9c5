"""`xx-apt` and `xx-apt-get`: apt for the platform that this build stage is to produce code for."""

from __future__ import annotations

import os
import sys

from xxpy.errors import HostError, XxError
from xxpy.info import programs
from xxpy.info.target import Target
from xxpy.pkg import apt
from xxpy.platforms import debian_arch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP = """\
usage: {name} [apt's options] COMMAND [PACKAGE…]

{program} for the target of this build stage (TARGETPLATFORM): its architecture is added to dpkg, the package lists are
fetched once, and PACKAGE means that package of the target's architecture. Everything else goes to {program} as it is.

  xx-c-essentials     what a C cross-compiler needs of the target: the C library and the compiler's runtime
  xx-cxx-essentials   the same for C++

For a target that is not Linux nothing is done. Exit codes: {program}'s own, 1 if the target cannot be served.
"""


def main_apt() -> int:
    """Entry point of xx-apt."""
    return _main("apt")


def main_apt_get() -> int:
    """Entry point of xx-apt-get."""
    return _main("apt-get")


def _main(program: str) -> int:
    name = f"xx-{program}"
    args = sys.argv[1:]
    if not args or args == ["--help"] or args == ["-h"]:
        sys.stdout.write(_HELP.format(name=name, program=program))
        return 0
    try:
        return _serve(program, args, Target.current())
    except XxError as error:
        sys.stderr.write("".join(f"{name}: {line}\n" for line in error.lines()))
        return 1


def _serve(program: str, args: Sequence[str], target: Target) -> int:
    if target.platform.os != "linux":
        sys.stderr.write(f"xx-{program}: nothing to install for {target.platform}: apt has packages for Linux only\n")
        return 0
    if not programs.find(program):
        raise programs.missing(program)
    arch = debian_arch(target.platform)
    native = programs.ask(["dpkg", "--print-architecture"]).strip() == arch
    _, command = apt.split_command(args)
    if not native:
        _add_architecture(arch)
    if command == "update":
        return programs.run([program, *args])
    if command in apt.LIST_COMMANDS:
        _fetch_lists(arch)
    programs.become([program, *apt.expand(args, arch, native, programs.ask)])


def _add_architecture(arch: str) -> None:
    if arch in programs.ask(["dpkg", "--print-foreign-architectures"]).split():
        return
    if os.geteuid() != 0:
        raise HostError(
            f"adding the architecture {arch} to dpkg needs root", remedy="USER root above this RUN", reason="not-root"
        )
    programs.ask(["dpkg", "--add-architecture", arch])


def _fetch_lists(arch: str) -> None:
    """Update unless the lists of ``arch`` are there. A source that fails is told, unless ``arch`` has none at all."""
    if apt.has_lists(arch, programs.ask):
        return
    status = programs.run(["apt-get", "update", "-q"])
    if apt.has_lists(arch, programs.ask):
        if status:
            sys.stderr.write(f"xx-apt-get: some package lists could not be fetched; going on with those of {arch}\n")
        return
    if status:
        remedy = "its lines above say which source fails; a mirror that is being updated works again in an hour"
        raise HostError(
            f"apt-get update ended with exit code {status} and no package list of {arch} came",
            remedy=remedy,
            reason="lists-missing",
        )
    raise HostError(
        f"no source of this stage serves {arch}",
        remedy="see /etc/apt/sources.list and sources.list.d: do [arch=…] or Architectures: leave it out?",
        reason="architecture-not-served",
    )
