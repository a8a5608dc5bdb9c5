"""`xx-apt` and `xx-apt-get`: apt for the platform that this build stage is to produce code for."""

from __future__ import annotations

import os
import sys

from xxpy.cli.stage import say, told
from xxpy.errors import HostError
from xxpy.info import programs
from xxpy.info.streams import complain
from xxpy.info.target import Target
from xxpy.pkg import apt, crossnames, lists, skew, sources
from xxpy.platforms import debian_arch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HELP = """\
usage: {name} [apt's options] COMMAND [PACKAGE…]

{program} for the target of this build stage (TARGETPLATFORM): its architecture is added to dpkg, its package lists are
fetched once, and PACKAGE means that package of the target's architecture, or the one that makes code for it: gcc is
gcc-<triple>. Everything else goes to {program} as it is.

  xx-c-essentials     what a C cross-compiler needs of the target: the C library and the compiler's runtime
  xx-cxx-essentials   the same for C++

  --print-source-file   print the path of the main sources file

XX_APT_PREFER_CROSS=1 takes libc6-dev-arm64-cross rather than libc6-dev:arm64, XX_APT_PORTS_MIRROR names Ubuntu's other
archive. For Windows the packages of mingw-w64 are taken; for other systems there are none, and nothing is done.
Exit codes: {program}'s own, 1 if the target cannot be served.
"""


DPKG_ARCHITECTURES = "/var/lib/dpkg/arch"


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
        return say(name, _HELP.format(name=name, program=program))
    return told(name, lambda: _serve(program, args, Target.current()))


def _serve(program: str, args: Sequence[str], target: Target) -> int:
    if "--print-source-file" in args:
        return say(f"xx-{program}", f"{sources.main_file()}\n")
    if target.platform.os == "windows":
        return _serve_windows(program, args, target)
    if target.platform.os != "linux":
        complain(f"xx-{program}: nothing to install for {target.platform}: apt has packages for Linux only\n")
        return 0
    if not programs.find(program):
        raise programs.missing(program)
    arch = debian_arch(target.platform)
    machine = programs.ask(["dpkg", "--print-architecture"]).strip()
    _, command = apt.split_command(args)
    if arch != machine:
        with lists.Alone():
            _add_architecture(arch)
            if target.distro.id == "ubuntu":
                sources.serve_both(machine, arch, os.environ.get(sources.MIRROR_VARIABLE, ""))
    if command == "update":
        return lists.update([program, *args])
    if command in apt.LIST_COMMANDS:
        lists.fetch(arch, machine)
    made = apt.expand(args, arch, arch == machine, programs.ask, lambda words: _cross(words, target, arch))
    if arch != machine and command == "install":
        _warn_of_skew(made, arch)
    programs.become([program, *apt.waiting(made)])


def _cross(words: Sequence[str], target: Target, arch: str) -> Mapping[str, str]:
    prefer = bool(os.environ.get(crossnames.PREFER_VARIABLE))
    return crossnames.cross_names(words, crossnames.suffix_of(target.triple), arch, prefer, programs.ask)


def _warn_of_skew(args: Sequence[str], arch: str) -> None:
    wanted = [word.partition("=")[0].partition("/")[0] for word in args if f":{arch}" in word]
    if wanted:
        for line in skew.worded(skew.find_skews(wanted, arch, programs.ask), arch):
            complain(f"xx-apt-get: {line}\n")


def _serve_windows(program: str, args: Sequence[str], target: Target) -> int:
    """For Windows: this machine's packages that make code for it, where there are such."""
    at, command = apt.split_command(args)
    if command == "update":
        return lists.update([program, *args])
    if command not in apt.PACKAGE_COMMANDS:
        programs.become([program, *args])
    machine = programs.ask(["dpkg", "--print-architecture"]).strip()
    if command in apt.LIST_COMMANDS:
        lists.fetch(machine, machine)
    words = apt.package_words(args, at)
    made, without = crossnames.windows_names([args[index] for index in words], target.platform, programs.ask)
    if without:
        names = ", ".join(dict.fromkeys(without))
        complain(f"xx-{program}: no package here is {names} for {target.platform}: left out\n")
    if not made:
        return 0
    programs.become([program, *apt.waiting([word for index, word in enumerate(args) if index not in words]), *made])


def _foreign_architectures() -> list[str]:
    """As dpkg has them in its database, a line each (dpkg's lib/dpkg/arch.c); asked where there is no such file."""
    try:
        with open(DPKG_ARCHITECTURES, encoding="utf-8") as file:
            return file.read().split()
    except (OSError, ValueError):
        return programs.ask(["dpkg", "--print-foreign-architectures"]).split()


def _add_architecture(arch: str) -> None:
    if arch in _foreign_architectures():
        return
    if os.geteuid() != 0:
        raise HostError(
            f"adding the architecture {arch} to dpkg needs root", remedy="USER root above this RUN", reason="not-root"
        )
    programs.ask(["dpkg", "--add-architecture", arch])
