"""Go's variables for a target (``go help environment``; the Go wiki, "MinimumRequirements")."""

from __future__ import annotations

from xxpy.errors import HostError
from xxpy.info import programs
from xxpy.info.words import command_of
from xxpy.platforms import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xxpy.info.target import Target

COMPILER_VARIABLE = "XX_GO_PREFER_C_COMPILER"
"""``clang`` (the default), ``gcc`` or ``zig``: as XX_CC_PREFER_COMPILER, for cgo alone."""

_ARM = {"v5": "5", "v6": "6", "v7": "7", "v8": "7"}
BUILDING = frozenset({"build", "install", "test", "run", "vet", "list", "generate", "tool"})
"""Commands for which it matters whether cgo is on."""


def platform_variables(platform: Platform, env: Mapping[str, str]) -> dict[str, str]:
    """GOOS, GOARCH and the level that the variant means. A level that is set already stays as it is."""
    made = {"GOOS": platform.os, "GOARCH": platform.arch}
    level = _level(platform)
    if level and not env.get(level[0]):
        made[level[0]] = level[1]
    return made


def _level(platform: Platform) -> tuple[str, str] | None:
    arch, variant = platform.arch, platform.variant
    if arch == "arm":
        return "GOARM", _ARM.get(variant, "7")
    if not variant:
        return None
    if arch == "amd64":
        return "GOAMD64", variant
    if arch == "arm64":
        return "GOARM64", variant if "." in variant else f"{variant}.0"
    names = {"mips": "GOMIPS", "mipsle": "GOMIPS", "mips64": "GOMIPS64", "mips64le": "GOMIPS64",
             "386": "GO386", "riscv64": "GORISCV64", "ppc64le": "GOPPC64"}  # fmt: skip
    return (names[arch], variant) if arch in names else None


WASI = {"GOOS": "wasip1", "GOARCH": "wasm"}
"""For wasi/wasm, which no C toolchain here serves. Needs Go 1.21."""


def subcommand_of(args: Sequence[str]) -> str:
    """``build`` of ``-C dir build …``."""
    return command_of(args, ("-C",))


def cgo_note(target: Target, env: Mapping[str, str], command: str) -> str:
    """What to say of CGO_ENABLED: that Go decides by itself where a Dockerfile should; or nothing."""
    if env.get("CGO_ENABLED") or command not in ("build", "install", "test", "run") or not target.is_cross:
        return ""
    return (
        f"CGO_ENABLED is not set: Go takes 0 for {target.platform}, and 1 where the target is this machine; "
        "ENV CGO_ENABLED=0 or 1 makes every platform alike"
    )


def check_compiler(found: bool, target: Target, env: Mapping[str, str], command: str) -> None:
    """Raises HostError (``no-c-compiler``) if cgo is on and nothing here compiles C for the target."""
    if found or env.get("CGO_ENABLED") != "1" or command not in BUILDING:
        return
    if not target.is_cross and programs.find("gcc", env.get("PATH")):
        return
    raise HostError(
        f"CGO_ENABLED=1, and no C compiler for {target.platform} is in this stage",
        remedy="RUN apt-get install -y clang lld && xx-apt-get install -y xx-c-essentials; or ENV CGO_ENABLED=0",
        reason="no-c-compiler",
    )


def path_with_binaries(made: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """PATH with the folder that ``go install`` puts foreign programs in, as GOPATH and no GOBIN make it."""
    if env.get("GOBIN") or not env.get("GOPATH"):
        return {}
    folder = f"{env['GOPATH'].partition(':')[0]}/bin/{made['GOOS']}_{made['GOARCH']}"
    return {"PATH": f"{folder}:{env.get('PATH', '')}"}
