from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xxpy.build import probes
from xxpy.build.probes import State
from xxpy.build.tools import Runtime
from xxpy.errors import HostError

GRANTED = {"namespace": "", "proc": "", "overlay": "", "binfmt": "", "store": ""}
DENIED = {"namespace": "Operation not permitted (unshare)"}


def sysctl(root: Path, name: str, value: int) -> None:
    path = root / "proc/sys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


def registered(root: Path, arch: str, text: str) -> None:
    folder = root / "proc/sys/fs/binfmt_misc"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"qemu-{arch}").write_text(text)


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-fc-v669", (6, 18)), ("5.10.0-9-amd64", (5, 10)), ("6.7-rc1", (6, 7)), ("odd", (0, 0))],
)
def test_kernel_releases_are_read(release: str, version: tuple[int, int]) -> None:
    assert probes.kernel_version(release) == version


def test_the_kernels_age() -> None:
    assert probes.probe_kernel("5.10.0-9-amd64").state is State.MISSING
    assert probes.probe_kernel("5.11.0").state is State.OK


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("user/max_user_namespaces", 0, "user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", 1, "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_the_setting_that_forbids_namespaces_is_named(tmp_path: Path, name: str, value: int, remedy: str) -> None:
    for other, fine in (("user/max_user_namespaces", 100), ("kernel/unprivileged_userns_clone", 1)):
        sysctl(tmp_path, other, fine)
    sysctl(tmp_path, name, value)
    probe = probes.probe_namespaces(DENIED, tmp_path)
    assert probe.state is State.MISSING
    assert f"{name.replace('/', '.')} is {value}" in probe.found
    assert f"sysctl -w {remedy}" in probe.remedy


def test_without_such_a_setting_it_is_a_container(tmp_path: Path) -> None:
    assert "seccomp=unconfined" in probes.probe_namespaces(DENIED, tmp_path).remedy
    hidden = probes.probe_namespaces({**GRANTED, "proc": "Operation not permitted (/proc)"}, tmp_path)
    assert hidden.state is State.MISSING
    assert "systempaths=unconfined" in hidden.remedy


def test_a_namespace_that_was_made(tmp_path: Path) -> None:
    sysctl(tmp_path, "kernel/apparmor_restrict_unprivileged_userns", 1)
    assert probes.probe_namespaces(GRANTED, tmp_path).state is State.OK


def test_overlayfs() -> None:
    assert probes.probe_overlay(GRANTED).state is State.OK
    assert probes.probe_overlay(DENIED).state is State.MISSING
    refused = probes.probe_overlay({**GRANTED, "overlay": "No such device"})
    assert (refused.state, refused.found) == (State.MISSING, "No such device")
    assert "modprobe overlay" in refused.remedy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("enabled\ninterpreter /usr/bin/qemu\nflags: OCF\noffset 0\n", ""),
        ("enabled\ninterpreter /usr/bin/qemu\nflags: OC\noffset 0\n", "without flag F"),
        ("disabled\ninterpreter /usr/bin/qemu\nflags: F\n", "disabled"),
    ],
)
def test_a_registration_of_the_host(tmp_path: Path, text: str, why: str) -> None:
    registered(tmp_path, "aarch64", text)
    assert probes.host_registration("aarch64", tmp_path) == why
    assert probes.host_registration("arm", tmp_path) == "not registered"


def test_an_old_kernel_needs_the_hosts_registration(tmp_path: Path) -> None:
    old = {**GRANTED, "binfmt": "Operation not permitted (/tmp)"}
    assert probes.probe_binfmt(GRANTED, ["aarch64"], tmp_path).state is State.OK
    lacking = probes.probe_binfmt(old, ["aarch64"], tmp_path)
    assert lacking.state is State.MISSING
    assert "aarch64 not registered" in lacking.found
    assert "qemu-user-static binfmt-support" in lacking.remedy
    registered(tmp_path, "aarch64", "enabled\nflags: F\n")
    assert probes.probe_binfmt(old, ["aarch64"], tmp_path).state is State.OK
    assert probes.probe_binfmt(old, [], tmp_path).state is State.OK


def test_a_missing_emulator_counts_as_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "find_emulator", lambda _arch: None)
    for lack in (State.WARN, State.MISSING):
        probe = probes.probe_emulator("s390x", lack)
        assert (probe.name, probe.state) == ("QEMU s390x", lack)
        assert "apt-get install -y qemu-user-static" in probe.remedy


def test_runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hybrid = tmp_path / "sys/fs/cgroup/unified"
    hybrid.mkdir(parents=True)
    (hybrid / "cgroup.controllers").write_text("hugetlb\n")

    def found(runtime: Runtime | None) -> probes.Probe:
        monkeypatch.setattr(probes, "find_runtime", lambda _root: runtime)
        return probes.probe_runtime(tmp_path)

    assert found(Runtime("/usr/sbin/runc", "runc", "1.1.5")).state is State.OK
    assert found(None).remedy.endswith("apt-get install -y runc")
    refused = found(Runtime("/usr/bin/crun", "crun", "1.8.1"))
    assert refused.state is State.MISSING
    assert refused.remedy.endswith("apt-get install -y runc")


def test_a_wrongly_named_runtime_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_root: Path) -> None:
        raise HostError("XX_RUNTIME names x", remedy="unset XX_RUNTIME", reason="runtime-missing")

    monkeypatch.setattr(probes, "find_runtime", refuse)
    assert probes.probe_runtime().remedy == "unset XX_RUNTIME"


@pytest.mark.parametrize(
    ("free", "inodes", "state"),
    [
        (10 << 30, 10**6, State.OK),
        (1 << 30, 10**6, State.WARN),
        (1 << 20, 10**6, State.MISSING),
        (10 << 30, 5, State.WARN),
    ],
)
def test_space(tmp_path: Path, free: int, inodes: int, state: State) -> None:
    info: Any = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_files=10**7, f_favail=inodes)
    probe = probes.probe_store(tmp_path / "not" / "yet", GRANTED, lambda _path: info)
    assert probe.state is state
    assert bool(probe.remedy) == (state is not State.OK)


def test_a_store_that_overlayfs_cannot_use(tmp_path: Path) -> None:
    probe = probes.probe_store(tmp_path, {**GRANTED, "store": "Invalid argument (overlay)"})
    assert probe.state is State.MISSING
    assert "Invalid argument" in probe.found


def test_subordinate_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(probes, "find_program", lambda _name: None)
    missing = probes.probe_ids()
    assert (missing.state, missing.remedy) == (State.MISSING, "sudo apt-get install -y uidmap")
    program = tmp_path / "newuidmap"
    program.touch(0o755)
    monkeypatch.setattr(probes, "find_program", lambda _name: str(program))
    assert "not setuid" in probes.probe_ids().found

    program.chmod(0o4755)
    counts = SimpleNamespace(uids=[SimpleNamespace(count=65537)], gids=[SimpleNamespace(count=65537)])
    monkeypatch.setattr(probes, "id_maps", lambda: counts)
    assert probes.probe_ids().state is State.OK
    counts.gids = [SimpleNamespace(count=1000)]
    assert probes.probe_ids().state is State.WARN

    def refuse() -> None:
        raise HostError("no range", remedy="sudo usermod …", reason="no-subids")

    monkeypatch.setattr(probes, "id_maps", refuse)
    assert (probes.probe_ids().state, probes.probe_ids().remedy) == (State.MISSING, "sudo usermod …")


def test_mmdebstrap_is_only_for_base_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "find_program", lambda _name: None)
    assert probes.probe_bootstrap(tmp_path).state is State.WARN
    monkeypatch.setattr(probes, "find_program", lambda _name: "/usr/bin/mmdebstrap")
    monkeypatch.setattr(probes, "version_of", lambda _path: "1.3.5")
    assert "keyring" in probes.probe_bootstrap(tmp_path).remedy
    keys = tmp_path / "usr/share/keyrings"
    keys.mkdir(parents=True)
    (keys / "debian-archive-keyring.gpg").touch()
    assert probes.probe_bootstrap(tmp_path).found == "1.3.5, archive keys of Debian"


def test_a_warning_ends_no_build() -> None:
    warning, lack = probes.Probe("a", State.WARN, ""), probes.Probe("b", State.MISSING, "")
    assert probes.works([warning])
    assert not probes.works([warning, lack])
