"""Rust's standard library for a target: whether the toolchain in use has it, and how it comes."""

from __future__ import annotations

import os

from xxpy.errors import HostError
from xxpy.info import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xxpy.info.target import Target

_TOOLCHAIN_FILES = ("rust-toolchain.toml", "rust-toolchain")


def has_rustup(env: Mapping[str, str]) -> bool:
    """Whether the toolchains of this stage are rustup's."""
    return bool(programs.find("rustup", env.get("PATH")))


def ensure(triple: str, toolchain: str, target: Target, env: Mapping[str, str], state: str) -> None:
    """See that the toolchain of this call has the library of ``triple``: fetched once, then remembered in ``state``.

    ``toolchain`` is that of ``+toolchain``, or empty. Raises HostError (``no-rust``, ``no-std``, ``program-failed``).
    """
    rustup = has_rustup(env)
    key = _key(toolchain, env) if rustup else _real_rustc(env)
    remembered = os.path.join(state, f"rust-{_digest(key)}")
    sysroot = _read(remembered)
    if sysroot and _is_there(sysroot, triple):
        return
    rustc = programs.find("rustc", env.get("PATH"))
    if not rustc:
        raise HostError(
            "rustc is not in this stage",
            remedy="install rustup (https://rustup.rs), or: RUN apt-get install -y cargo",
            reason="no-rust",
        )
    sysroot = programs.ask([rustc, *([f"+{toolchain}"] if toolchain else []), "--print", "sysroot"]).strip()
    if not _is_there(sysroot, triple):
        with _Lock(state):
            if not _is_there(sysroot, triple):
                _fetch(triple, toolchain, sysroot, target, rustup)
        if not _is_there(sysroot, triple):
            raise HostError(
                f"{sysroot}/lib/rustlib/{triple} did not come with it",
                remedy="rustc --print target-list says what it knows; its library may be of another version",
                reason="no-std",
            )
    _remember(remembered, sysroot)


def _is_there(sysroot: str, triple: str) -> bool:
    return os.path.isdir(f"{sysroot}/lib/rustlib/{triple}/lib")


def _fetch(triple: str, toolchain: str, sysroot: str, target: Target, rustup: bool) -> None:
    if rustup:
        argv = ["rustup", "target", "add", *(["--toolchain", toolchain] if toolchain else []), triple]
    elif target.distro.family == "alpine":
        argv = ["xx-apk", "add", "--no-cache", "rust-stdlib"]
    elif target.distro.family == "debian":
        argv = ["xx-apt-get", "install", "-q", "-y", "--no-install-recommends", _debian_package(sysroot, target)]
    else:
        raise HostError(
            f"there is no Rust standard library for {triple} in this stage, and no rustup to fetch it",
            remedy="install rustup (https://rustup.rs)",
            reason="no-std",
        )
    programs.ask(argv)


def _debian_package(sysroot: str, target: Target) -> str:
    """The package that has this machine's library (``libstd-rust-dev``, ``libstd-rust-web-dev``), or Windows' own."""
    if target.platform.os == "windows":
        return "libstd-rust-dev-windows"
    host = [name for name in _names(f"{sysroot}/lib/rustlib") if name.endswith("-linux-gnu")]
    for name in host:
        try:
            found = programs.ask(["dpkg", "-S", f"{sysroot}/lib/rustlib/{name}/lib"])
        except HostError:
            continue
        return found.partition(":")[0].partition(",")[0]
    return "libstd-rust-dev"


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _real_rustc(env: Mapping[str, str]) -> str:
    return os.path.realpath(programs.find("rustc", env.get("PATH")) or "rustc")


def _key(toolchain: str, env: Mapping[str, str]) -> str:
    """What decides which toolchain rustup takes (the rustup book, "Overrides"): as text, to be compared."""
    home = env.get("RUSTUP_HOME", "") or os.path.join(env.get("HOME", "/"), ".rustup")
    parts = [toolchain, env.get("RUSTUP_TOOLCHAIN", ""), home, _stamp(os.path.join(home, "settings.toml"))]
    folder = os.getcwd()
    while True:
        parts += [_stamp(os.path.join(folder, name)) for name in _TOOLCHAIN_FILES]
        if folder == os.path.dirname(folder):
            return "\n".join(parts)
        folder = os.path.dirname(folder)


def _stamp(path: str) -> str:
    try:
        info = os.stat(path)
    except OSError:
        return ""
    return f"{path} {info.st_mtime_ns} {info.st_size}"


def _digest(text: str) -> str:
    from zlib import crc32

    return f"{crc32(text.encode(errors='surrogateescape')):08x}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(4096).strip()
    except (OSError, ValueError):
        return ""


def _remember(path: str, sysroot: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(sysroot)
        os.replace(temporary, path)
    except OSError:
        # It is asked for again the next time.
        return


class _Lock:
    """One fetch at a time: neither rustup nor apt waits for another of its kind."""

    def __init__(self, state: str) -> None:
        self._path = os.path.join(os.path.dirname(state), "rust.lock")
        self._fd = -1

    def __enter__(self) -> None:
        import fcntl

        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise HostError(
                f"cannot lock {self._path}: {error.strerror}", remedy="USER root above this RUN", reason="not-writable"
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
