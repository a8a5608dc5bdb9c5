"""The engine's parts that need neither root nor a kernel feature."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from xxpy.build.engine import syscalls
from xxpy.build.engine.cache import Cache, Record
from xxpy.build.engine.emulation import host_registration, register
from xxpy.build.engine.limits import make_room
from xxpy.build.engine.rooted import inside, read_inside, remove_tree
from xxpy.build.engine.spec import BindMount, TmpfsMount, User, runtime_spec
from xxpy.build.engine.users import resolve_owner, resolve_user
from xxpy.build.graph import ExecOp, NetMode, SecurityMode, Ulimit, digest_of
from xxpy.build.store import Store
from xxpy.build.tools import Emulator
from xxpy.errors import HostError, SourceError, StoreError

KEY = digest_of("step")
QEMU = Emulator("aarch64", "/usr/bin/qemu-aarch64-static", "9")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1001:Me:/home/me:/bin/sh\nbroken\nodd:x:abc:1:::\n"
    )
    (tmp_path / "root/etc/group").write_text("root:x:0:\nme:x:1001:\nextra:x:50:me,other\nwheel:x:10:other\n")
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "root"


def test_links_are_followed_inside_the_root(root: Path) -> None:
    for name, target in {"abs": "/etc/passwd", "up": "../../../secret", "dir": "etc", "loop": "loop"}.items():
        (root / name).symlink_to(target)
    assert inside(root, "/abs") == f"{root}/etc/passwd"
    assert inside(root, "up") == f"{root}/secret"
    assert inside(root, "dir/passwd") == f"{root}/etc/passwd"
    assert inside(root, "dir/../../../x") == f"{root}/x"
    assert inside(root, "abs", follow=False) == f"{root}/abs"
    assert read_inside(root, "up") == "" and read_inside(root, "abs").startswith("root:")
    with pytest.raises(SourceError) as caught:
        inside(root, "loop/x")
    assert caught.value.reason == "too-many-links"


def test_reading_never_waits_for_a_fifo(root: Path) -> None:
    os.mkfifo(root / "fifo")
    assert read_inside(root, "fifo") == "" and read_inside(root, "etc") == ""


def test_a_tree_that_forbids_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b").chmod(0)
    remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_users(root: Path) -> None:
    assert resolve_user(root, "") == (User(0, 0), "/root")
    assert resolve_user(root, "me") == (User(1000, 1001, (50,)), "/home/me")
    assert resolve_user(root, "1000") == (User(1000, 1001, (50,)), "/home/me")
    assert resolve_user(root, "me:extra") == (User(1000, 50), "/home/me")
    assert resolve_user(root, "4321:5") == (User(4321, 5), "/")
    assert resolve_owner(root, "me") == (1000, 1001) and resolve_owner(root, "7") == (7, 7)
    assert resolve_owner(root, "me:wheel") == (1000, 10)
    for text in ("nobody-here", "me:nogroup-here", "odd", "-1", "99999999999"):
        with pytest.raises(SourceError) as caught:
            resolve_user(root, text)
        assert caught.value.reason == "user-unknown"


def test_the_runtimes_configuration() -> None:
    op = ExecOp(("a", "b"), ("X=1",), "/w", network=NetMode.NONE)
    spec = runtime_spec(op, "/root", User(1000, 5, (6,)), [BindMount("/from", "/to")], ["Y=2"], "")
    process = spec["process"]
    assert process["args"] == ["a", "b"] and process["env"] == ["X=1", "Y=2"] and process["cwd"] == "/w"
    assert process["user"] == {"uid": 1000, "gid": 5, "additionalGids": [6]}
    assert process["capabilities"]["effective"] == [] and "CAP_SYS_ADMIN" not in process["capabilities"]["bounding"]
    kinds = [each["type"] for each in spec["linux"]["namespaces"]]
    assert {"type": "network"} in spec["linux"]["namespaces"] and "user" not in kinds
    assert {
        "destination": "/to",
        "type": "bind",
        "source": "/from",
        "options": ["rbind", "ro", "nosuid", "nodev"],
    } in spec["mounts"]
    assert spec["linux"]["seccomp"]["syscalls"][0]["action"] == "SCMP_ACT_ERRNO"
    own = runtime_spec(ExecOp(("a",), (), "/"), "/root", User(), [], [], "/n")
    assert {"type": "network", "path": "/n"} in own["linux"]["namespaces"]
    sys = {each["destination"]: each["type"] for each in own["mounts"]}["/sys"]
    assert sys == "sysfs", "the host's would show its interfaces"
    host = runtime_spec(ExecOp(("a",), (), "/"), "/root", User(), [], [], None)
    assert "network" not in [each["type"] for each in host["linux"]["namespaces"]]
    assert "CAP_CHOWN" in host["process"]["capabilities"]["effective"]


def test_the_runtimes_configuration_of_what_a_step_asks_for() -> None:
    op = ExecOp(("a",), (), "/", shm_size=1 << 20, ulimits=(Ulimit("nofile", 5, 6), Ulimit("core", 0, -1)))
    shown = [TmpfsMount("/t", 4096, True), BindMount("/from", "/to", ("rw",))]
    spec = runtime_spec(op, "/root", User(), shown, [], None)
    mounts = {each["destination"]: each for each in spec["mounts"]}
    assert "size=1048576" in mounts["/dev/shm"]["options"] and len(mounts) == len(spec["mounts"])
    assert {"ro", "size=4096"} <= set(mounts["/t"]["options"]) and mounts["/t"]["type"] == "tmpfs"
    assert mounts["/to"]["options"] == ["rbind", "rw"]
    assert spec["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": (1 << 64) - 1},
    ]
    plain = runtime_spec(ExecOp(("a",), (), "/"), "/root", User(), [], [], None)
    assert "rlimits" not in plain["process"]
    shm = next(each for each in plain["mounts"] if each["destination"] == "/dev/shm")
    assert "size=65536k" in shm["options"]


def test_an_insecure_step_is_not_confined() -> None:
    spec = runtime_spec(ExecOp(("a",), (), "/", security=SecurityMode.INSECURE), "/root", User(), [], [], "/n")
    assert "CAP_SYS_ADMIN" in spec["process"]["capabilities"]["effective"]
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & spec["linux"].keys()


def test_limits_over_the_users_own_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(kind: int, limits: tuple[int, int]) -> None:
        asked.append((kind, limits))
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 100))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    make_room([Ulimit("nofile", 50, 100), Ulimit("locks", 1, 1000)])
    assert asked == []
    for hard in (101, -1):
        with pytest.raises(HostError) as caught:
            make_room([Ulimit("nofile", 1, hard)])
        assert caught.value.reason == "ulimit-too-high" and "100" in caught.value.remedy
    assert asked[0] == (resource.RLIMIT_NOFILE, (10, 101))


def cache(tmp_path: Path) -> tuple[Store, Cache]:
    store = Store.open(tmp_path / "store")
    (store.snapshots / "one").mkdir(exist_ok=True)
    return store, Cache(store)


def test_nothing_is_remembered_once_a_build_has_failed(tmp_path: Path) -> None:
    store, one = cache(tmp_path)
    one.close()
    with pytest.raises(StoreError) as caught:
        one.put("sha256:" + "1" * 64, Record(("one",), 1.0))
    assert caught.value.reason == "build-ended" and Cache(store).find("sha256:" + "1" * 64) is None


def test_a_record_counts_while_its_snapshots_are_there(tmp_path: Path) -> None:
    store, known = cache(tmp_path)
    assert known.find(KEY) is None
    known.put(KEY, Record(("one",), 1.5, "tail"))
    assert known.find(KEY) == Record(("one",), 1.5, "tail")
    (store.snapshots / "one").rmdir()
    assert known.find(KEY) is None


def test_a_record_of_another_boot_counts_only_if_it_was_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    monkeypatch.setattr("xxpy.build.engine.cache._BOOT_ID", boot)
    boot.write_text("first\n")
    store, known = cache(tmp_path)
    known.put(KEY, Record(("one",), 1.0))
    boot.write_text("second\n")
    assert Cache(store).find(KEY) is None
    boot.write_text("first\n")
    Cache(store).mark_synced(2**62)
    boot.write_text("second\n")
    assert Cache(store).find(KEY) == Record(("one",), 1.0)


def no_instance(*_: object, **__: object) -> None:
    raise OSError(22, "Invalid argument")


def test_without_an_instance_of_its_own_the_hosts_registration_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "mount", no_instance)
    folder = tmp_path / "proc/sys/fs/binfmt_misc"
    folder.mkdir(parents=True)
    with pytest.raises(HostError) as caught:
        register([QEMU], tmp_path, tmp_path)
    assert caught.value.reason == "emulator-unregistered" and "aarch64" in caught.value.message
    for text, answer in {
        "disabled\nflags: F\n": "disabled",
        "enabled\nflags: OC\n": "without flag F",
        "enabled\ninterpreter /q\nflags: POCF\n": "",
    }.items():
        (folder / "qemu-aarch64").write_text(text)
        assert host_registration("aarch64", tmp_path) == answer
    assert not register([QEMU], tmp_path, tmp_path), "and so a dispatcher would not be started"


def test_no_emulator_needed_means_no_instance_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(syscalls, "mount", no_instance)
    register([], tmp_path, tmp_path)
