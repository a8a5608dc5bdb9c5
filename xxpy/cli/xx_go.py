"""`xx-go`: go for the platform that this build stage is to produce code for."""

from __future__ import annotations

import os
import sys

from xxpy.cli.stage import say, told
from xxpy.errors import HostError
from xxpy.go import environment
from xxpy.info import programs
from xxpy.info.streams import complain
from xxpy.info.target import Target
from xxpy.info.wasi import is_wasi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HELP = """\
usage: xx-go COMMAND [go's options]

go for the target of this build stage (TARGETPLATFORM): GOOS, GOARCH and the level of its variant (GOARM, GOAMD64 …),
and for cgo CC, CXX, AR and PKG_CONFIG.

options of its own, each alone:
  --wrap     have plain go build for the target too, until --unwrap: written to the file that go env GOENV names
  --unwrap   undo that; settings of yours in that file stay
  --print-env  print the variables that would be set
  --help     print this text; xx-go help is go's own

variables:
  XX_GO_PREFER_C_COMPILER   clang (the default), gcc or zig, for cgo
  CGO_ENABLED               set it: without it Go takes 1 on this machine's platform and 0 on the others

Exit codes: go's own, 1 if the target cannot be served, 2 if a variable of these is wrong.
"""
_WRAPPED = "go-wrapped"


def main() -> int:
    """Entry point of xx-go."""
    args = sys.argv[1:]
    if args in (["--help"], ["-h"]):
        return say("xx-go", _HELP)
    return told("xx-go", lambda: _serve(args))


def _serve(args: Sequence[str]) -> int:
    env = os.environ
    if args == ["--unwrap"]:
        return _unwrap()
    command = environment.subcommand_of(args)
    made = dict(environment.WASI) if is_wasi(env) else _for_target(env, command)
    if args == ["--print-env"]:
        from xxpy.cc.describe import exports

        return say("xx-go", exports(made.items()))
    if not programs.find("go"):
        raise programs.missing("go")
    if args == ["--wrap"]:
        return _wrap(made)
    full = {**env, **made, **environment.path_with_binaries(made, env)}
    programs.become(["go", *args], full)


def _for_target(env: Mapping[str, str], command: str) -> dict[str, str]:
    target = Target.current()
    made = environment.platform_variables(target.platform, env)
    c = _c_variables(target, env)
    environment.check_compiler("CC" in c or "CC" in env, target, env, command)
    if note := environment.cgo_note(target, env, command):
        complain(f"xx-go: {note}\n")
    if target.is_cross and command == "install" and env.get("GOBIN"):
        complain("xx-go: go does not install foreign programs with GOBIN set: unset it, or go build -o\n")
    return {**made, **c}


def _c_variables(target: Target, env: Mapping[str, str]) -> dict[str, str]:
    """CC, CXX, AR and PKG_CONFIG, empty where no compiler for the target is here and none was asked for."""
    if env.get("CGO_ENABLED") == "0":
        return {}
    asked = env.get(environment.COMPILER_VARIABLE, "")
    from xxpy.cc import install
    from xxpy.cc.find import unknown_choice
    from xxpy.cc.toolchain import COMPILER_VARIABLE, COMPILERS, Toolchain

    if asked and asked not in COMPILERS:
        raise unknown_choice(environment.COMPILER_VARIABLE, asked, ", ".join(COMPILERS))
    chosen = {**env, COMPILER_VARIABLE: asked} if asked else env
    try:
        chain = Toolchain(target, chosen)
        folder = os.path.dirname(programs.find("xx-clang") or os.path.abspath(sys.argv[0]))
        names = install.set_up_once(chain, folder)
    except HostError:
        if asked or env.get("CGO_ENABLED") == "1":
            raise
        return {}
    made = {"CC": names.cc, "CXX": names.cxx}
    made |= {key: names.tools[end] for key, end in (("AR", "ar"), ("PKG_CONFIG", "pkg-config")) if end in names.tools}
    return made


def _state() -> str:
    from xxpy.cc.state import state_root

    return os.path.join(state_root(os.environ), _WRAPPED)


def _wrap(made: Mapping[str, str]) -> int:
    """Write ``made`` into Go's own configuration, and what stood there into the state folder."""
    if not os.path.exists(_state()):
        before = _settings()
        try:
            os.makedirs(os.path.dirname(_state()), exist_ok=True)
            with open(_state(), "w", encoding="utf-8") as file:
                file.write("".join(f"{key}={before.get(key, '')}\n" for key in made))
        except OSError as error:
            raise HostError(
                f"cannot write {_state()}: {error.strerror}", remedy="USER root above this RUN", reason="not-writable"
            ) from None
    programs.ask(["go", "env", "-w", *(f"{key}={value}" for key, value in made.items())])
    return 0


def _settings() -> dict[str, str]:
    """What the file of ``go env GOENV`` sets."""
    try:
        with open(programs.ask(["go", "env", "GOENV"]).strip(), encoding="utf-8") as file:
            rows = [line.rstrip("\n").partition("=") for line in file if "=" in line]
    except OSError:
        return {}
    return {name: value for name, _, value in rows}


def _unwrap() -> int:
    try:
        with open(_state(), encoding="utf-8") as file:
            rows = [line.partition("=") for line in file.read().splitlines()]
    except FileNotFoundError:
        return 0
    programs.ask(["go", "env", "-u", *(name for name, _, _ in rows)])
    if given := [f"{name}={value}" for name, _, value in rows if value]:
        programs.ask(["go", "env", "-w", *given])
    os.unlink(_state())
    return 0
