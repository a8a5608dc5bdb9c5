"""Where the compilers, linkers and their tools are in this stage: on PATH, under versioned names, beside clang."""

from __future__ import annotations

import os

from xxpy.errors import HostError, UsageError
from xxpy.info import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLANG_VARIABLE = "XX_CLANG"
"""A clang to take rather than the one on PATH: a path, or a name as ``clang-19``."""


def search_path(env: Mapping[str, str]) -> list[str]:
    """The folders of PATH."""
    return (env.get("PATH") or os.defpath).split(":")


def find_clang(cxx: bool, env: Mapping[str, str]) -> str:
    """clang or clang++: XX_CLANG, else the one on PATH, else the newest ``clang-N`` there.

    A ``clang`` that is a symlink to a wrapper of ours is passed over. Raises HostError (``no-clang``).
    """
    name = "clang++" if cxx else "clang"
    if asked := env.get(CLANG_VARIABLE, ""):
        return _asked_clang(asked, cxx, env)
    for folder in search_path(env):
        full = os.path.join(folder, name)
        if _runs(full) and not os.path.basename(os.path.realpath(full)).startswith("xx-"):
            return full
    if best := max(_versioned(name, env), default=None):
        return best[1]
    raise HostError(f"{name} is not in this stage", remedy=programs.how_to_install("clang lld"), reason="no-clang")


def _asked_clang(asked: str, cxx: bool, env: Mapping[str, str]) -> str:
    found = programs.find(asked, env.get("PATH"))
    if not found:
        raise HostError(
            f"{CLANG_VARIABLE}={asked}: there is no such program in this stage",
            remedy="name a clang by its path, or as clang-19",
            reason="no-clang",
        )
    if not cxx:
        return found
    folder, name = os.path.split(found)
    twin = os.path.join(folder, name.replace("clang", "clang++", 1))
    # The one program is both: which, its name says.
    return twin if _runs(twin) else os.path.join(os.path.dirname(os.path.realpath(found)), "clang++")


def _versioned(name: str, env: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for folder in search_path(env):
        try:
            entries = os.listdir(folder)
        except OSError:
            continue
        for entry in entries:
            version = entry.removeprefix(f"{name}-")
            if version != entry and version.isdecimal():
                yield int(version), os.path.join(folder, entry)


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def find_llvm(tool: str, clang: str, env: Mapping[str, str]) -> str:
    """LLVM's ``tool`` (``ld.lld``, ``llvm-ar``): beside clang's real file, on PATH, as ``tool-N``; or empty.

    The one beside clang is of clang's version, which those of PATH need not be.
    """
    beside = os.path.join(os.path.dirname(os.path.realpath(clang)), tool) if clang else ""
    if beside and _runs(beside):
        return beside
    found = programs.find(tool, env.get("PATH"))
    if found:
        return found
    best = max(_versioned(tool, env), default=None)
    return best[1] if best else ""


def llvm_version(program: str) -> int:
    """The major version of an LLVM program, by its folder (``/usr/lib/llvm-19/bin``) or by asking; 0 if unknown."""
    for part in os.path.realpath(program).split("/"):
        version = part.removeprefix("llvm-")
        if version != part and version.isdecimal():
            return int(version)
    try:
        words = programs.ask([program, "--version"]).replace("LLD", "version").split()
    except HostError:
        return 0
    # "Debian clang version 19.1.7", "LLD 19.1.7"
    after = words[words.index("version") + 1 :] if "version" in words else []
    major = after[0].partition(".")[0] if after else ""
    return int(major) if major.isdecimal() else 0


def find_zig(env: Mapping[str, str]) -> list[str]:
    """How zig is started: from PATH, else PyPI's ``ziglang`` of the stage's Python.

    Raises HostError (``no-zig``).
    """
    if found := programs.find("zig", env.get("PATH")):
        return [found]
    for python in ("python3", "python"):
        full = programs.find(python, env.get("PATH"))
        if not full:
            continue
        code = "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
        try:
            path = programs.ask([full, "-c", code]).strip()
        except HostError:
            continue
        if _runs(path):
            return [path]
    raise HostError("zig is not in this stage", remedy="put zig on PATH, or: pip install ziglang", reason="no-zig")


def find_gcc(triple: str, cross: bool, cxx: bool, env: Mapping[str, str]) -> str:
    """GCC for the triple. Raises HostError (``no-gcc``)."""
    name = "g++" if cxx else "gcc"
    path = env.get("PATH")
    found = programs.find(f"{triple}-{name}", path) or ("" if cross else programs.find(name, path))
    if found:
        return found
    raise HostError(
        f"{triple}-{name} is not in this stage",
        remedy=f"RUN xx-apt-get install -y {name} binutils",
        reason="no-gcc",
    )


def unknown_choice(variable: str, value: str, known: str) -> UsageError:
    """The error for a value that a variable of ours does not take."""
    return UsageError(f"{variable}={value} is not known", remedy=f"it takes {known}", reason="choice-unknown")
