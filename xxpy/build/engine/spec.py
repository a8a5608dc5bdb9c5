"""The OCI runtime's config.json for one RUN (opencontainers/runtime-spec config.md), confined as Docker confines it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from xxpy.build.engine.seccomp import profile
from xxpy.build.graph import ExecOp, SecurityMode, Ulimit

CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
"""Docker's default set (docker run reference, "Runtime privilege and Linux capabilities")."""

ALL_CAPABILITIES = (
    *CAPABILITIES,
    *(
        f"CAP_{name}"
        for name in (
            "AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "IPC_LOCK",
            "IPC_OWNER", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "NET_ADMIN", "NET_BROADCAST",
            "PERFMON", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE",
            "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
        )
    ),
)  # fmt: skip
"""What ``--security=insecure`` gives (capabilities(7)): in the build's user namespace, not on the machine."""

MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class User:
    """Who a step runs as, resolved against the root's own passwd and group files."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class BindMount:
    """A file or folder of the host shown at ``target`` while a step runs."""

    source: str
    target: str
    options: tuple[str, ...] = ("ro", "nosuid", "nodev")

    def spec(self) -> dict[str, Any]:
        options = ["rbind", *self.options]
        return {"destination": self.target, "type": "bind", "source": self.source, "options": options}


@dataclass(frozen=True)
class TmpfsMount:
    """An empty file system in memory at ``target``, of ``size`` bytes at most, 0 for the kernel's limit."""

    target: str
    size: int = 0
    readonly: bool = False

    def spec(self) -> dict[str, Any]:
        options = ["nosuid", "nodev", "mode=1777", *([f"size={self.size}"] if self.size else [])]
        return _mount(self.target, "tmpfs", "tmpfs", *options, *(["ro"] if self.readonly else []))


Shown = BindMount | TmpfsMount


def runtime_spec(
    op: ExecOp, rootfs: str, user: User, shown: Sequence[Shown], env: Sequence[str], network: str | None
) -> dict[str, Any]:
    """The whole config.json; ``env`` is added to the step's own and never recorded anywhere.

    ``network`` is the path of a network namespace, empty for a new one with loopback alone, None for the host's.
    """
    insecure = op.security is SecurityMode.INSECURE
    capabilities = list(ALL_CAPABILITIES if insecure else CAPABILITIES)
    kinds: list[dict[str, str]] = [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")]
    if network is not None:
        # The runtimes bring loopback up in a new network namespace, and it has nothing else.
        kinds.append({"type": "network", **({"path": network} if network else {})})
    permitted = capabilities if user.uid == 0 else []
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
            "args": list(op.args),
            "env": [*op.env, *env],
            "cwd": op.cwd,
            "capabilities": {
                "bounding": capabilities,
                "effective": permitted,
                "permitted": permitted,
            },
            "noNewPrivileges": False,
            **({"rlimits": _rlimits(op.ulimits)} if op.ulimits else {}),
        },
        "root": {"path": rootfs, "readonly": False},
        "hostname": "buildkitsandbox",
        "mounts": [*_standard(op, own_network=network is not None), *(each.spec() for each in shown)],
        "linux": {
            "namespaces": kinds,
            **({} if insecure else _confinement()),
            "rootfsPropagation": "rprivate",
        },
    }


def _confinement() -> dict[str, Any]:
    return {"maskedPaths": list(MASKED), "readonlyPaths": list(READ_ONLY), "seccomp": profile(os.uname().machine)}


def _rlimits(limits: Iterable[Ulimit]) -> list[dict[str, Any]]:
    """config.md, "POSIX process": no limit is the largest number of 64 bits (RLIM_INFINITY)."""
    return [
        {"type": f"RLIMIT_{one.name.upper()}", "soft": one.soft % (1 << 64), "hard": one.hard % (1 << 64)}
        for one in limits
    ]


def _standard(op: ExecOp, *, own_network: bool) -> list[dict[str, Any]]:
    own: dict[str, dict[str, Any]] = {}
    if op.shm_size:
        options = ("nosuid", "noexec", "nodev", "mode=1777", f"size={op.shm_size}")
        own["/dev/shm"] = _mount("/dev/shm", "tmpfs", "shm", *options)
    if own_network:
        # Of a network namespace of its own it shows that one's interfaces.
        own["/sys"] = _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
    return [own.get(each["destination"], each) for each in _MOUNTS]


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


_MOUNTS = (
    _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
    _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    # The host's network namespace is not of this user namespace: its sysfs cannot be mounted, only shown.
    _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro"),
)
