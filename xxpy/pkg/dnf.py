"""dnf, yum and microdnf for a target: a second root ``/<triple>``, filled with ``--forcearch``.

Fedora and RHEL put 64-bit libraries of every architecture into ``/usr/lib64``, so two cannot share a root. Source:
dnf(8), "Options".
"""

from __future__ import annotations

from xxpy.errors import HostError
from xxpy.info.words import command_of as command_of_line
from xxpy.pkg import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

META: Mapping[str, tuple[str, ...]] = {
    "xx-c-essentials": ("glibc-devel", "gcc"),
    "xx-cxx-essentials": ("glibc-devel", "gcc", "libstdc++-devel"),
}
"""gcc has the runtime (libgcc, crtbegin.o) that clang links as well."""

_WITH_VALUE = frozenset({"-c", "--config", "-x", "--exclude", "--excludepkgs", "-e", "-d", "-R", "-b", "--comment"})
_INSTALLING = frozenset({"install", "reinstall", "localinstall", "download"})


def command_of(args: Sequence[str]) -> str:
    """dnf's command among ``args``: ``install``; empty if there is none."""
    return command_of_line(args, _WITH_VALUE)


def expand(args: Sequence[str]) -> list[str]:
    """``args`` with the packages that meta-names stand for, each once. Raises UsageError (``meta-not-installed``)."""
    return words.expand_meta(args, META, command_of(args), _INSTALLING)


def command_line(
    program: str, args: Sequence[str], arch: str, root: str, release: str, cross: bool, config: str = "/etc"
) -> list[str]:
    """The whole command line of ``program`` (dnf, yum, microdnf).

    ``arch`` is RPM's name of the target's, ``release`` the stage's VERSION_ID; ``config`` the folder of the stage's
    configuration. Scriptlets are not run: the target's programs do not run here. Raises HostError (``no-release``).
    """
    if not cross:
        return [program, *expand(args)]
    if not release:
        raise HostError(
            "this stage's os-release has no VERSION_ID, so its packages cannot be found for another architecture",
            remedy="is /etc/os-release there?",
            reason="no-release",
        )
    made = [
        program, f"--installroot={root}", f"--releasever={release}",
        f"--setopt=reposdir={config}/yum.repos.d", f"--setopt=varsdir={config}/dnf/vars",
        "--setopt=tsflags=noscripts", "--setopt=install_weak_deps=False",
    ]  # fmt: skip
    # dnf5 takes it after the command alone, dnf 4 anywhere.
    own = expand(args)
    command = command_of(own)
    at = own.index(command) + 1 if command else 0
    return [*made, *own[:at], f"--forcearch={arch}", *own[at:]]


def serving(program: str, real: str, has_dnf: bool) -> str:
    """What does the work of ``program`` for another architecture, its real path being ``real``.

    The microdnf of RHEL 8 and 9 has no ``--forcearch``; Fedora's is dnf5 by another name.
    Raises HostError (``no-forcearch``).
    """
    if program != "microdnf" or real.endswith("dnf5"):
        return program
    if has_dnf:
        return "dnf"
    raise HostError(
        "microdnf installs for this machine's architecture alone",
        remedy="RUN microdnf install -y dnf, before this step: dnf does it",
        reason="no-forcearch",
    )
