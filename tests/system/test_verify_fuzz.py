"""xx-verify on hostile files: any change of any byte gives an answer, soon and in little memory."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from binaries import Elf, archive, arm, coff, fat, macho, pe, x86_needs

from xxpy.errors import XxError
from xxpy.platforms import Platform
from xxpy.verify.binary import identify
from xxpy.verify.check import Wanted, check_source
from xxpy.verify.elfdeep import arm_attributes, read_needs, symbol_of_version, x86_level
from xxpy.verify.source import Source

CASES, BATCH = 100_000, 100
MOST_SECONDS, MOST_BYTES = 1.0, 200 << 20


def _dynamic() -> bytes:
    made = Elf(183).note("NetBSD", 1, b"abcd")
    made.interpreter, made.libraries, made.runpath = "/lib/ld-linux-aarch64.so.1", ["libc.so.6", "libz.so.1"], "$ORIGIN"
    made.versions = [("libc.so.6", "GLIBC_2.17"), ("libc.so.6", "GLIBC_2.34")]
    return made.data()


FILES = (
    _dynamic(), arm(10, True).data(), x86_needs(3).data(), Elf(22, 64, ">").data(), macho(), pe(), coff(),
    fat((0x0100000C, macho()), (0x01000007, macho(0x01000007))),
    archive(("a.o", Elf(183, kind=1).data()), ("b.o", coff())),
    Path("/bin/sh").read_bytes()[:65536],
)  # fmt: skip
TARGETS = [
    Wanted(Platform.parse(text), static, "gnu", (2, 17))
    for text in ("linux/arm64", "linux/arm/v6", "linux/amd64", "darwin/arm64", "windows/amd64", "netbsd/amd64")
    for static in (False, True)
]
INTERESTING = (0, 1, 2, 4, 7, 0x10, 0x40, 0x7F, 0x80, 0xFE, 0xFF)


def _deep(source: Source) -> None:
    """What the command asks of ELF files only by its flags."""
    for binary in identify(source):
        if binary.elf is not None:
            read_needs(binary.source, binary.elf)
            arm_attributes(binary.source, binary.elf)
            x86_level(binary.source, binary.elf)
            symbol_of_version(binary.source, binary.elf, "GLIBC_2.34")


@pytest.fixture(scope="module")
def memory() -> Iterator[int]:
    file = os.memfd_create("file")
    yield file
    os.close(file)


@pytest.fixture(scope="module", autouse=True)
def before() -> int:
    """What the process holds before the first case, in bytes: the tests before these may have left it large."""
    # proc_pid_clear_refs(5): 5 sets the peak (VmHWM) back to what is held now.
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


slowest = [0.0]


@given(seed=st.integers(0, 1 << 64))
@settings(max_examples=CASES // BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_any_damage_has_an_answer(memory: int, seed: int) -> None:
    """Each example is a batch of cases that follow from its seed: one example costs more than a case."""
    chance = random.Random(seed)
    for _ in range(BATCH):
        data = bytearray(chance.choice(FILES))
        for _ in range(chance.randint(1, 8)):
            value = chance.choice(INTERESTING) if chance.random() < 0.8 else chance.randrange(256)
            data[chance.randrange(min(len(data), 1024))] = value
        size = len(data) - (chance.randrange(400) if chance.random() < 0.1 else 0)
        _one(memory, bytes(data[: max(size, 0)]), chance.choice(TARGETS))


def _one(memory: int, data: bytes, wanted: Wanted) -> None:
    os.pwrite(memory, data, 0)
    os.ftruncate(memory, len(data))
    source = Source(memory, len(data), "file")
    # Of a processor: the machine may be busy with other tests.
    began = time.thread_time()
    for message, reason in check_source(source, wanted):
        assert message and reason
    try:
        _deep(source)
    except XxError as error:
        assert error.message
    slowest[0] = max(slowest[0], time.thread_time() - began)


def test_it_was_soon_and_in_little_memory(before: int) -> None:
    """After the other: of all those cases none took long, and the process has not grown."""
    assert slowest[0] < MOST_SECONDS
    assert _peak() - before < MOST_BYTES
