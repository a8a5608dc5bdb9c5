"""clang for a target: the command line, computed as a value.

Debian keeps the headers and libraries of several architectures side by side, so the sysroot is ``/`` and clang finds
them by the triple (clang, lib/Driver/ToolChains/Gnu.cpp). GNU ld is built for one architecture; lld for all.
"""

from __future__ import annotations

import os
import re

from xxpy.errors import HostError, UsageError
from xxpy.info import programs
from xxpy.info.target import Target
from xxpy.platforms import ARCHITECTURES, VARIANTS, Platform, llvm_arch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINKER_VARIABLE = "XX_CC_PREFER_LINKER"
"""``lld`` (the default) or ``ld``, the target's GNU ld."""

# Any of these says that clang is not to link (clang --help).
_NO_LINK = frozenset({
    "-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "-emit-ast", "--precompile", "--analyze", "-v", "--version",
    "-dumpversion", "-dumpmachine", "-emit-interface-stubs", "-r",
})  # fmt: skip
_CXX = ("c++", "clang++")
_ALIAS = re.compile(r"(?P<triple>[a-z0-9_]+-[a-z0-9_-]+)-(?P<tool>clang\+\+|clang|cc|c\+\+)")


def is_cxx(name: str) -> bool:
    """Whether a wrapper of this name (``xx-clang++``, ``aarch64-linux-gnu-c++``) compiles C++."""
    return name.endswith(_CXX)


def clang_triple(target: Target) -> str:
    """The triple as clang takes it: ``armv7-linux-gnueabihf``, where GCC's, ``arm-…``, would mean an older ARM."""
    gnu = target.triple
    if target.platform.os == "linux" and target.platform.arch == "arm" and gnu.startswith("arm-"):
        return llvm_arch(target.platform) + gnu.removeprefix("arm")
    return gnu


def target_of_alias(name: str, env: Mapping[str, str], current: Target) -> Target | None:
    """The target that ``<triple>-clang`` names, whatever TARGETPLATFORM says; None for a name without a triple.

    Raises UsageError (``triple-unknown``).
    """
    match = _ALIAS.fullmatch(name)
    if match is None or name.startswith("xx-"):
        return None
    triple = match["triple"]
    for candidate in (current, *_all_targets(env, current)):
        if triple in (candidate.triple, clang_triple(candidate)):
            return candidate
    raise UsageError(
        f"{name}: no target here has the triple {triple}",
        remedy="xx-clang --print-target-triple prints the one of TARGETPLATFORM",
        reason="triple-unknown",
    )


def _all_targets(env: Mapping[str, str], current: Target) -> list[Target]:
    kept = {name: value for name, value in env.items() if not name.startswith("TARGET")}
    found = []
    for arch in ARCHITECTURES:
        for variant in (*reversed(VARIANTS.get(arch, ())), "") if arch == "arm" else ("",):
            platform = Platform.of("linux", arch, variant)
            found.append(Target.from_env({**kept, "TARGETPLATFORM": str(platform)}, current.distro, os.uname().machine))
    return found


def find_clang(cxx: bool) -> str:
    """clang or clang++, else the newest ``clang-N`` on PATH. Raises HostError (``no-clang``)."""
    name = "clang++" if cxx else "clang"
    found = programs.find(name)
    if found:
        return found
    best = (-1, "")
    pattern = re.compile(re.escape(name) + r"-([0-9]+)")
    for folder in (os.environ.get("PATH") or os.defpath).split(":"):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for each in names:
            if match := pattern.fullmatch(each):
                best = max(best, (int(match[1]), os.path.join(folder, each)))
    if best[1]:
        return best[1]
    raise HostError(f"{name} is not in this stage", remedy="RUN apt-get install -y clang lld", reason="no-clang")


def links(args: Sequence[str]) -> bool:
    """Whether clang would start a linker for ``args``; without any file it does not."""
    if any(arg in _NO_LINK or arg.startswith(("-print-", "--print-", "--help", "-###")) for arg in args):
        return False
    return any(not arg.startswith("-") or arg == "-" for arg in args)


def linker_flags(target: Target, env: Mapping[str, str], clang: str) -> list[str]:
    """``-fuse-ld=…`` for the target. Raises HostError (``no-linker``), UsageError (``linker-unknown``)."""
    preferred = env.get(LINKER_VARIABLE, "") or "lld"
    if preferred not in ("lld", "ld"):
        raise UsageError(
            f"{LINKER_VARIABLE}={preferred} is not known", remedy="it takes lld or ld", reason="linker-unknown"
        )
    # clang-19 looks for ld.lld beside itself first, which is where llvm.org's packages keep lld-19.
    beside = os.path.dirname(os.path.realpath(clang))
    lld = programs.find("ld.lld") or programs.find(os.path.join(beside, "ld.lld"))
    gnu = programs.find(f"{target.triple}-ld") or ("" if target.is_cross else programs.find("ld"))
    order = [("lld", lld), ("ld", gnu)] if preferred == "lld" else [("ld", gnu), ("lld", lld)]
    for kind, path in order:
        if path:
            return ["-fuse-ld=lld"] if kind == "lld" else [f"--ld-path={path}"]
    raise HostError(
        f"there is no linker for {target.triple} in this stage",
        remedy=f"RUN apt-get install -y lld (or binutils-{target.triple.replace('_', '-')})",
        reason="no-linker",
    )


def command_line(args: Sequence[str], target: Target, env: Mapping[str, str], cxx: bool) -> list[str]:
    """clang's whole command line for ``args``. Raises HostError, UsageError."""
    clang = find_clang(cxx)
    made = [clang, f"--target={clang_triple(target)}"]
    if target.sysroot != "/":
        made.append(f"--sysroot={target.sysroot}")
    own = any(arg.startswith(("-fuse-ld", "--ld-path")) for arg in args)
    if links(args) and not own:
        made += linker_flags(target, env, clang)
    return made + list(args)


def aliases(target: Target) -> list[tuple[str, str]]:
    """Names to add beside the wrapper, each with the wrapper it stands for: GCC's triple, and clang's if it differs."""
    triples = dict.fromkeys((target.triple, clang_triple(target)))
    return [(f"{triple}-{tool}", f"xx-{tool}") for triple in triples for tool in ("clang", "clang++")]
