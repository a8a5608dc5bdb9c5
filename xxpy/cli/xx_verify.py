"""`xx-verify`: fails a build stage whose output is not for the target platform."""

from __future__ import annotations

import os
import sys

from xxpy.cli.stage import say
from xxpy.errors import UsageError, XxError
from xxpy.info.osrelease import OsRelease
from xxpy.info.streams import complain
from xxpy.info.target import Target
from xxpy.info.wasi import is_wasi
from xxpy.platforms import Platform
from xxpy.verify.check import Problem, Wanted, check, glibc_version, require_supported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HELP = """\
usage: xx-verify [option]... FILE|FOLDER...

Checks that each file is a program, library, object file or static library for the platform that this build stage is to
produce code for (TARGETPLATFORM): format, machine, class, byte order and system; ARM's version and float ABI, the
x86-64 level that a file declares, and the C library whose dynamic linker it names. Of a FOLDER all binaries below it
are checked; scripts, data and symlinks are passed over. All files are checked; each problem is one line.

options:
  --static             also fail on programs that need a dynamic linker or shared libraries (on Windows: DLLs that
                       Windows does not have); XX_VERIFY_STATIC=1 does the same, and is passed over for darwin
  --max-glibc VERSION  fail on files that need a newer glibc, as 2.31
  --root FOLDER        fail on programs whose dynamic linker or libraries are not in this root filesystem
  --json               print a JSON list with an object for each file: file, ok, problems (reason, message)
  -h, --help           print this text
  --version            print the version
  --                   what follows is files, even if it begins with a dash

status: 0 all files are right, 1 some file is not or the target cannot be checked, 2 the command line is wrong\
"""


class _Options:
    def __init__(self, env: Mapping[str, str]) -> None:
        # As upstream, any text switches it on; 0 is what people write for off.
        self.static_variable = env.get("XX_VERIFY_STATIC", "") not in ("", "0")
        self.static = False
        self.json = False
        self.max_glibc: tuple[int, ...] | None = None
        self.root = ""
        self.files: list[str] = []
        self.text = ""


def _parse(args: Sequence[str], env: Mapping[str, str]) -> _Options:
    """Raises UsageError (``option-unknown``, ``value-wrong``, ``no-file``)."""
    made = _Options(env)
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        name, equals, value = arg.partition("=")
        if arg == "--":
            made.files += rest
            break
        if arg in ("-h", "--help"):
            made.text = HELP
            return made
        if arg == "--version":
            from xxpy import __version__

            made.text = f"xx-verify {__version__}"
            return made
        if arg == "--static":
            made.static = True
        elif arg == "--json":
            made.json = True
        elif arg == "--setup":
            # Upstream installs `file` by it. Nothing is needed here.
            made.text = made.text or " "
        elif name in ("--max-glibc", "--root"):
            if not equals and not rest:
                raise UsageError(f"{name} needs a value", reason="value-wrong")
            _set(made, name, value if equals else rest.pop(0))
        elif arg.startswith("-"):
            raise UsageError(
                f"unknown option {arg!r}", remedy="Run xx-verify --help for the options.", reason="option-unknown"
            )
        else:
            made.files.append(arg)
    if made.files or made.text != " ":
        made.text = ""
    if not made.files and not made.text:
        raise UsageError("no file given", remedy="Run xx-verify --help for the usage.", reason="no-file")
    return made


def _set(made: _Options, name: str, value: str) -> None:
    if name == "--max-glibc":
        made.max_glibc = glibc_version(value)
        if made.max_glibc is None or len(made.max_glibc) < 2:
            raise UsageError(f"--max-glibc {value}: no version", remedy="write it as 2.31", reason="value-wrong")
    else:
        made.root = value
        if not os.path.isdir(value):
            raise UsageError(f"--root {value}: no such folder", reason="value-wrong")


def run(args: Sequence[str], env: Mapping[str, str], distro: OsRelease, machine: str) -> tuple[int, str, list[str]]:
    """Status, standard output, and the lines for standard error. ``machine`` is `uname -m`."""
    try:
        options = _parse(args, env)
    except UsageError as error:
        return 2, "", error.lines()
    if options.text:
        return 0, options.text.strip(), []
    try:
        wanted = _wanted(options, env, distro, machine)
        require_supported(wanted)
        results = _check_all(options, wanted)
    except XxError as error:
        return 1, "", error.lines()
    problems = [problem for _, found in results for problem in found]
    if options.json:
        return (1 if problems else 0), _json(results), []
    return (1 if problems else 0), "", [str(problem) for problem in problems]


def _wanted(options: _Options, env: Mapping[str, str], distro: OsRelease, machine: str) -> Wanted:
    if is_wasi(env):
        return Wanted(Platform("wasi", "wasm"), options.static or options.static_variable)
    target = Target.from_env(env, distro, machine)
    platform = target.platform
    static = options.static or (options.static_variable and platform.os != "darwin")
    # Which C library is meant is known where the distribution is, or where it is said.
    known = platform.os == "linux" and (distro.family != "other" or env.get("XX_LIBC"))
    libc = target.libc if known and target.libc in ("gnu", "musl") else ""
    return Wanted(platform, static, libc, options.max_glibc)


def _check_all(options: _Options, wanted: Wanted) -> list[tuple[str, list[Problem]]]:
    results: list[tuple[str, list[Problem]]] = []
    for name in options.files:
        if not os.path.isdir(name):
            results.append((name, check(name, wanted)))
            continue
        from xxpy.verify.walk import binaries

        try:
            found = [(path, check(path, wanted)) for path in binaries(name)]
        except OSError as error:
            results.append(
                (name, [Problem(error.filename or name, f"cannot be read: {error.strerror}", "elf-unreadable")])
            )
            continue
        results += found or [(name, [Problem(name, "holds no program, library or object file", "nothing-found")])]
    if options.root:
        _check_root(options.root, results)
    return results


def _check_root(folder: str, results: Sequence[tuple[str, list[Problem]]]) -> None:
    """Add to each ELF file's problems what it would not find in ``folder``."""
    from xxpy.verify.elf import parse_elf
    from xxpy.verify.root import Root
    from xxpy.verify.source import Source, open_regular

    root = Root(folder)
    for path, problems in results:
        try:
            fd, size = open_regular(path)
        except XxError:
            continue
        try:
            source = Source(fd, size, "ELF file")
            header = parse_elf(source)
            real = os.path.realpath(path)
            inside = real.startswith(f"{root.folder}/")
            place = real[len(root.folder) :] if inside else f"/{os.path.basename(path)}"
            problems += [Problem(path, message, reason) for message, reason in root.missing(source, header, place)]
        except XxError as error:
            if error.reason != "elf-foreign" and not problems:
                problems.append(Problem(path, error.message, error.reason))
        finally:
            os.close(fd)


def _json(results: Sequence[tuple[str, list[Problem]]]) -> str:
    import json

    rows = [
        {
            "file": path,
            "ok": not problems,
            "problems": [{"reason": problem.reason, "message": problem.message} for problem in problems],
        }
        for path, problems in results
    ]
    return json.dumps(rows, indent=2)


def main() -> int:
    """Entry point. 0: all right. 1: a problem in a file, or no such target. 2: a wrong command line."""
    status, out, errors = run(sys.argv[1:], os.environ, OsRelease.read(), os.uname().machine)
    complain("".join(f"xx-verify: {line}\n" for line in errors))
    return (say("xx-verify", f"{out}\n") if out else 0) or status


if __name__ == "__main__":
    sys.exit(main())
