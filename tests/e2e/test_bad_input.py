"""What goes wrong for users: each a clear message with its place and remedy, a documented exit code, nothing lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import lacking
from support import BOTH, Xx, error_of

DOCKERFILES = {
    "no-instruction": ("# nothing\n", 3, "Dockerfile"),
    "bad-syntax": ("FROM busybox\nENV\n", 3, "Dockerfile:2"),
    "open-heredoc": ("FROM busybox\nRUN <<EOF\ntrue\n", 3, "Dockerfile:2"),
    "unknown-instruction": ("FROM busybox\n\nFETCH x\n", 3, "Dockerfile:3"),
    "not-run-yet-flag": ("FROM busybox\nRUN --device=x true\n", 3, "Dockerfile:2"),
    "bad-mount": ("FROM busybox\nRUN --mount=type=volume,target=/x true\n", 3, "Dockerfile:2"),
    "missing-mounted": ("FROM busybox\nRUN --mount=source=nowhere,target=/x true\n", 5, "Dockerfile:2"),
    "missing-mounted-in-stage": (
        "FROM busybox AS a\nFROM busybox\nRUN --mount=from=a,source=nowhere,target=/x true\n",
        5,
        "Dockerfile:3",
    ),
    "insecure": ("FROM busybox\nRUN --security=insecure true\n", 3, "Dockerfile:2"),
    "missing-in-add": ("FROM busybox\nADD a /\n", 5, "Dockerfile:2"),
    "before-from": ("RUN true\nFROM busybox\n", 3, "Dockerfile:1"),
    "copies-itself": ("FROM busybox AS a\nCOPY --from=a /x /\n", 3, "Dockerfile:2"),
    "cycle": ("FROM busybox AS a\nCOPY --from=b /x /\nFROM a AS b\n", 3, "Dockerfile:2"),
    "missing-source": ("FROM busybox\nCOPY nowhere /\n", 5, "Dockerfile:2"),
    "missing-wildcard": ("FROM busybox\nCOPY no/*.nope /\n", 5, "Dockerfile:2"),
    "missing-in-stage": ("FROM busybox AS a\nFROM busybox\nCOPY --from=a /nowhere /\n", 5, "Dockerfile:3"),
    "unknown-stage": ("FROM busybox\nCOPY --from=nope /x /\n", 5, "Dockerfile:2"),
    "unknown-image": ("FROM nowhere:1\n", 5, "Dockerfile:1"),
    "no-platform": ("FROM --platform=linux/riscv64 busybox\n", 5, "Dockerfile:1"),
    "unknown-platform": ("FROM --platform=linux/z80 busybox\n", 3, "Dockerfile:1"),
    "unknown-user": ("FROM busybox\nUSER nobody-here\nRUN true\n", 5, "Dockerfile:3"),
    "failing-run": ("FROM busybox\nRUN true && \\\n  false\n", 6, "Dockerfile:2"),
    "not-there": ('FROM busybox\nRUN ["/no/such/program"]\n', 6, "Dockerfile:2"),
}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile(xx: Xx, name: str) -> None:
    text, code, place = DOCKERFILES[name]
    done = xx.build(text)
    assert done.code == code, done
    words = error_of(done)
    assert words.startswith(f"ERROR: {place}"), done
    assert len(words.splitlines()) == 2, f"no remedy: {words}"


COMMAND_LINES = {
    "platform": (["--platform", "linux/z80", "."], 2),
    "platform-empty": (["--platform", ",", "."], 2),
    "output-type": (["-o", "type=registry", "."], 2),
    "output-dest": (["-o", "type=docker,tar=false", "."], 2),
    "name": (["-t", "UPPER", "."], 2),
    "build-arg": (["--build-arg", "=x", "."], 2),
    "target": (["--target", "nope", "."], 3),
    "context": (["-f", "Dockerfile", "nowhere"], 5),
    "dockerfile": (["-f", "nowhere", "."], 5),
    "secret": (["--secret", "id=a,src=nowhere", "."], 2),
    "ssh-key": (["--ssh", "default=Dockerfile", "."], 2),
    "network": (["--network", "bridge", "."], 2),
    "add-host": (["--add-host", "a", "."], 2),
    "shm-size": (["--shm-size", "much", "."], 2),
    "ulimit": (["--ulimit", "files=1", "."], 2),
    "allow": (["--allow", "everything", "."], 2),
    "host-ca": (["--host-ca", "nowhere", "."], 2),
}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_command_line(xx: Xx, name: str) -> None:
    args, code = COMMAND_LINES[name]
    xx.dockerfile("FROM busybox\n")
    done = xx.run("build", *args)
    assert done.code == code, done
    assert len(error_of(done).splitlines()) == 2, done


def test_a_wrong_flag_is_a_usage_error(xx: Xx) -> None:
    done = xx.run("build", "--no-such-flag", ".")
    assert done.code == 2 and "--no-such-flag" in done.err, done


def test_a_failing_run_tells_all_of_it(xx: Xx) -> None:
    done = xx.build("FROM busybox\nRUN seq 100; echo to stderr >&2; exit 42\n", "--platform", BOTH)
    assert done.code == 6, done
    shown = done.err.partition("------\n")[2]
    assert " | 100\n" in shown and " | to stderr\n" in shown and " | 10\n" not in shown, done
    words = error_of(done)
    assert "exit code 42" in words and "RUN seq 100" in words and "Dockerfile:2" in words and "linux/" in words
    # What came before is kept, and the next build works.
    assert xx.build("FROM busybox\nRUN true\n", "--platform", BOTH).code == 0


def test_a_run_that_cannot_begin_says_why_in_few_words(xx: Xx) -> None:
    done = xx.build('FROM busybox\nRUN ["/no/such/program"]\n')
    what, remedy = error_of(done).splitlines()
    assert "cannot be started on linux/" in what and "/no/such/program" in what and "in this stage" in remedy, done
    # What a runtime logs is not what the step printed.
    assert "level=" not in done.err and "time=" not in done.err and '"msg"' not in done.err, done
    what, remedy = error_of(xx.build("FROM busybox\nRUN exit 3\n")).splitlines()
    assert "ended with exit code 3" in what and "it printed nothing" in remedy


def test_a_killed_run_names_the_signal(xx: Xx) -> None:
    assert "SIGKILL" in error_of(xx.build("FROM busybox\nRUN sh -c 'kill -9 $$' || exit $?\n"))


def test_a_foreign_binary_in_a_native_stage_is_explained(xx: Xx) -> None:
    done = xx.build(
        "FROM --platform=linux/riscv64 scratch AS none\nFROM --platform=linux/arm64 busybox AS foreign\n"
        "FROM --platform=$BUILDPLATFORM busybox\nCOPY --from=foreign /bin/busybox /foreign\nRUN /foreign true\n",
        "--platform", "linux/amd64",
    )  # fmt: skip
    assert done.code == 6, done
    assert "another architecture" in error_of(done), done


def hidden(*paths: str) -> list[str]:
    """A command prefix that runs the rest with ``paths`` looking like empty files; for root only."""
    if os.geteuid() != 0:
        lacking("root, to hide programs in a mount namespace")
    script = "".join(f"mount --bind /dev/null {path} && " for path in paths if Path(path).exists())
    return ["unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh"]


def test_no_emulator_is_an_error_before_the_first_step(xx: Xx) -> None:
    xx.dockerfile(
        "FROM --platform=$BUILDPLATFORM busybox AS b\nRUN echo began\nFROM busybox\nCOPY --from=b /etc /x\nRUN id\n"
    )
    before = hidden("/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64")
    done = xx.run("build", "--no-cache", "--progress", "plain", "--platform", "linux/arm64", ".", before=before)
    assert done.code == 4, done
    assert "aarch64" in error_of(done) and "apt-get install -y qemu-user-static" in error_of(done)
    assert "began" not in done.err
    # A final stage that only copies needs none.
    xx.dockerfile("FROM --platform=$BUILDPLATFORM busybox AS b\nRUN true\nFROM busybox\nCOPY --from=b /etc /x\n")
    done = xx.run("build", "--no-cache", "--platform", "linux/arm64", ".", before=before)
    assert done.code == 0, done


def test_no_runtime(xx: Xx) -> None:
    xx.dockerfile("FROM busybox\nRUN echo began\n")
    places = [f"{folder}/{name}" for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin") for name in ("runc", "crun")]
    done = xx.run("build", "--no-cache", ".", before=hidden(*places))
    assert done.code == 4, done
    assert "install -y" in error_of(done) and "began" not in done.err
    done = xx.run("build", "--no-cache", ".", env={"XX_RUNTIME": "/no/such/runtime"})
    assert done.code == 4 and "XX_RUNTIME" in error_of(done)


def test_a_full_disk(xx: Xx, tmp_path: Path) -> None:
    """A store on a small disk: COPY and RUN say so, and with space the same build works."""
    small = tmp_path / "small"
    small.mkdir()
    (xx.folder / "large").write_bytes(os.urandom(30 << 20))
    # What the images take, and a little more.
    room = 24 << 10
    room += sum(path.stat().st_blocks // 2 for path in xx.store.rglob("*") if path.is_file() and not path.is_symlink())
    script = (
        f"mount -t tmpfs -o size={room}k none {small} && cp -r {xx.store}/. {small}/;"
        f"export XX_STORE={small}; cd {xx.folder};"
        '"$@" -f copy . ; echo copy $?; "$@" -f run . ; echo run $?; "$@" -f ok . ; echo ok $?'
    )
    if os.geteuid() != 0:
        lacking("root, to mount a small disk")
    xx.dockerfile("FROM scratch\nCOPY large /\n", "copy")
    xx.dockerfile("FROM busybox\nRUN dd if=/dev/zero of=/x bs=1M count=40\n", "run")
    xx.dockerfile("FROM busybox\nRUN echo still works\n", "ok")
    before = ["unshare", "--mount", "sh", "-c", script, "sh"]
    done = xx.run("build", "--no-cache", "--progress", "plain", before=before)
    assert "copy 7\n" in done.out and "run 6\n" in done.out and "ok 0\n" in done.out, done
    assert done.err.count("df -h") == 2, done


def processes_with(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if word in command:
                found.append(command)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_build_leaves_nothing(fresh: Xx, number: signal.Signals) -> None:
    marker = f"86{os.getpid()}{int(number)}"
    fresh.dockerfile(f"FROM busybox\nRUN echo first\nRUN echo begun; sleep {marker}\n")
    mounts = Path("/proc/self/mounts").read_text()
    build = fresh.start("build", "--progress", "plain", "--platform", BOTH, ".")
    assert build.stdout is not None
    seen = b""
    while seen.count(b" begun\n") < 2:
        line = build.stdout.readline()
        assert line, seen
        seen += line
    build.send_signal(number)
    rest = build.stdout.read()
    code = build.wait(timeout=60)
    assert code == (130 if number != signal.SIGKILL else -signal.SIGKILL), rest
    if number == signal.SIGKILL:
        # Nobody waits for the kernel to end the rest.
        deadline = time.monotonic() + 30
        while processes_with(f"sleep {marker}") and time.monotonic() < deadline:
            time.sleep(0.05)
    assert processes_with(f"sleep {marker}") == []
    assert Path("/proc/self/mounts").read_text() == mounts
    assert [path for path in Path("/sys/fs/cgroup").glob("**/xx-*")] == []
    # The next build takes what had finished, and clears away what had not.
    fresh.dockerfile("FROM busybox\nRUN echo first\nRUN echo next\n")
    done = fresh.run("build", "--progress", "plain", "--platform", BOTH, ".")
    assert done.code == 0 and " first\n" not in done.err.replace("RUN echo first\n", ""), done
    assert [entry.name for entry in (fresh.store / "tmp").iterdir()] == []


def test_a_context_with_everything(xx: Xx, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    os.mkfifo(xx.folder / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(xx.folder / "socket"))
        (xx.folder / "link").symlink_to(outside)
        (xx.folder / "up").symlink_to("../outside")
        (xx.folder / "file").write_text("plain")
        done = xx.build(
            "FROM busybox\nCOPY . /all\nRUN ls /all; test -p /all/fifo; readlink /all/link; cat /all/link\n"
        )
        assert done.code == 6 and "outside" in done.err and "secret" not in done.err, done
        assert " socket\n" not in done.err
        for name in ("link", "up"):
            done = xx.build(f"FROM busybox\nCOPY {name} /x\nRUN cat /x\n")
            assert done.code == 5 and "secret" not in done.err, done
        done = xx.build("FROM busybox\nCOPY socket /x\n")
        assert done.code == 5 and "socket" in error_of(done), done


def test_an_unreadable_file(xx: Xx) -> None:
    (xx.folder / "closed").write_text("x")
    (xx.folder / "closed").chmod(0)
    if os.access(xx.folder / "closed", os.R_OK):
        # root reads everything; a folder that vanished is what it cannot read.
        return
    done = xx.build("FROM busybox\nCOPY closed /\n")
    assert done.code == 5 and "closed" in error_of(done), done


def test_a_hundred_thousand_files(xx: Xx) -> None:
    for folder in range(100):
        (xx.folder / "many" / str(folder)).mkdir(parents=True)
        for name in range(1000):
            (xx.folder / "many" / str(folder) / str(name)).touch()
    done = xx.build("FROM busybox\nCOPY many /many\nRUN find /many -type f | wc -l\n")
    assert done.code == 0 and " 100000\n" in done.err, done
    assert xx.build("FROM busybox\nCOPY many /many\nRUN find /many -type f | wc -l\n").code == 0


def test_a_damaged_store(fresh: Xx) -> None:
    assert fresh.build("FROM busybox\nRUN true\n", "-t", "x").code == 0
    blobs = sorted((fresh.store / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    # In its place, not into it: the store shares its blobs with others'.
    damaged = b"{}" + bytes(blobs[0].stat().st_size - 2)
    blobs[0].unlink()
    blobs[0].write_bytes(damaged)
    done = fresh.build("FROM busybox\nRUN true\n")
    assert done.code in (0, 7), done
    if done.code:
        error_of(done)


def test_output_that_cannot_be_written(xx: Xx) -> None:
    (xx.folder / "there").mkdir()
    (xx.folder / "there/file").write_text("mine")
    xx.dockerfile("FROM busybox\n")
    for output in ("type=oci,dest=there", "type=oci,dest=there,tar=false", "type=oci,dest=there/file/out.tar"):
        done = xx.run("build", "-o", output, ".")
        assert done.code in (2, 7), done
        error_of(done)
        assert (xx.folder / "there/file").read_text() == "mine"


def test_a_closed_reader_does_not_end_the_build(xx: Xx) -> None:
    xx.dockerfile("FROM busybox\nRUN seq 20000\n")
    argv = ["bash", "-c", 'set -o pipefail; "$@" 2>&1 | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}', "sh"]
    done = subprocess.run(
        [*argv, *xx.argv("build", "--no-cache", "--progress", "plain", ".")],
        cwd=xx.folder, env=xx.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split()[-1] == "0", done
