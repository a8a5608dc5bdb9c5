from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest

from xxpy import platforms
from xxpy.errors import PlatformError
from xxpy.platforms import ARCHITECTURES, OSES, VARIANTS, Platform, name_in, parse_list, runs_natively


@pytest.fixture
def arm64_host(monkeypatch: pytest.MonkeyPatch) -> None:
    uname = os.uname_result(("Linux", "box", "6.18", "#1", "aarch64"))
    monkeypatch.setattr(os, "uname", lambda: uname)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("LINUX/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/amd64/V3", "linux/amd64/v3"),
        ("linux/i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v8.0", "linux/arm64"),
        ("linux/arm64/v8.2", "linux/arm64/v8.2"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armhf/v6", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/mips64le/hardfloat", "linux/mips64le/hardfloat"),
        ("macos/arm64", "darwin/arm64"),
        (" windows/amd64 ", "windows/amd64"),
        ("arm64", "linux/arm64"),
        ("s390x", "linux/s390x"),
    ],
)
def test_parse_normalises(text: str, expected: str) -> None:
    platform = Platform.parse(text)
    assert str(platform) == expected
    assert Platform.parse(str(platform)) == platform


@pytest.mark.usefixtures("arm64_host")
def test_one_word_that_is_an_os_takes_the_architecture_of_the_host() -> None:
    assert Platform.parse("linux") == Platform("linux", "arm64")
    assert Platform.parse("macos") == Platform("darwin", "arm64")


@pytest.mark.parametrize("text", ["", " ", "/", "linux/", "/amd64", "linux//v7", "linux/arm/v7/x", "linux/am d64", "é"])
def test_a_malformed_platform_is_refused(text: str) -> None:
    with pytest.raises(PlatformError) as caught:
        Platform.parse(text)
    assert caught.value.reason == "platform-invalid"
    assert "os/arch" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "named", "remedy"),
    [
        ("plan10/amd64", "plan10", "linux, darwin"),
        ("linux/bogus", "bogus", "amd64, 386"),
        ("linux/armv7", "armv7", "Write linux/arm/v7."),
        ("linux/arm/v9", "v9", "v5, v6, v7, v8"),
        ("linux/arm64/v10", "v10", "v8"),
        ("linux/arm64/v8.1.1", "v8.1.1", "v8"),
        ("bogus", "bogus", "amd64"),
    ],
)
def test_an_unknown_part_is_named(text: str, named: str, remedy: str) -> None:
    with pytest.raises(PlatformError) as caught:
        Platform.parse(text)
    assert caught.value.reason == "platform-unknown"
    assert f"{named!r}" in caught.value.message
    assert remedy in caught.value.remedy


def test_a_list_keeps_its_order_and_drops_what_is_the_same() -> None:
    assert [str(p) for p in parse_list("linux/arm64, linux/amd64,linux/aarch64/v8")] == ["linux/arm64", "linux/amd64"]


@pytest.mark.parametrize("text", ["", "linux/amd64,", ",linux/amd64"])
def test_an_empty_item_of_a_list_is_refused(text: str) -> None:
    with pytest.raises(PlatformError) as caught:
        parse_list(text)
    assert caught.value.reason == "platform-invalid"


def test_a_platform_is_a_value() -> None:
    one, same, other = Platform("linux", "arm", "v7"), Platform.parse("linux/arm"), Platform("linux", "arm", "v6")
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "linux/arm/v7"
    assert other < one
    assert one > other
    assert one <= same
    assert one >= same
    assert sorted([one, Platform("darwin", "arm64")])[0].os == "darwin"
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    assert repr(one) == "Platform('linux/arm/v7')"
    match one:
        case Platform(os, arch, variant):
            assert (os, arch, variant) == ("linux", "arm", "v7")


def test_a_platform_cannot_be_changed() -> None:
    platform = Platform("linux", "amd64")
    with pytest.raises(AttributeError, match="immutable"):
        platform.arch = "arm64"
    with pytest.raises(AttributeError, match="immutable"):
        del platform.arch
    assert platform.arch == "amd64"


def _all_platforms() -> list[Platform]:
    return [
        Platform("linux", arch, "" if (arch, variant) in (("amd64", "v1"), ("arm64", "v8")) else variant)
        for arch in ARCHITECTURES
        for variant in (VARIANTS.get(arch, ("",)) if arch == "arm" else ("", *VARIANTS.get(arch, ())))
    ]


@pytest.mark.parametrize("table", ["UNAME", "MARCH", "DEBIAN", "ALPINE", "RPM", "LLVM", "QEMU", "ELF_MACHINE"])
def test_every_table_names_every_architecture_and_nothing_else(table: str) -> None:
    names = getattr(platforms, table)
    for platform in _all_platforms():
        assert name_in(names, platform)
    assert {key.split("/")[0] for key in names} == set(ARCHITECTURES)
    assert {key.partition("/")[2] for key in names} <= {"", *VARIANTS["arm"]}


def test_each_scheme_has_its_own_name() -> None:
    arm, ppc = Platform.parse("linux/arm/v7"), Platform.parse("linux/ppc64le")
    functions = ("debian_arch", "alpine_arch", "rpm_arch", "llvm_arch", "uname_machine", "qemu_arch", "elf_machine")
    assert [getattr(platforms, f)(arm) for f in functions] == [
        "armhf", "armv7", "armv7hl", "armv7", "armv7l", "arm", 40,
    ]  # fmt: skip
    assert [getattr(platforms, f)(ppc) for f in functions] == [
        "ppc64el", "ppc64le", "ppc64le", "powerpc64le", "ppc64le", "ppc64le", 21,
    ]  # fmt: skip


@pytest.mark.parametrize("platform", _all_platforms(), ids=str)
def test_what_uname_prints_is_read_back(platform: Platform) -> None:
    machine = platforms.uname_machine(platform)
    if platform.arch.startswith("mips"):
        assert machine in ("mips", "mips64")
        return
    read = Platform.of("linux", *platforms.uname_platform_parts(machine))
    assert read.arch == platform.arch
    if platform.arch == "arm":
        assert read == platform


@pytest.mark.parametrize("machine", ["i486", "i586", "i686"])
def test_all_x86_kernels_of_32_bits_are_386(machine: str) -> None:
    assert platforms.uname_platform_parts(machine) == ("386", "")


def test_mips_takes_its_byte_order_from_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", "little")
    assert platforms.uname_platform_parts("mips64") == ("mips64le", "")
    monkeypatch.setattr(sys, "byteorder", "big")
    assert platforms.uname_platform_parts("mips") == ("mips", "")


@pytest.mark.usefixtures("arm64_host")
def test_host_is_what_the_kernel_says() -> None:
    assert Platform.host() == Platform("linux", "arm64")


def test_a_host_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    uname = os.uname_result(("Linux", "box", "6.18", "#1", "alpha"))
    monkeypatch.setattr(os, "uname", lambda: uname)
    with pytest.raises(PlatformError, match="alpha"):
        Platform.host()


@pytest.mark.parametrize(
    ("target", "host", "natively"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/386", "linux/amd64", True),
        ("linux/amd64", "linux/386", False),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/amd64/v3", "linux/amd64/v2", False),
        ("linux/amd64", "linux/amd64/v2", True),
        ("linux/arm64", "linux/amd64", False),
        ("linux/arm/v7", "linux/arm64", False),
        ("linux/arm/v6", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm64/v9", "linux/arm64", True),
        ("linux/mipsle", "linux/mips", False),
        ("freebsd/amd64", "linux/amd64", False),
    ],
)
def test_runs_natively(target: str, host: str, natively: bool) -> None:
    assert runs_natively(Platform.parse(target), Platform.parse(host)) is natively


def test_every_os_parses() -> None:
    assert [Platform.parse(f"{os_name}/amd64").os for os_name in OSES] == list(OSES)


def test_nothing_slow_is_imported() -> None:
    """The start of every xx-* command is at stake: each of these costs more than the command's own work."""
    code = (
        "import sys; from xxpy import platforms; from xxpy.cli import xx_info, xx_verify;"
        "slow = {'re', 'enum', 'typing', 'dataclasses', 'argparse', 'subprocess', 'pathlib', 'json'};"
        "print(*slow & set(sys.modules))"
    )
    root = os.path.dirname(os.path.dirname(platforms.__file__))
    code = f"import sys; sys.path.insert(0, {root!r}); {code}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
