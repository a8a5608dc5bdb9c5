"""The kernel itself reads our lines: a program of each architecture, written by hand, runs under its QEMU."""

from __future__ import annotations

import errno
import struct
import subprocess
from pathlib import Path

import pytest

from xxpy.build.engine import syscalls, trial
from xxpy.build.engine.binfmt import ELF_KINDS, registration_line
from xxpy.build.tools import find_emulator
from xxpy.platforms import Platform, qemu_arch

STATUS = 42
BASE = 0x10000

# exit(42) in machine words (Linux's system call numbers are exit's), written in the program's byte order.
WORDS = {
    "aarch64": (0xD2800540, 0xD2800BA8, 0xD4000001),  # mov x0,#42; mov x8,#93; svc #0
    "arm": (0xE3A0002A, 0xE3A07001, 0xEF000000),  # mov r0,#42; mov r7,#1; svc #0
    "riscv64": (0x02A00513, 0x05D00893, 0x00000073),  # li a0,42; li a7,93; ecall
    "ppc64": (0x38000001, 0x3860002A, 0x44000002),  # li r0,1; li r3,42; sc
    "ppc64le": (0x38000001, 0x3860002A, 0x44000002),
    "loongarch64": (0x0380A804, 0x0381740B, 0x002B0000),  # ori a0,zero,42; ori a7,zero,93; syscall 0
    "mips": (0x24020FA1, 0x2404002A, 0x0000000C),  # li v0,4001; li a0,42; syscall
    "mipsel": (0x24020FA1, 0x2404002A, 0x0000000C),
    "mips64": (0x240213C2, 0x2404002A, 0x0000000C),  # li v0,5058
    "mips64el": (0x240213C2, 0x2404002A, 0x0000000C),
}
CODE = {
    "s390x": bytes.fromhex("a729002a 0a01"),  # lghi %r2,42; svc 1
    "i386": bytes.fromhex("b801000000 bb2a000000 cd80"),  # mov eax,1; mov ebx,42; int 0x80
    "x86_64": bytes.fromhex("b83c000000 bf2a000000 0f05"),  # mov eax,60; mov edi,42; syscall
}
# e_flags that QEMU picks the ABI by: EABI5, ELFv2, double-float, o32 and MIPS64.
FLAGS = {
    "arm": 0x05000000, "ppc64": 2, "ppc64le": 2, "riscv64": 4, "loongarch64": 0x43,
    "mips": 0x50001000, "mipsel": 0x50001000, "mips64": 0x60000000, "mips64el": 0x60000000,
}  # fmt: skip


def program(arch: str) -> bytes:
    """A whole static ELF program: one loaded segment that exits with STATUS."""
    kind = ELF_KINDS[arch]
    end = "<" if kind.order == "little" else ">"
    code = CODE.get(arch) or struct.pack(f"{end}3I", *WORDS[arch])
    ident = b"\x7fELF" + bytes([kind.bits // 32, 1 if kind.order == "little" else 2, 1]) + bytes(9)
    header, entry = (64, 56) if kind.bits == 64 else (52, 32)
    start, size = header + entry, header + entry + len(code)
    address = "Q" if kind.bits == 64 else "I"
    head = struct.pack(
        f"{end}HHI3{address}I6H",
        2, kind.machine, 1, BASE + start, header, 0, FLAGS.get(arch, 0), header, entry, 1, 0, 0, 0,
    )  # fmt: skip
    if kind.bits == 64:
        segment = struct.pack(f"{end}IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    else:
        segment = struct.pack(f"{end}8I", 1, 0, BASE, BASE, size, size, 5, 0x10000)
    return ident + head + segment + code


@pytest.fixture(scope="module", autouse=True)
def _kernel() -> None:
    refusal = trial.attempt_one(trial.mount_binfmt)
    if refusal:
        pytest.skip(f"this kernel has no binfmt_misc in a user namespace: {refusal}")


HOST = qemu_arch(Platform.host())
# The machine's own architecture is left out: QEMU itself would match the line, and the kernel answers ELOOP.
FOREIGN = [arch for arch in ELF_KINDS if arch != HOST]


@pytest.mark.parametrize("arch", FOREIGN)
def test_the_kernel_starts_qemu_by_our_line(arch: str, tmp_path: Path) -> None:
    emulator = find_emulator(arch)
    if emulator is None:
        pytest.skip(f"no QEMU for {arch} is installed")
    path = tmp_path / "program"
    path.write_bytes(program(arch))
    path.chmod(0o755)
    foreign = (HOST, arch) != ("x86_64", "i386")

    def run() -> int | str:
        try:
            return subprocess.run([str(path)], check=False).returncode
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    def attempt() -> None:
        syscalls.mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
        before = run()
        # A native program runs without a line; a foreign one must not, or the test says nothing.
        assert before == ("ENOEXEC" if foreign else STATUS), before
        Path("/proc/sys/fs/binfmt_misc/register").write_bytes(registration_line(arch, emulator.path))
        shown = Path(f"/proc/sys/fs/binfmt_misc/qemu-{arch}").read_text()
        assert shown.startswith(f"enabled\ninterpreter {emulator.path}\nflags: PF\n"), shown
        assert (after := run()) == STATUS, after

    assert trial.attempt_one(attempt) == ""


def test_all_lines_live_beside_each_other(tmp_path: Path) -> None:
    emulators = [found for arch in FOREIGN if (found := find_emulator(arch))]
    if not emulators:
        pytest.skip("no QEMU is installed")

    def attempt() -> None:
        syscalls.mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
        register = Path("/proc/sys/fs/binfmt_misc/register")
        for emulator in emulators:
            register.write_bytes(registration_line(emulator.arch, emulator.path))
        for emulator in emulators:
            path = Path(tmp_path, emulator.arch)
            path.write_bytes(program(emulator.arch))
            path.chmod(0o755)
            code = subprocess.run([str(path)], check=False).returncode
            assert code == STATUS, (emulator.arch, code)

    assert trial.attempt_one(attempt) == ""


def test_a_path_with_a_colon_is_registered(tmp_path: Path) -> None:
    emulator = find_emulator("aarch64")
    if emulator is None:
        pytest.skip("no QEMU for aarch64 is installed")
    link = tmp_path / "a:b"
    link.symlink_to(emulator.path)

    def attempt() -> None:
        syscalls.mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
        Path("/proc/sys/fs/binfmt_misc/register").write_bytes(registration_line("aarch64", str(link)))
        assert f"interpreter {link}\n" in Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").read_text()

    assert trial.attempt_one(attempt) == ""
