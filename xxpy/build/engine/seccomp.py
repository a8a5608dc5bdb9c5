"""The seccomp profile of a RUN: the system calls that Docker's default profile keeps from a container.

Written as what is refused (docs of Docker Engine, "Seccomp security profiles", its table of significant calls), so that
the filter is short; capabilities that a step does not have refuse most of these once more.
"""

from __future__ import annotations

from typing import Any

REFUSED = (
    "acct", "add_key", "bpf", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64", "create_module",
    "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "get_mempolicy",
    "init_module", "ioperm", "iopl", "io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp",
    "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind", "migrate_pages", "mount", "mount_setattr",
    "move_mount", "move_pages", "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree",
    "perf_event_open", "pivot_root", "process_vm_readv", "process_vm_writev", "query_module", "quotactl",
    "quotactl_fd", "reboot", "request_key", "set_mempolicy", "setns", "settimeofday", "stime", "swapoff", "swapon",
    "sysfs", "_sysctl", "umount", "umount2", "unshare", "uselib", "userfaultfd", "ustat", "vhangup", "vm86",
    "vm86old",
)  # fmt: skip

NAMESPACE_BITS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
"""CLONE_NEW* of clone(2), which a step may not ask for."""


ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
}
"""By `uname -m`: the system call tables of the kernel that a step may use. One that is not named kills the program."""


def profile(machine: str) -> dict[str, Any]:
    """The ``linux.seccomp`` object of the runtime's configuration: EPERM for what is refused, ENOSYS for clone3.

    clone3 passes its flags in memory, which a filter cannot read; a C library told ENOSYS uses clone instead.
    """
    flags = [{"index": 0, "value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ"} for bit in NAMESPACE_BITS]
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        **({"architectures": ARCHITECTURES[machine]} if machine in ARCHITECTURES else {}),
        "syscalls": [
            {"names": list(REFUSED), "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            *({"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [flag]} for flag in flags),
        ],
    }
