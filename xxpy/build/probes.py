"""What this machine has of what a build needs, found out without changing it, each lack with the command that mends it.

`xx doctor` prints every Probe; `xx build` takes its emulators and its OCI runtime from the same functions, so that
the two cannot disagree.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from xxpy.build.engine import trial
from xxpy.build.engine.emulation import host_registration
from xxpy.build.engine.namespace import id_maps
from xxpy.build.engine.network import PROGRAM
from xxpy.build.tools import (
    VERSION_UNKNOWN,
    Emulator,
    Runtime,
    cgroup_v1,
    crun_refuses,
    find_emulator,
    find_program,
    find_runtime,
    version_of,
)
from xxpy.build.twins.dispatcher import can_dispatch
from xxpy.errors import HostError, XxError

__all__ = ["Emulator", "Probe", "Runtime", "State", "all_probes", "find_emulator", "find_runtime", "works"]

OVERLAY_KERNEL = (5, 11)
"""The first Linux whose overlayfs mounts in a user namespace (option ``userxattr``, Documentation/filesystems)."""
BINFMT_KERNEL = (6, 7)
"""The first Linux with binfmt_misc instances of a user namespace's own."""
LITTLE_SPACE = 5 << 30
NO_SPACE = 200 << 20
FEWEST_IDS = 65536
"""Ids that images of the common distributions use: 0 to nobody's, 65534."""

_KEYRINGS = {"debian-archive-keyring": "Debian", "ubuntu-archive-keyring": "Ubuntu"}


class State(Enum):
    """``OK`` works; ``WARN`` limits what can be built; ``MISSING`` makes a build fail."""

    OK = "ok"
    WARN = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Probe:
    """One thing looked for: what was found, and the one command or change that mends it (empty when OK)."""

    name: str
    state: State
    found: str
    remedy: str = ""


def works(probes: Iterable[Probe]) -> bool:
    """Whether a build would run on a machine that these were found on."""
    return all(probe.state is not State.MISSING for probe in probes)


def all_probes(
    store_root: Path, architectures: Iterable[str], others: Iterable[str] = (), root: Path = Path("/")
) -> list[Probe]:
    """Look at everything a build uses, in the order in which a user would mend it.

    ``architectures`` are the QEMU names (``aarch64``) that must run; a lack of one of ``others`` is only a warning.
    ``root`` is where /proc, /sys and /usr/share are read from. Tries take some hundredths of a second together; the
    store's file system is tried in a folder that is removed again.
    """
    needed = tuple(architectures)
    with _scratch_in(existing_parent(store_root)) as folder:
        attempts: dict[str, trial.Attempt] = {
            "proc": trial.mount_proc,
            "overlay": lambda: trial.mount_overlay(""),
            "binfmt": trial.mount_binfmt,
        }
        if folder:
            attempts["store"] = lambda: trial.mount_overlay(folder)
        tried = trial.attempt_all(attempts)
    return [
        probe_kernel(),
        probe_namespaces(tried, root),
        probe_ids(),
        probe_overlay(tried),
        probe_binfmt(tried, needed, root),
        *(probe_emulator(arch, State.MISSING) for arch in needed),
        *(probe_emulator(arch, State.WARN) for arch in others),
        probe_runtime(root),
        probe_network(),
        probe_twins(tried),
        probe_store(store_root, tried if folder else {"store": "this user may not write there"}),
        probe_bootstrap(root),
    ]


def as_root(command: str) -> str:
    """A command line that needs root, as the present user types it."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def install(*packages: str) -> str:
    """The command that installs packages of Debian and Ubuntu."""
    return as_root(f"apt-get install -y {' '.join(packages)}")


def kernel_version(release: str) -> tuple[int, int]:
    """The first two numbers of a ``uname -r``; (0, 0) for what has none."""
    numbers = release.replace("-", ".").split(".")[:2]
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers):
        return (0, 0)
    return (int(numbers[0]), int(numbers[1]))


def probe_kernel(release: str = "") -> Probe:
    """``release`` is a ``uname -r``; empty for this machine's."""
    release = release or os.uname().release
    if kernel_version(release) >= OVERLAY_KERNEL:
        return Probe("kernel", State.OK, f"Linux {release}")
    needed = ".".join(map(str, OVERLAY_KERNEL))
    remedy = "upgrade the distribution: Debian 12 and Ubuntu 22.04 have a newer kernel"
    return Probe("kernel", State.MISSING, f"Linux {release}, older than {needed}", remedy)


def probe_namespaces(tried: Mapping[str, str], root: Path = Path("/")) -> Probe:
    """``tried`` is what `trial.attempt_all` answered."""
    refusal = tried.get("namespace", "")
    if refusal:
        cause, remedy = _namespace_cause(root)
        return Probe("user namespaces", State.MISSING, f"{refusal}: {cause}", remedy)
    if tried.get("proc"):
        return Probe(
            "user namespaces",
            State.MISSING,
            f"no /proc of their own: {tried['proc']}; a container hides parts of /proc",
            "docker run --security-opt systempaths=unconfined …, or build outside the container",
        )
    return Probe("user namespaces", State.OK, "one was made, with its own /proc")


def _namespace_cause(root: Path) -> tuple[str, str]:
    """Which setting forbids user namespaces, and how to allow them; files under ``root``/proc/sys."""
    limit = _setting(root, "user/max_user_namespaces")
    if limit is not None and limit < 1:
        return _sysctl("user.max_user_namespaces", limit, "15000")
    # A patch of Debian's kernels.
    clone = _setting(root, "kernel/unprivileged_userns_clone")
    if clone == 0:
        return _sysctl("kernel.unprivileged_userns_clone", clone, "1")
    # Ubuntu 23.10 and later; https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces
    confined = _setting(root, "kernel/apparmor_restrict_unprivileged_userns")
    if confined:
        return _sysctl("kernel.apparmor_restrict_unprivileged_userns", confined, "0")
    return (
        "no setting forbids it, so a container's seccomp profile does",
        "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined …",
    )


def _setting(root: Path, name: str) -> int | None:
    try:
        return int((root / "proc/sys" / name).read_text())
    except (OSError, ValueError):
        return None


def _sysctl(name: str, value: int, wanted: str) -> tuple[str, str]:
    command = f"sysctl -w {name}={wanted}"
    return f"{name} is {value}", as_root(f"sh -c 'echo {name}={wanted} >/etc/sysctl.d/60-xx.conf; {command}'")


def probe_ids() -> Probe:
    """Subordinate ids and the programs that map them, which root needs not."""
    if os.geteuid() == 0:
        return Probe("subordinate ids", State.OK, "root maps every id itself")
    for program in ("newuidmap", "newgidmap"):
        path = find_program(program)
        if path is None:
            return Probe("subordinate ids", State.MISSING, f"{program} is not installed", install("uidmap"))
        if not _may_map(path):
            remedy = as_root("apt-get install -y --reinstall uidmap")
            return Probe("subordinate ids", State.MISSING, f"{path} is not setuid root and has no capability", remedy)
    try:
        maps = id_maps()
    except HostError as error:
        return Probe("subordinate ids", State.MISSING, error.message, error.remedy)
    count = min(sum(one.count for one in ranges) for ranges in (maps.uids, maps.gids))
    if count < FEWEST_IDS:
        user = os.environ.get("USER", str(os.geteuid()))
        remedy = as_root(f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}")
        return Probe("subordinate ids", State.WARN, f"{count} ids, images use up to {FEWEST_IDS}", remedy)
    return Probe("subordinate ids", State.OK, f"{count} ids")


def _may_map(path: str) -> bool:
    if os.stat(path).st_mode & stat.S_ISUID:
        return True
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def probe_overlay(tried: Mapping[str, str]) -> Probe:
    """Overlayfs in a user namespace, on a tmpfs."""
    if "overlay" not in tried:
        return Probe("overlayfs", State.MISSING, "not tried: there is no user namespace", "mend user namespaces first")
    if not tried["overlay"]:
        return Probe("overlayfs", State.OK, "mounts in a user namespace, changes stay apart")
    return Probe("overlayfs", State.MISSING, tried["overlay"], as_root("modprobe overlay"))


def probe_binfmt(tried: Mapping[str, str], architectures: Iterable[str], root: Path = Path("/")) -> Probe:
    """How the kernel learns of QEMU: by an instance of the build's own, else by what the host has registered."""
    if tried.get("binfmt") == "":
        return Probe("binfmt_misc", State.OK, "the build registers QEMU in a user namespace of its own")
    lacks = {arch: why for arch in architectures if (why := host_registration(arch, root))}
    why_not = tried.get("binfmt", "no user namespace")
    if not lacks:
        return Probe("binfmt_misc", State.OK, f"registered on the host (none of the build's own: {why_not})")
    texts = ", ".join(f"{arch} {why}" for arch, why in lacks.items())
    return Probe(
        "binfmt_misc",
        State.MISSING,
        f"none of the build's own before Linux {'.'.join(map(str, BINFMT_KERNEL))} ({why_not}); on the host {texts}",
        install("--reinstall", "qemu-user-static", "binfmt-support"),
    )


def probe_emulator(arch: str, lack: State) -> Probe:
    """QEMU for ``arch``; ``lack`` is the state if there is none."""
    emulator = find_emulator(arch)
    if emulator is None:
        return Probe(f"QEMU {arch}", lack, "no statically linked QEMU", install("qemu-user-static"))
    return Probe(f"QEMU {arch}", State.OK, f"{emulator.version}, {emulator.path}")


def probe_runtime(root: Path = Path("/")) -> Probe:
    """The OCI runtime that `find_runtime` takes."""
    try:
        runtime = find_runtime(root)
    except HostError as error:
        return Probe("OCI runtime", State.MISSING, error.message, error.remedy)
    if runtime is None:
        package = "runc" if cgroup_v1(root) else "crun"
        return Probe("OCI runtime", State.MISSING, "neither crun nor runc is installed", install(package))
    found = f"{runtime.name} {runtime.version}, {runtime.path}"
    if runtime.name == "crun" and crun_refuses(root):
        return Probe("OCI runtime", State.MISSING, f"{found}: it refuses hybrid cgroups", install("runc"))
    return Probe("OCI runtime", State.OK, found)


def probe_network(tun: Path = Path("/dev/net/tun")) -> Probe:
    """slirp4netns, which connects each step's own network, and the kernel's ``tun`` devices, which it needs."""
    path = find_program(PROGRAM)
    if path is None:
        return Probe("step networks", State.WARN, f"{PROGRAM} is not installed: {_SHARED}", install(PROGRAM))
    try:
        os.close(os.open(tun, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return Probe("step networks", State.WARN, f"there is no {tun}: {_SHARED}", as_root("modprobe tun"))
    except OSError as error:
        return Probe("step networks", State.WARN, f"{tun}: {error.strerror}: {_SHARED}", as_root(f"chmod 666 {tun}"))
    return Probe("step networks", State.OK, f"each its own, {PROGRAM} {version_of(path)}")


def probe_twins(tried: Mapping[str, str]) -> Probe:
    """What lets emulated steps start this machine's programs: a binfmt_misc of the build's own, and the dispatcher."""
    if tried.get("binfmt") != "":
        why = f"none before Linux {'.'.join(map(str, BINFMT_KERNEL))}: emulated steps are run by QEMU alone"
        return Probe("twins", State.WARN, why, "upgrade the kernel")
    if not can_dispatch():
        return Probe(
            "twins", State.WARN, "no C compiler for the dispatcher: QEMU alone runs emulated steps", install("gcc")
        )
    return Probe("twins", State.OK, "emulated steps start this machine's programs where the result is the same")


_SHARED = "steps share the host's network"


def existing_parent(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    path = path.absolute()
    # Path.is_dir raises for what lies in a folder that this user may not enter.
    return next((one for one in (path, *path.parents) if os.path.isdir(one)), Path("/"))


@contextlib.contextmanager
def _scratch_in(parent: Path) -> Iterator[str]:
    """A folder in ``parent`` for a try, removed at the end; an empty text where none can be made."""
    try:
        made = tempfile.mkdtemp(prefix=".xx-try-", dir=parent)
    except OSError:
        yield ""
        return
    try:
        yield made
    finally:
        # overlayfs makes a folder that its owner cannot read.
        for folder in _folders(Path(made)):
            folder.chmod(0o700)
        shutil.rmtree(made)


def _folders(top: Path) -> Iterator[Path]:
    yield top  # The caller makes it readable before it is read here.
    for entry in list(os.scandir(top)):
        if entry.is_dir(follow_symlinks=False):
            yield from _folders(Path(entry.path))


def probe_store(
    store_root: Path, tried: Mapping[str, str], statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
) -> Probe:
    """The file system that the store is on or will be made on: overlayfs over it, and space."""
    place = existing_parent(store_root)
    refusal = tried.get("store", "")
    if refusal:
        remedy = as_root(f"install -d -o {os.geteuid()} {store_root}")
        if os.access(place, os.W_OK):
            remedy = "keep the store on ext4, xfs, btrfs or a tmpfs (a Docker volume, inside a container)"
        return Probe("store", State.MISSING, f"{store_root}: {refusal}", remedy)
    info = statvfs(place)
    free = info.f_bavail * info.f_frsize
    found = f"{store_root}, {_gib(free)} free"
    # File systems without a fixed number of inodes (btrfs) report none at all.
    if info.f_files and info.f_favail < 10_000:
        return Probe("store", State.WARN, f"{found}, {info.f_favail} inodes left", f"remove files of {place}'s disk")
    if free >= LITTLE_SPACE:
        return Probe("store", State.OK, found)
    state = State.WARN if free >= NO_SPACE else State.MISSING
    return Probe("store", state, found, f"free {_gib(LITTLE_SPACE - free)} on the file system of {place}")


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def probe_bootstrap(root: Path = Path("/")) -> Probe:
    """mmdebstrap and the distributions' keys, which only `xx base` needs."""
    path = find_program("mmdebstrap")
    if path is None:
        return Probe("mmdebstrap", State.WARN, "not installed: xx base cannot make images", install("mmdebstrap"))
    folder = root / "usr/share/keyrings"
    keys = [name for file, name in _KEYRINGS.items() if (folder / f"{file}.gpg").exists()]
    if not keys:
        remedy = install("debian-archive-keyring", "ubuntu-keyring")
        return Probe("mmdebstrap", State.WARN, "no distribution's archive keys", remedy)
    try:
        version = version_of(path)
    except XxError:
        version = VERSION_UNKNOWN
    return Probe("mmdebstrap", State.OK, f"{version}, archive keys of {' and '.join(keys)}")
