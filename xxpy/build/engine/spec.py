"""The OCI runtime's config.json for one RUN (opencontainers/runtime-spec config.md), confined as Docker confines it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xxpy.build.engine.seccomp import profile
from xxpy.build.graph import ExecOp, NetMode

CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
"""Docker's default set (docker run reference, "Runtime privilege and Linux capabilities")."""

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
    """A file or folder of the host shown read-only at ``target`` while a step runs."""

    source: str
    target: str

    def spec(self) -> dict[str, Any]:
        options = ["rbind", "ro", "nosuid", "nodev"]
        return {"destination": self.target, "type": "bind", "source": self.source, "options": options}


def runtime_spec(op: ExecOp, rootfs: str, user: User, binds: Sequence[BindMount], env: Sequence[str]) -> dict[str, Any]:
    """The whole config.json; ``env`` is added to the step's own and never recorded anywhere."""
    capabilities = list(CAPABILITIES)
    own_network = ("network",) if op.network is NetMode.NONE else ()
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
        },
        "root": {"path": rootfs, "readonly": False},
        "hostname": "buildkitsandbox",
        "mounts": [*_MOUNTS, *(bind.spec() for bind in binds)],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts", *own_network)],
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
            "seccomp": profile(os.uname().machine),
            "rootfsPropagation": "rprivate",
        },
    }


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


_MOUNTS = (
    _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
    _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    # The network namespace is the host's, not this user namespace's, and so sysfs cannot be mounted, only shown.
    _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro"),
)
