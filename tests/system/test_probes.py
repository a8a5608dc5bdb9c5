"""The probes on a real machine: they try for real, and leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.build.engine import trial
from xxpy.build.probes import State, all_probes


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def test_a_look_at_the_machine_leaves_nothing(tmp_path: Path) -> None:
    before = mounts()
    names = [probe.name for probe in all_probes(tmp_path / "store", ["aarch64"], ["arm"])]
    assert names == [
        "kernel", "user namespaces", "subordinate ids", "overlayfs", "binfmt_misc", "QEMU aarch64", "QEMU arm",
        "OCI runtime", "step networks", "twins", "store", "mmdebstrap",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert mounts() == before


def test_a_store_on_what_overlayfs_cannot_write(tmp_path: Path) -> None:
    # proc is a file system on which nothing can be made.
    probe = next(one for one in all_probes(Path("/proc/xx-store"), []) if one.name == "store")
    assert probe.state is State.MISSING
    assert "may not write" in probe.found


def test_what_fails_inside_is_told_with_its_reason() -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted", "here")

    assert trial.attempt_one(refuse) == "Operation not permitted (here)"
    assert trial.attempt_one(lambda: os._exit(1)) == "the kernel ended the process that tried it, or it took too long"
    assert "AssertionError" in trial.attempt_one(lambda: (_ for _ in ()).throw(AssertionError("x")))


def test_an_attempt_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.3)

    def hang() -> None:
        import time

        time.sleep(60)

    assert "took too long" in trial.attempt_one(hang)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_without_rights(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65533)
            os.setuid(65533)
            text = json.dumps({one.name: [one.state.value, one.remedy] for one in all_probes(closed / "store", [])})
        except BaseException as error:
            text = repr(error)
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert found["store"] == ["missing", f"sudo install -d -o 65533 {closed}/store"]
    assert found["subordinate ids"][0] == "missing"
    assert list(closed.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to set the limit in a namespace of its own")
def test_a_machine_without_user_namespaces() -> None:
    # The limit of a user namespace holds for what is made inside it; the machine's own is not touched.
    code = (
        "import json, pathlib; from xxpy.build.probes import all_probes\n"
        "pathlib.Path('/proc/sys/user/max_user_namespaces').write_text('0')\n"
        "print(json.dumps([[p.name, p.state.value, p.found, p.remedy] for p in all_probes(pathlib.Path('/tmp'), [])]))"
    )
    argv = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env)
    found = {name: (state, text, remedy) for name, state, text, remedy in json.loads(done.stdout)}
    state, text, remedy = found["user namespaces"]
    assert state == "missing"
    assert "user.max_user_namespaces is 0" in text
    assert "sysctl -w user.max_user_namespaces=15000" in remedy
    assert found["overlayfs"][0] == "missing"
