"""Which linker serves a target: what is asked for, what is installed, and what lld cannot do."""

from __future__ import annotations

import os

from xxpy.cc.find import find_llvm, llvm_version, unknown_choice
from xxpy.errors import HostError
from xxpy.info import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xxpy.info.target import Target

LINKER_VARIABLE = "XX_CC_PREFER_LINKER"
"""``lld`` (the default), ``ld``, ``gold`` or ``mold``: tried first; another one that is there serves as well."""
STATIC_VARIABLE = "XX_CC_PREFER_STATIC_LINKER"
"""Any text: GNU ld for ppc64le and 386, where lld has made static programs that do not run."""

KINDS = ("lld", "ld", "gold", "mold")

# The first lld that links for the architecture: release notes of lld 15 (RISC-V relaxation), 17 (LoongArch), 18
# (SystemZ). Architectures that are not here have been served by every lld of a distribution in use.
LLD_SINCE: Mapping[str, int] = {"riscv64": 15, "loong64": 17, "s390x": 18}
_NO_MOLD = ("mips", "mipsle", "mips64", "mips64le")


class Linker:
    """A linker of this stage. ``kind`` is of `KINDS`, ``path`` the program, ``beside`` whether it lies beside clang."""

    __slots__ = ("beside", "kind", "path")

    def __init__(self, kind: str, path: str, beside: bool = False) -> None:
        self.kind = kind
        self.path = path
        self.beside = beside

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Linker) and (self.kind, self.path) == (other.kind, other.path)

    def __hash__(self) -> int:
        return hash((self.kind, self.path))

    def __repr__(self) -> str:
        return f"Linker({self.kind!r}, {self.path!r})"

    @property
    def flags(self) -> list[str]:
        """For clang. It has to know lld by its name too: how link-time optimisation is asked for depends on it.

        clang looks beside itself first. Only for what lies elsewhere is the path given, since it would win over a
        ``-fuse-ld`` of the user's that follows.
        """
        name = f"-fuse-ld={'bfd' if self.kind == 'ld' else self.kind}"
        return [name] if self.beside else [name, f"--ld-path={self.path}"]


def find_linker(target: Target, env: Mapping[str, str], clang: str) -> Linker:
    """Raises HostError (``no-linker``, ``lld-too-old``), UsageError (``choice-unknown``)."""
    preferred = env.get(LINKER_VARIABLE, "") or "lld"
    if preferred not in KINDS:
        raise unknown_choice(LINKER_VARIABLE, preferred, ", ".join(KINDS))
    arch = target.platform.arch
    if env.get(STATIC_VARIABLE) and arch in ("ppc64le", "386") and preferred == "lld":
        preferred = "ld"
    found = {kind: path for kind in KINDS if (path := _path_of(kind, target, env, clang))}
    too_old = 0
    if "lld" in found and target.platform.os == "linux" and arch in LLD_SINCE:
        version = llvm_version(found["lld"])
        if version < LLD_SINCE[arch]:
            too_old = version
            del found["lld"]
    for kind in (preferred, "lld", "ld", "gold", "mold"):
        if kind in found:
            path = found[kind]
            beside = kind == "lld" and os.path.dirname(path) == os.path.dirname(os.path.realpath(clang))
            return Linker(kind, path, beside)
    binutils = f"binutils-{target.triple.replace('_', '-')}"
    if too_old:
        raise HostError(
            f"lld {too_old} does not link for {target.platform} (lld {LLD_SINCE[arch]} does)",
            remedy=f"RUN apt-get install -y {binutils}, or a newer lld",
            reason="lld-too-old",
        )
    raise HostError(
        f"there is no linker for {target.triple} in this stage",
        remedy="RUN apt-get install -y lld" + (f" (or {binutils})" if target.platform.os == "linux" else ""),
        reason="no-linker",
    )


def _path_of(kind: str, target: Target, env: Mapping[str, str], clang: str) -> str:
    path = env.get("PATH")
    system = target.platform.os
    if kind == "lld":
        return find_llvm("ld64.lld" if system == "darwin" else "ld.lld", clang, env)
    if system == "darwin" or (system != "linux" and kind in ("gold", "mold")):
        return ""
    triple = target.triple
    if kind == "ld":
        own = programs.find(f"{triple}-ld.bfd", path) or programs.find(f"{triple}-ld", path)
        if not own and target.sysroot != "/":
            own = programs.find(f"{target.sysroot}bin/ld")
        return own or ("" if target.is_cross else programs.find("ld.bfd", path) or programs.find("ld", path))
    if kind == "gold":
        own = programs.find(f"{triple}-ld.gold", path) or programs.find(f"{triple}-gold", path)
        return own or ("" if target.is_cross else programs.find("ld.gold", path) or programs.find("gold", path))
    return "" if target.platform.arch in _NO_MOLD else programs.find("mold", path)


def rpath_link(target: Target, linker: Linker, folders: list[str]) -> list[str]:
    """For GNU ld and gold: where libraries lie that a library needs which the program names. lld does not look."""
    if linker.kind not in ("ld", "gold") or target.platform.os != "linux" or not target.is_cross:
        return []
    return [f"-Wl,-rpath-link,{folder}" for folder in folders if os.path.isdir(folder)]
