"""What a set-up leaves in the stage: aliases, clang's configuration file, and the files for build systems.

An alias is a symlink to clang itself wherever clang reads its configuration by the name it is called with: then it
costs nothing at compile time. Everything is written to a temporary name and renamed, so two at once do no harm.
"""

from __future__ import annotations

import os

from xxpy.cc import describe, state
from xxpy.cc.clang import is_cxx
from xxpy.cc.describe import Names
from xxpy.cc.find import search_path
from xxpy.cc.sdk import XCRUN
from xxpy.cc.toolchain import CHOICES, Toolchain
from xxpy.errors import HostError
from xxpy.info import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TOOLS = ("ar", "nm", "strip", "ranlib", "readelf", "objcopy", "objdump", "addr2line", "dlltool", "profdata")
CMAKE, MESON, SITE = "toolchain.cmake", "cross.ini", "config.site"
_NAMES = "names"
_ALIAS = "alias"
_SCRIPT = "#!/bin/sh\n# xx\n"
"""How an alias that is a script begins."""


def set_up(chain: Toolchain, folder: str) -> Names:
    """Make the aliases in ``folder`` and the files below the state folder. Raises HostError (``not-writable``)."""
    try:
        if chain.compiler == "clang":
            _configure_clang(chain)
        names = _aliases(chain, folder)
        home = state_folder(chain)
        _write(os.path.join(home, CMAKE), describe.cmake_toolchain(chain, names))
        _write(os.path.join(home, MESON), describe.meson_cross(chain, names))
        _write(os.path.join(home, SITE), describe.config_site(chain, names))
        _remember_alias(chain, names.cc)
    except OSError as error:
        raise HostError(
            f"cannot write {error.filename or folder}: {error.strerror}",
            remedy="USER root above this RUN, and no read-only root; xx-clang itself needs no set-up",
            reason="not-writable",
        ) from None
    return names


def _remember_alias(chain: Toolchain, alias: str) -> None:
    """Tell the launcher of xx-clang that ``alias`` does what xx-clang would, or that it does not.

    Three lines: the alias; ``any``, or ``compile`` where a link depends on the folders that are there at that moment
    (`rpath_link`); the platform, since platforms that differ in their level alone have one triple.
    """
    path = os.path.join(state_folder(chain), _ALIAS)
    chosen = any(chain.env.get(name) for name in CHOICES)
    same = chain.compiler == "clang" and os.path.realpath(alias) == os.path.realpath(chain.clang)
    if chosen or not same or chain.linker is None:
        if os.path.lexists(path):
            os.unlink(path)
        return
    moment = chain.linker.kind in ("ld", "gold") and chain.target.is_cross
    _write(path, f"{alias}\n{'compile' if moment else 'any'}\n{chain.target.platform}\n")


def set_up_once(chain: Toolchain, folder: str) -> Names:
    """The names of an earlier set-up, if it was for the same programs; else as `set_up`."""
    remembered = os.path.join(state_folder(chain), _NAMES)
    key = " ".join([*chain.cc, *chain.cxx, *chain.link_flags, folder, programs.find("pkg-config")])
    try:
        with open(remembered, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError):
        lines = []
    if len(lines) >= 3 and lines[0] == key and os.path.exists(lines[1]):
        return Names(lines[1], lines[2], dict(line.split("=", 1) for line in lines[3:] if "=" in line))
    names = set_up(chain, folder)
    rows = [key, names.cc, names.cxx, *(f"{tool}={path}" for tool, path in names.tools.items())]
    _write(remembered, "\n".join(rows) + "\n")
    return names


def state_folder(chain: Toolchain) -> str:
    """Where the files of this triple lie."""
    return os.path.join(state.state_root(chain.env), chain.triple)


def _triples(chain: Toolchain) -> list[str]:
    return list(dict.fromkeys((chain.triple, chain.target.triple)))


def _configure_clang(chain: Toolchain) -> None:
    """Beside clang's real file, under each name that some version looks for.

    Before version 16 that is the alias's own beginning, since then the normalised triple (Clang's user manual,
    "Configuration files").
    """
    text = describe.clang_config(chain)
    _write(os.path.join(state_folder(chain), "clang.cfg"), text)
    if not _reads_config(chain.clang):
        return
    beside = os.path.dirname(os.path.realpath(chain.clang))
    for triple in _triples(chain):
        normal = programs.ask([chain.clang, f"--target={triple}", "-print-target-triple"]).strip()
        own = text
        if triple != chain.triple:
            # The name's own architecture comes after the file's and wins: say its level in another way.
            own = text.replace(f"--target={chain.triple}\n", "")
        for name in dict.fromkeys((triple, normal)):
            if name and "/" not in name:
                _write(os.path.join(beside, f"{name}.cfg"), own)


def _reads_config(clang: str) -> bool:
    return os.path.basename(os.path.realpath(clang)).startswith("clang") and os.access(
        os.path.dirname(os.path.realpath(clang)), os.W_OK
    )


def _aliases(chain: Toolchain, folder: str) -> Names:
    tools: dict[str, str] = {}
    for triple in reversed(_triples(chain)):
        for end in _ends(chain):
            _compiler_alias(chain, os.path.join(folder, f"{triple}-{end}"))
        for tool in _TOOLS:
            if path := _tool_alias(chain, tool, folder, triple):
                tools[tool] = path
        for tool, text in _scripts(chain, folder).items():
            path = os.path.join(folder, f"{triple}-{tool}")
            if _may_be_replaced(path):
                _write(path, text, 0o755)
            tools[tool] = path
    if chain.target.platform.os == "darwin" and not programs.find("xcrun"):
        _write(os.path.join(folder, "xcrun"), XCRUN, 0o755)
    cc, cxx = (os.path.join(folder, f"{chain.triple}-{end}") for end in _ends(chain)[:2])
    return Names(cc, cxx, tools)


def _ends(chain: Toolchain) -> tuple[str, ...]:
    """What the compiler's aliases end with, the two to be told of first. gcc has its own names beside them."""
    return ("clang", "clang++", "cc", "c++") if chain.compiler == "clang" else ("cc", "c++")


def _compiler_alias(chain: Toolchain, path: str) -> None:
    argv = chain.cxx if is_cxx(path) else chain.cc
    if chain.compiler == "clang" and _reads_config(chain.clang):
        if _may_be_replaced(path):
            _link(os.path.realpath(chain.clang), path)
        return
    if chain.compiler == "clang":
        argv = [argv[0], "--config", os.path.join(state_folder(chain), "clang.cfg")]
    words = " ".join(describe.shell_word(word) for word in argv)
    if _may_be_replaced(path):
        _write(path, f'{_SCRIPT}exec {words} "$@"\n', 0o755)


def _tool_alias(chain: Toolchain, tool: str, folder: str, triple: str) -> str:
    alias = os.path.join(folder, f"{triple}-{tool}")
    found = chain.tool(tool)
    if not found:
        return ""
    if not _may_be_replaced(alias):
        return alias
    if os.path.realpath(found) != os.path.realpath(alias):
        # GNU's and LLVM's multi-call programs go by their name, which a triple with dots hides from them.
        if "." in triple:
            _write(alias, f'{_SCRIPT}exec {found} "$@"\n', 0o755)
        else:
            _link(found, alias)
    return alias


def _scripts(chain: Toolchain, folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    path = chain.env.get("PATH")
    if programs.find("pkg-config", path):
        found["pkg-config"] = describe.pkg_config_script(chain, "pkg-config", _SCRIPT)
    cc = os.path.join(folder, f"{chain.triple}-clang")
    if chain.compiler == "clang":
        # llvm-as is another thing: it reads LLVM's own assembly.
        found["as"] = f'{_SCRIPT}exec {cc} -c -x assembler -o a.out "$@"\n'
        if chain.linker is not None and not programs.find(f"{chain.target.triple}-ld", path):
            found["ld"] = f'{_SCRIPT}exec {chain.linker.path} "$@"\n'
    if chain.target.platform.os == "windows" and programs.find("llvm-rc", path):
        found["windres"] = f'{_SCRIPT}exec xx-windres --target={chain.target.triple} "$@"\n'
    return found


def _may_be_replaced(path: str) -> bool:
    """Whether nothing is at ``path``, or an alias of ours: what a package has put there stays, as GNU's assembler."""
    if not os.path.lexists(path):
        return True
    if os.path.islink(path):
        return os.path.basename(os.path.realpath(path)).startswith(("clang", "llvm-", "lld", "ld.lld", "ld64"))
    try:
        with open(path, "rb") as file:
            return file.read(len(_SCRIPT)) == _SCRIPT.encode()
    except OSError:
        return False


def _link(to: str, path: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    os.symlink(to, temporary)
    os.replace(temporary, path)


def _write(path: str, text: str, mode: int = 0o644) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


def wrap(home: str, env: Mapping[str, str]) -> list[str]:
    """Have ``clang`` and ``clang++`` mean the wrappers in the folder ``home``, until `unwrap`: symlinks before clang's.

    The paths that were made. Raises HostError (``not-writable``).
    """
    made = [link_clang(name, home, env) for name in ("clang", "clang++")]
    try:
        _write(state.autowrap(env), "")
    except OSError as error:
        raise HostError(
            f"cannot write {state.state_root(env)}: {error.strerror}",
            remedy="USER root above this RUN",
            reason="not-writable",
        ) from None
    return made


def link_clang(name: str, home: str, env: Mapping[str, str]) -> str:
    """Make ``name`` a symlink to the wrapper in ``home``, before clang on PATH. Raises HostError (``not-writable``)."""
    for folder in search_path(env):
        path = os.path.join(folder, name)
        if _is_ours(path, home, name):
            return path
        if os.path.lexists(path):
            break
        if os.path.isdir(folder) and os.access(folder, os.W_OK):
            _link(os.path.join(home, f"xx-{name}"), path)
            return path
    raise HostError(
        f"no folder of PATH before that of {name} can be written to",
        remedy="USER root above this RUN, and /usr/local/bin before /usr/bin in PATH",
        reason="not-writable",
    )


def _is_ours(path: str, home: str, name: str) -> bool:
    return os.path.islink(path) and os.readlink(path) == os.path.join(home, f"xx-{name}")


def unwrap(home: str, env: Mapping[str, str]) -> None:
    """Undo `wrap`. Nothing happens where nothing was wrapped."""
    for folder in search_path(env):
        for name in ("clang", "clang++"):
            path = os.path.join(folder, name)
            if _is_ours(path, home, name):
                os.unlink(path)
    if state.is_wrapped(env):
        os.unlink(state.autowrap(env))
