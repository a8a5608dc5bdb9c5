from __future__ import annotations

import struct
from pathlib import Path

import pytest

from xxpy.build import tools
from xxpy.build.tools import cgroup_v1, crun_refuses, find_emulator, find_runtime, version_of
from xxpy.errors import HostError

V1, HYBRID, V2 = "v1", "hybrid", "v2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where programs are looked for."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(tools, "_FOLDERS", ())
    monkeypatch.delenv("XX_RUNTIME", raising=False)
    return programs


def script(path: Path, first_line: str, code: int = 0) -> None:
    path.write_text(f"#!/bin/sh\necho '{first_line}'\nexit {code}\n")
    path.chmod(0o755)


def machine(root: Path, cgroups: str) -> Path:
    group = root / "sys/fs/cgroup"
    (group / "unified").mkdir(parents=True)
    if cgroups == V2:
        (group / "cgroup.controllers").write_text("cpu memory\n")
    if cgroups == HYBRID:
        (group / "unified/cgroup.controllers").write_text("hugetlb\n")
    return root


@pytest.mark.parametrize(("cgroups", "expected"), [(V2, "crun"), (HYBRID, "runc"), (V1, "runc")])
def test_runc_comes_first_with_cgroups_version_1(folder: Path, tmp_path: Path, cgroups: str, expected: str) -> None:
    script(folder / "crun", "crun version 1.14")
    script(folder / "runc", "runc version 1.1.5+ds1")
    found = find_runtime(machine(tmp_path, cgroups))
    assert found is not None
    assert found.name == expected
    assert found.version == {"crun": "1.14", "runc": "1.1.5+ds1"}[expected]


def test_the_cgroup_hierarchies_are_told_apart(tmp_path: Path) -> None:
    found = {kind: machine(tmp_path / kind, kind) for kind in (V1, HYBRID, V2)}
    assert [cgroup_v1(found[kind]) for kind in (V1, HYBRID, V2)] == [True, True, False]
    assert [crun_refuses(found[kind]) for kind in (V1, HYBRID, V2)] == [False, True, False]
    assert not cgroup_v1(tmp_path / "without sysfs")


def test_a_runtime_that_does_not_start_is_passed_over(folder: Path, tmp_path: Path) -> None:
    script(folder / "crun", "crun version 1", code=127)
    script(folder / "runc", "runc version 1.2.0")
    assert getattr(find_runtime(machine(tmp_path, V2)), "name", "") == "runc"


def test_no_runtime(folder: Path, tmp_path: Path) -> None:
    assert find_runtime(machine(tmp_path, V2)) is None


def test_a_named_runtime_is_taken(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(folder / "crun", "crun version 1.14")
    script(tmp_path / "my-runtime", "runc version 9.1")
    monkeypatch.setenv("XX_RUNTIME", str(tmp_path / "my-runtime"))
    found = find_runtime(machine(tmp_path, V2))
    assert found is not None
    assert (found.path, found.name, found.version) == (str(tmp_path / "my-runtime"), "runc", "9.1")


def test_a_named_runtime_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(folder / "crun", "crun version 1.14")
    monkeypatch.setenv("XX_RUNTIME", "youki")
    with pytest.raises(HostError) as caught:
        find_runtime()
    assert caught.value.reason == "runtime-missing"
    assert "youki" in caught.value.message


def test_a_file_of_another_machine_has_no_version(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"\x7fELF" + bytes(100))
    foreign.chmod(0o755)
    with pytest.raises(HostError) as caught:
        version_of(str(foreign))
    assert caught.value.reason == "program-failed"


def test_emulators_that_need_libraries_are_no_emulators(folder: Path) -> None:
    interp = struct.pack("<IIQQQQQQ", 3, 4, 0, 0, 0, 0, 0, 1)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    dynamic = ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0) + interp
    (folder / "qemu-aarch64").write_bytes(dynamic)
    (folder / "qemu-aarch64").chmod(0o755)
    assert find_emulator("aarch64") is None


def test_a_static_emulator_is_found_by_either_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(folder / "qemu-arm", "qemu-arm version 7.2.22 (Debian 1:7.2)")
    monkeypatch.setattr(tools, "_is_static", lambda _path: True)
    found = find_emulator("arm")
    assert found is not None
    assert (found.arch, found.path, found.version) == ("arm", str(folder / "qemu-arm"), "7.2.22")
    script(folder / "qemu-arm-static", "qemu-arm version 10.0")
    assert getattr(find_emulator("arm"), "version", "") == "10.0"
    script(folder / "qemu-arm-static", "broken", code=1)
    assert getattr(find_emulator("arm"), "version", "") == "7.2.22"
