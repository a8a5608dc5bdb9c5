"""windres by LLVM's tools: the options of GNU windres, and the commands of llvm-rc and llvm-cvtres that do the same.

Sources: windres(1) of GNU binutils; ``llvm-rc /?`` and ``llvm-cvtres /?``.
"""

from __future__ import annotations

import os

from xxpy.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LONG = {
    "--input": "-i", "--output": "-o", "--input-format": "-J", "--output-format": "-O", "--target": "-F",
    "--preprocessor": "--preprocessor", "--preprocessor-arg": "--preprocessor-arg", "--include-dir": "-I",
    "--include-path": "-I", "--define": "-D", "--undefine": "-U", "--codepage": "-c", "--language": "-l",
}  # fmt: skip
_SHORT = ("-i", "-o", "-J", "-O", "-F", "-I", "-D", "-U", "-c", "-l")
_IGNORED = frozenset({"-r", "-v", "--verbose", "--use-temp-file", "--no-use-temp-file"})
_MACHINES = (("i386", "X86"), ("i486", "X86"), ("i586", "X86"), ("i686", "X86"), ("x86_64", "X64"), ("x86-64", "X64"),
             ("aarch64", "ARM64"), ("arm64", "ARM64"), ("arm", "ARM"))  # fmt: skip


class Options:
    """A call of windres. ``arguments`` are the preprocessor's, in order."""

    __slots__ = ("arguments", "codepage", "input", "input_format", "language", "output", "output_format",
                 "preprocessor", "target")  # fmt: skip

    def __init__(self) -> None:
        self.input = self.output = self.input_format = self.output_format = self.target = ""
        self.preprocessor = self.codepage = self.language = ""
        self.arguments: list[str] = []


def parse(args: Sequence[str]) -> Options:
    """Read the command line. Raises UsageError (``option-unknown``, ``value-missing``, ``too-many``)."""
    made = Options()
    files: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if arg == "--":
            files += rest
            break
        if arg in _IGNORED:
            continue
        if not arg.startswith("-") or arg == "-":
            files.append(arg)
            continue
        name, value = _split(arg)
        if value is None:
            if not rest:
                raise UsageError(f"{arg} needs a value", reason="value-missing")
            value = rest.pop(0)
        _set(made, name, value)
    if len(files) > 2:
        raise UsageError(f"too many files: {' '.join(files)}", remedy="one input, one output", reason="too-many")
    made.input = files[0] if files else made.input
    made.output = files[1] if len(files) > 1 else made.output
    made.input_format = made.input_format or ("res" if made.input.endswith(".res") else "rc")
    made.output_format = made.output_format or ("res" if made.output.endswith(".res") else "coff")
    for what, value, known in (
        ("input", made.input_format, ("rc", "res")),
        ("output", made.output_format, ("res", "coff")),
    ):
        if value not in known:
            raise UsageError(f"{value} is no {what} format here", remedy=" or ".join(known), reason="format-unknown")
    return made


def _split(arg: str) -> tuple[str, str | None]:
    if arg.startswith("--"):
        name, equals, value = arg.partition("=")
        if name not in _LONG:
            raise UsageError(f"unknown option {arg}", remedy="xx-windres --help lists them", reason="option-unknown")
        return _LONG[name], value if equals else None
    if arg[:2] not in _SHORT:
        raise UsageError(f"unknown option {arg}", remedy="xx-windres --help lists them", reason="option-unknown")
    return arg[:2], arg[2:].removeprefix("=") if len(arg) > 2 else None


def _set(made: Options, name: str, value: str) -> None:
    if name in ("-I", "-D", "-U"):
        made.arguments.append(f"{name}{value}")
    elif name == "--preprocessor-arg":
        made.arguments.append(value)
    else:
        field = {"-i": "input", "-o": "output", "-J": "input_format", "-O": "output_format", "-F": "target",
                 "--preprocessor": "preprocessor", "-c": "codepage", "-l": "language"}[name]  # fmt: skip
        setattr(made, field, value)


def machine_of(target: str) -> str:
    """llvm-cvtres' name of the architecture in a triple or a BFD name (``pe-x86-64``). Raises UsageError."""
    word = target.removeprefix("pei-").removeprefix("pe-")
    for begin, machine in _MACHINES:
        if word.startswith(begin):
            return machine
    raise UsageError(
        f"{target} is no target with Windows resources",
        remedy="TARGETPLATFORM=windows/amd64, or --target=",
        reason="target-unknown",
    )


def commands(options: Options, target: str, preprocessor: Sequence[str], work: str) -> list[list[str]]:
    """The commands that make the output, in order; files between them lie in the folder ``work``."""
    source = options.input or "/dev/stdin"
    output = options.output or "/dev/stdout"
    made: list[list[str]] = []
    resource = source
    if options.input_format == "rc":
        plain = os.path.join(work, "source.rc")
        resource = output if options.output_format == "res" else os.path.join(work, "resource.res")
        flags = ["-E", "-xc", "-DRC_INVOKED=1", *options.arguments]
        made.append([*preprocessor, *flags, "-o", plain, source])
        language = ["/L", options.language.removeprefix("0x")] if options.language else []
        codepage = ["/C", options.codepage] if options.codepage else []
        # Icons and the like are named from the source's folder; it is preprocessed already (/no-preprocess).
        here = os.path.dirname(os.path.abspath(options.input)) if options.input else os.getcwd()
        made.append(["llvm-rc", "/no-preprocess", *codepage, *language, "/I", here, "/FO", resource, "--", plain])
    elif options.output_format == "res":
        made.append(["cp", "--", source, output])
    if options.output_format == "coff":
        machine = machine_of(options.target or target)
        made.append(["llvm-cvtres", f"/MACHINE:{machine}", f"/OUT:{output}", resource])
    return made
