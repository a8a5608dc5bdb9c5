"""`xx-info`: prints what a build stage is to produce code for."""

from __future__ import annotations

import os
import sys

from xxpy.cli.stage import say
from xxpy.errors import XxError
from xxpy.info.osrelease import OsRelease
from xxpy.info.queries import IS_CROSS, LENIENT, STRICT, answer
from xxpy.info.streams import complain
from xxpy.info.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def help_text() -> str:
    rows = [(name, text) for name, (text, _) in (*LENIENT.items(), *STRICT.items())]
    rows.append((IS_CROSS, "prints nothing; status 0 if the target is not this machine's platform, 1 if it is"))
    lines = [
        "usage: xx-info [QUERY]",
        "",
        "Prints one fact about the platform that this build stage is to produce code for.",
        "",
        "queries:",
        *(f"  {name:<13} {text}" for name, text in rows),
        "",
        "options:",
        "  -h, --help    print this text",
        "  --version     print the version",
        "",
        "The target is read from TARGETPLATFORM, else TARGETPAIR, else TARGETOS, TARGETARCH and TARGETVARIANT;",
        "without them it is this machine. XX_VENDOR, XX_LIBC, ARM_TARGET_ARCH, RISCV64_TARGET_ARCH and",
        "MACOSX_VERSION_MIN replace single parts of the triple.",
    ]
    return "\n".join(lines)


def run(args: Sequence[str], env: Mapping[str, str], distro: OsRelease, machine: str) -> tuple[int, str, str]:
    """Status, standard output and standard error, the texts without a newline at their end."""
    query = args[0] if args and args[0] else "triple"
    if query in ("--help", "-h", "help"):
        return 0, help_text(), ""
    if query == "--version":
        from xxpy import __version__

        return 0, f"xx-info {__version__}", ""
    if len(args) > 1:
        return 1, "", f"xx-info: expected one query, got {len(args)}: {' '.join(args)}"
    try:
        if query == IS_CROSS:
            return (0 if Target.from_env(env, distro, machine).is_cross else 1), "", ""
        if query in LENIENT or query in STRICT:
            return 0, answer(query, env, distro, machine) + "\n", ""
    except XxError as error:
        return 1, "", "\n".join(f"xx-info: {line}" for line in error.lines())
    return 1, "", f"xx-info: unknown query {query!r}\nxx-info: Run xx-info --help for the list."


def main() -> int:
    """Entry point. 0: answered, or is-cross is true. 1: is-cross is false, no such target, or no such query."""
    status, out, err = run(sys.argv[1:], os.environ, OsRelease.read(), os.uname().machine)
    if err:
        complain(f"{err}\n")
    return (say("xx-info", out if out.endswith("\n") else f"{out}\n") if out else 0) or status


if __name__ == "__main__":
    sys.exit(main())
