"""`xx-dnf`, `xx-yum` and `xx-microdnf`: RPM packages for the platform that this build stage is to produce code for."""

from __future__ import annotations

import os
import sys

from xxpy.cli.stage import say, told
from xxpy.info import programs
from xxpy.info.streams import complain
from xxpy.info.target import Target
from xxpy.pkg import dnf
from xxpy.platforms import rpm_arch

_HELP = """\
usage: {name} [{program}'s options] COMMAND [PACKAGE…]

{program} for the target of this build stage (TARGETPLATFORM). For another architecture than this machine's, packages
go into a root of their own, /<triple>, that xx-clang takes for its sysroot; no scriptlet of theirs is run.

  xx-c-essentials, xx-cxx-essentials   what a C or C++ cross-compiler needs of the target
  {name} clean-root                    remove the second root

For a target that is not Linux nothing is done.
Exit codes: {program}'s own, 1 if the target cannot be served, 2 if a meta-name is used wrongly.
"""


def main() -> int:
    """Entry point; which program is meant the name says."""
    name = os.path.basename(sys.argv[0])
    program = name.removeprefix("xx-")
    args = sys.argv[1:]
    if not args or args in (["--help"], ["-h"]):
        return say(name, _HELP.format(name=name, program=program))
    return told(name, lambda: _serve(program, args, Target.current()))


def _serve(program: str, args: list[str], target: Target) -> int:
    if target.platform.os != "linux":
        complain(f"xx-{program}: nothing to install for {target.platform}: {program} has packages for Linux only\n")
        return 0
    root = f"/{target.triple}"
    if args == ["clean-root"]:
        if target.is_cross:
            import shutil

            shutil.rmtree(root, ignore_errors=True)
        return 0
    if not programs.find(program):
        raise programs.missing(program)
    if target.is_cross:
        program = dnf.serving(program, os.path.realpath(programs.find(program)), bool(programs.find("dnf")))
    release = target.distro.version_id
    if target.distro.id not in ("fedora", "centos"):
        # RHEL and its kin name repositories by the major version.
        release = release.partition(".")[0]
    programs.become(dnf.command_line(program, args, rpm_arch(target.platform), root, release, target.is_cross))
