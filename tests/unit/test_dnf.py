"""xx-dnf, xx-yum, xx-microdnf: the command lines. The real dnf is met in tests/e2e/test_dnf.py."""

from __future__ import annotations

import pytest

from xxpy.errors import HostError, UsageError
from xxpy.pkg import dnf


def line(*args: str, program: str = "dnf", cross: bool = True, release: str = "41") -> list[str]:
    return dnf.command_line(program, args, "aarch64", "/aarch64-linux-gnu", release, cross)


def test_command_lines() -> None:
    assert line("install", "-y", "zlib-devel", cross=False) == ["dnf", "install", "-y", "zlib-devel"]
    made = line("-y", "install", "zlib-devel")
    assert made[:3] == ["dnf", "--installroot=/aarch64-linux-gnu", "--releasever=41"]
    # dnf5 takes it after the command alone.
    assert made[-4:] == ["-y", "install", "--forcearch=aarch64", "zlib-devel"]
    assert "--setopt=tsflags=noscripts" in made
    with pytest.raises(HostError) as caught:
        line("install", "x", release="")
    assert caught.value.reason == "no-release"


def test_meta_names() -> None:
    made = line("install", "xx-c-essentials", "xx-cxx-essentials")
    assert made[-3:] == ["glibc-devel", "gcc", "libstdc++-devel"]
    with pytest.raises(UsageError):
        line("remove", "xx-c-essentials")


def test_microdnf_has_no_forcearch() -> None:
    assert dnf.serving("dnf", "/usr/bin/dnf-3", True) == "dnf"
    assert dnf.serving("microdnf", "/usr/bin/microdnf", True) == "dnf"
    assert dnf.serving("microdnf", "/usr/bin/dnf5", False) == "microdnf"
    with pytest.raises(HostError) as caught:
        dnf.serving("microdnf", "/usr/bin/microdnf", False)
    assert caught.value.reason == "no-forcearch" and "microdnf install -y dnf" in caught.value.remedy
