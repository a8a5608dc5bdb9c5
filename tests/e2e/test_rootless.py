"""Whole builds by a user who is not root: with a range of subordinate ids, and what is told without one."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import pytest
import rich
from conftest import lacking
from sshserver import USER, ssh_agent, ssh_server
from support import BOTH, ROOT, START, Done, output_of
from webserver import serving

UID, NAME = 64123, "xx-tester"
PYTHON = "/usr/bin/python3"


class Rootless:
    """Runs `xx` as a user that exists only in a mount namespace: nothing of the machine is changed for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        etc = home / "etc"
        etc.mkdir()
        (etc / "passwd").write_text(Path("/etc/passwd").read_text() + f"{NAME}:x:{UID}:{UID}::{home}:/bin/sh\n")
        for name in ("subuid", "subgid"):
            (etc / name).write_text(f"{NAME}:500000:65536\n")
        # The checkout and the environment may lie where only root may look.
        library = home / "library"
        shutil.copytree(ROOT / "xxpy", library / "xxpy", ignore=shutil.ignore_patterns("__pycache__"))
        for module in (click, rich):
            assert module.__file__ is not None
            shutil.copytree(Path(module.__file__).parent, library / module.__name__)
        for extra in ("pygments", "markdown_it", "mdurl", "requests", "urllib3", "idna", "certifi"):
            source = Path(rich.__file__).parents[1] / extra
            if source.is_dir():
                shutil.copytree(source, library / extra)
        for path in [home, *home.rglob("*")]:
            os.chown(path, UID, UID, follow_symlinks=False)

    def run(
        self, *args: str, without: str = "", before: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> Done:
        mounts = [f"mount --bind {self.home}/etc/{name} /etc/{name}" for name in ("passwd", "subuid", "subgid")]
        # As udev makes it, which not every machine runs.
        tun = self.home / "tun"
        tun.mkdir(exist_ok=True)
        mounts += [
            f"mount -t tmpfs tmpfs {tun}",
            f"mknod -m 666 {tun}/tun c 10 200",
            f"mount --bind {tun}/tun /dev/net/tun",
        ]
        if without:
            mounts.append(f"mount --bind /dev/null {without}")
        user = f'exec setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all "$@"'
        script = " && ".join(["touch /etc/subuid /etc/subgid", *mounts, f"cd {self.home}", user])
        argv = [*before, "unshare", "--mount", "sh", "-c", script, "sh", PYTHON, "-c", START, *args]
        env = {
            "PATH": "/usr/bin:/bin", "HOME": str(self.home), "PYTHONPATH": str(self.home / "library"),
            "PYTHONDONTWRITEBYTECODE": "1", "USER": NAME, **(env or {}),
        }  # fmt: skip
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=600)
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def rootless() -> Iterator[Rootless]:
    if os.geteuid() != 0:
        lacking("root, to become another user in a mount namespace")
    asked = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True, text=True
    )
    if asked.stdout.strip() != "True":
        lacking(f"{PYTHON} is older than 3.11")
    if shutil.which("newuidmap") is None:
        lacking("newuidmap is not installed")
    # Below /var/tmp, because pytest's folders are closed to other users.
    home = Path(f"/var/tmp/xx-rootless-{os.getpid()}")
    home.mkdir()
    try:
        yield Rootless(home)
    finally:
        shutil.rmtree(home)


def test_base_and_build_for_both_platforms(rootless: Rootless) -> None:
    done = rootless.run("base", "busybox", "--platform", BOTH)
    assert done.code == 0, done
    (rootless.home / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM busybox AS b\nARG TARGETARCH\nRUN echo $TARGETARCH >/x; chown 1000:50 /x\n"
        "FROM busybox\nCOPY --from=b /x /x\nRUN uname -m; stat -c %u:%g /x; echo $(ls /sys/class/net)\nUSER 65534\n"
        "RUN id -u\n"
    )
    done = rootless.run("build", "--progress", "plain", "--platform", BOTH, "-o", "type=oci,dest=out.tar", ".")
    assert done.code == 0, done
    for word in ("x86_64", "aarch64", "1000:50", "eth0 lo", "65534"):
        assert f" {word}\n" in done.err, word
    assert (rootless.home / "out.tar").stat().st_uid == UID
    again = rootless.run("build", "--progress", "plain", "--platform", BOTH, ".")
    assert again.code == 0 and " DONE " not in again.err, again


def test_mounts(rootless: Rootless) -> None:
    assert rootless.run("base", "busybox").code == 0
    (rootless.home / "f").write_text("of the context\n")
    (rootless.home / "Dockerfile").write_text(
        "FROM busybox\nUSER 1234\nRUN --mount=type=cache,target=/c,uid=1234 --mount=type=secret,id=f,uid=1234 "
        "--mount=source=f,target=/g --mount=from=busybox,target=/b,rw --mount=type=tmpfs,target=/t "
        "touch /c/x /t/y && ls -ln /c/x && cat /run/secrets/f && cmp /run/secrets/f /g && ls /b/bin/sh\n"
        "RUN --network=none --mount=type=cache,target=/c,uid=1234 ls /c; ip -o link | cut -d: -f2; ulimit -n\n"
    )
    given = ("--secret", "id=f,src=f", "--ulimit", "nofile=99")
    done = rootless.run("build", "--progress", "plain", "--no-cache", *given, ".")
    assert done.code == 0, done
    for word in ("of the context", "/b/bin/sh", "x", "lo", "99"):
        assert re.search(rf" {re.escape(word)}$", done.err, re.MULTILINE), (word, done)
    done = rootless.run("build", "--ulimit", "nofile=1:-1", ".")
    assert done.code == 4 and "--ulimit nofile" in done.err, done


def test_add_of_an_archive_a_url_and_a_repository(rootless: Rootless, tmp_path: Path) -> None:
    assert rootless.run("base", "busybox").code == 0
    with tarfile.open(rootless.home / "a.tar", "w") as tar:
        for name, kind, uid in (("f", tarfile.REGTYPE, 1000), ("null", tarfile.CHRTYPE, 0)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.uid, entry.mode = kind, uid, 0o640
            tar.addfile(entry)
    with tarfile.open(rootless.home / "far.tar", "w") as tar:
        entry = tarfile.TarInfo("f")
        entry.uid = 1_000_000
        tar.addfile(entry)
    with serving(tmp_path / "web") as web:
        web.put("f", b"fetched")
        work = tmp_path / "web/r"
        script = "git init -q . && echo x >in-git && git add . && git -c user.name=t -c user.email=t commit -qm x"
        work.mkdir()
        subprocess.run(["sh", "-c", f"{script} && git clone -q --bare . ../r.git"], cwd=work, check=True)
        subprocess.run(["git", "update-server-info"], cwd=tmp_path / "web/r.git", check=True)
        (rootless.home / "Dockerfile").write_text(
            f"FROM busybox\nADD a.tar /a\nADD --link {web.url}/f /u/\nADD {web.url}/r.git /r\n"
            "RUN stat -c '%n %u:%g %a' /a/f /u/f /r/in-git; ls /a\n"
        )
        done = rootless.run("build", "--progress", "plain", ".")
    assert done.code == 0, done
    for words in ("/a/f 1000:0 640", "/u/f 0:0 600", "/r/in-git 0:0 644", "left out null: a device"):
        assert words in done.err, done
    (rootless.home / "Dockerfile").write_text("FROM busybox\nADD far.tar /a\n")
    far = rootless.run("build", ".")
    assert far.code == 5 and "belongs to 1000000:0" in far.err, far


def test_the_doctor_agrees(rootless: Rootless) -> None:
    done = rootless.run("doctor")
    assert done.code == 0, done


def test_without_subordinate_ids_the_mend_is_named(rootless: Rootless) -> None:
    (rootless.home / "Dockerfile").write_text("FROM busybox\nRUN echo never\n")
    done = rootless.run("build", "--no-cache", ".", without="/etc/subuid")
    assert done.code == 4 and "usermod --add-subuids" in done.err and "Traceback" not in done.err, done
    assert rootless.run("doctor", without="/etc/subuid").code == 4


def test_without_newuidmap_the_package_is_named(rootless: Rootless) -> None:
    found = shutil.which("newuidmap")
    assert found is not None
    done = rootless.run("build", "--no-cache", ".", without=found)
    assert done.code == 4 and "Traceback" not in done.err, done
    assert "uidmap" in done.err


def test_rootless_files_are_the_users(rootless: Rootless) -> None:
    done = rootless.run("base", "busybox")
    assert done.code == 0, done
    context = rootless.home / "outputs"
    context.mkdir(mode=0o777)
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN mkdir /d && echo x >/d/f && chown -R 5:6 /d && chmod 500 /d\n"
    )
    os.chown(context, rootless.home.stat().st_uid, rootless.home.stat().st_gid)
    done = rootless.run(
        "build", "--progress", "plain", "-o", "outputs/out", "-o", "type=tar,dest=outputs/r.tar", "outputs"
    )
    assert done.code == 0, done
    info = (context / "out/d/f").stat()
    assert (info.st_uid, info.st_gid) == (rootless.home.stat().st_uid, rootless.home.stat().st_gid)
    assert stat.S_IMODE((context / "out/d").stat().st_mode) == 0o500
    with tarfile.open(context / "r.tar") as tar:
        assert (tar.getmember("d/f").uid, tar.getmember("d/f").gid) == (5, 6)
    again = rootless.run("build", "--progress", "plain", "-o", "outputs/out", "outputs")
    assert again.code == 0, again
    closed = context / "closed"
    closed.mkdir(mode=0o555)
    for output in ("outputs/closed", "type=tar,dest=outputs/closed/x/r.tar", "type=oci,dest=outputs/closed/o"):
        done = rootless.run("build", "-o", output, "outputs")
        assert done.code == 7 and "not writable" in done.err and "=>" not in done.err, done


def test_a_repository_by_ssh(rootless: Rootless, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The worker, which is root in its namespace, goes by the user's agent, known hosts and name."""
    assert rootless.run("base", "busybox").code == 0
    folder = tmp_path_factory.mktemp("ssh")
    try:
        with ssh_server(folder) as server, ssh_agent(rootless.home / "agent", server.key("mine"), user=UID):
            server.allow(folder / "mine")
            commit = "git add . && git -c user.name=t -c user.email=t commit -qm x"
            script = f"git init -q -b main r && cd r && echo yes >f && {commit}"
            subprocess.run(["sh", "-c", f"{script} && git clone -q --bare . ../r.git"], cwd=folder, check=True)
            home = rootless.home / ".ssh"
            home.mkdir(mode=0o700)
            (home / "known_hosts").write_text(server.known_hosts())
            for path in (home, home / "known_hosts"):
                os.chown(path, UID, UID)
            adds = f"ADD {USER}@127.0.0.1:r.git /one\nADD ssh://127.0.0.1/data/r.git#main /two"
            (rootless.home / "Dockerfile").write_text(f"FROM busybox\n{adds}\nRUN cat /*/f\n")
            given = {"SSH_AUTH_SOCK": str(rootless.home / "agent"), "LOGNAME": USER}
            args = ("build", "--progress", "plain", "--no-cache", "--ssh", "default", ".")
            done = rootless.run(*args, before=server.before, env=given)
            assert done.code == 0 and output_of(done).split().count("yes") == 2, done
    except RuntimeError as error:
        lacking(str(error))


def test_files_of_every_user_in_the_range_are_theirs(rootless: Rootless) -> None:
    assert rootless.run("base", "busybox").code == 0
    ids = (0, 1, 2, 99, 100, 999, 1000, 1001, 9999, 32767, 32768, 65533, 65534, 65535)
    words = " ".join(map(str, ids))
    (rootless.home / "Dockerfile").write_text(
        f"FROM busybox\nRUN mkdir /o; for id in {words}; do echo $id >/o/$id; chown $id:$id /o/$id; done\n"
        f"RUN for id in {words}; do [ $(stat -c %u:%g /o/$id) = $id:$id ] || exit 1; done\n"
        "RUN touch /far; chown 70000 /far && exit 1 || echo refused\n"
    )
    done = rootless.run("build", "--progress", "plain", "-o", "type=tar,dest=root.tar", ".")
    assert done.code == 0 and " refused\n" in done.err, done
    with tarfile.open(rootless.home / "root.tar") as tar:
        found = {entry.name: (entry.uid, entry.gid) for entry in tar if entry.name.startswith("o/") and entry.isfile()}
    assert found == {f"o/{each}": (each, each) for each in ids}


def test_files_of_other_users_are_measured_and_pruned(rootless: Rootless) -> None:
    done = rootless.run("base", "busybox")
    assert done.code == 0, done
    text = "FROM busybox\nRUN mkdir -m 700 /d && dd if=/dev/zero of=/d/f bs=1M count=3 && chown -R 1000:50 /d\n"
    (rootless.home / "Dockerfile").write_text(text)
    done = rootless.run("build", ".")
    assert done.code == 0, done
    store = rootless.home / ".local/share/xx"
    listed = rootless.run("cache", "du", "--format", "json", "--filter", "type=snapshot")
    assert max(json.loads(line)["Size"] for line in listed.out.splitlines()) > 3 << 20, listed
    done = rootless.run("cache", "prune", "--all", "--force")
    assert done.code == 0 and os.listdir(store / "snapshots") == os.listdir(store / "tmp") == [], done
    assert rootless.run("build", ".").code == 0
