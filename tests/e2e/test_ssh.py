"""Repositories by ssh, as the context and for ADD, and ssh in a RUN: whom they trust, and how refusals are told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import lacking
from sshserver import OTHER_PORT, SshServer, server_root, ssh_agent, ssh_server
from support import Done, Xx, error_of, output_of

BY_URL, BY_SCP = f"ssh://git@127.0.0.1:{OTHER_PORT}/data/repo.git", "git@127.0.0.1:repo.git"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A server with repo.git, whose branch ``parts`` has the submodule part.git."""
    folder = tmp_path_factory.mktemp("ssh")
    try:
        with ssh_server(folder) as running:
            running.allow(running.key("mine"))
            running.key("other")
            fill(folder)
            yield running
    except RuntimeError as error:
        lacking(str(error))


def fill(folder: Path) -> None:
    """Put the repositories there."""

    def git(*args: str) -> None:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ALLOW_PROTOCOL": "file"}
        named = ["-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *named, *args], cwd=folder, env=env, check=True, capture_output=True)

    for name in ("part", "repo"):
        (folder / name / "docker").mkdir(parents=True)
        (folder / name / "docker/f").write_text(f"of {name}\n")
        (folder / name / "Dockerfile").write_text("FROM busybox\nCOPY . /in/\nRUN ls -A /in\n")
        (folder / name / "docker/Dockerfile").write_text("FROM busybox\nCOPY f /f\nRUN cat /f\n")
        git("init", "-q", name)
        git("-C", name, "add", ".")
        git("-C", name, "commit", "-qm", "one")
        if name == "repo":
            git("-C", name, "checkout", "-qb", "parts")
            git("-C", name, "submodule", "add", "-q", "../part.git", "part")
            git("-C", name, "commit", "-qm", "two")
            git("-C", name, "checkout", "-q", "main")
        git("clone", "-q", "--bare", name, f"{name}.git")


class User:
    """Runs `xx` in the server's network, with a home that has its host key and an agent that has the right one."""

    def __init__(self, xx: Xx, server: SshServer, home: Path) -> None:
        self.xx = xx
        self.server = server
        self.known = home / ".ssh/known_hosts"
        self.known.parent.mkdir(parents=True)
        self.known.write_text(server.known_hosts())
        self.env = {"HOME": str(home), "SSH_AUTH_SOCK": str(home / "agent")}

    def build(self, *args: str) -> Done:
        return self.xx.run("build", "--progress", "plain", *args, env=self.env, before=self.server.before)

    def refused(self, *args: str) -> str:
        """The error of a build that fails for want of a source."""
        done = self.build(*args)
        assert done.code == 5 and len(error_of(done).splitlines()) == 2, done
        return error_of(done)


@pytest.fixture
def user(xx: Xx, server: SshServer, tmp_path: Path) -> Iterator[User]:
    made = User(xx, server, tmp_path / "home")
    with ssh_agent(tmp_path / "home/agent", server.folder / "mine"):
        yield made


@pytest.mark.parametrize("remote", [BY_URL, BY_SCP])
def test_the_context(user: User, remote: str) -> None:
    done = user.build("--no-cache", remote)
    assert done.code == 0 and output_of(done).splitlines() == ["Dockerfile", "docker"], done
    done = user.build("--no-cache", f"{remote}#main:docker")
    assert done.code == 0 and output_of(done) == "of repo", done
    del user.env["SSH_AUTH_SOCK"]
    assert "--ssh default" in user.refused(remote)
    agent = user.known.parents[1] / "agent"
    done = user.build("--no-cache", "--ssh", f"default={agent}", f"{remote}#main:docker")
    assert done.code == 0 and output_of(done) == "of repo", done


@pytest.mark.parametrize("remote", [BY_URL, BY_SCP])
def test_add(user: User, remote: str) -> None:
    user.xx.dockerfile(
        f"FROM busybox\nADD {remote} /src\nADD --keep-git-dir {remote}#parts /parts\n"
        "RUN ls -A /src; cat /parts/docker/f /parts/part/docker/f; cat /parts/.git/config\n"
    )
    done = user.build("--no-cache", "--ssh", "default", ".")
    assert done.code == 0, done
    assert output_of(done).splitlines()[:4] == ["Dockerfile", "docker", "of repo", "of part"], done
    assert f"\turl = {remote}\n" in output_of(done).replace("        ", "\t"), done
    # An agent that the Dockerfile alone asks for is not the Dockerfile's to have.
    assert "Dockerfile:2: " in user.refused("--no-cache", ".") and "--ssh default" in user.refused("--no-cache", ".")


def test_a_named_context(user: User) -> None:
    user.xx.dockerfile("FROM busybox\nCOPY --from=repo /docker/f /f\nRUN cat /f\n")
    done = user.build("--no-cache", "--build-context", f"repo={BY_SCP}", ".")
    assert done.code == 0 and output_of(done) == "of repo", done


def test_ssh_in_a_run(user: User) -> None:
    """With the ssh of the server's own root."""
    (server_root() / ".dockerignore").write_text("dev\nproc\nsys\nvar\ndata\nusr/share\nusr/lib/git-core\n")
    known = user.server.known_hosts().splitlines()[1]
    user.xx.dockerfile(
        f"FROM root\nRUN mkdir -p /root/.ssh && echo '{known}' >/root/.ssh/known_hosts\n"
        f"RUN --network=host --mount=type=ssh ssh -p {OTHER_PORT} git@127.0.0.1 cat repo/docker/f\n"
    )
    done = user.build("--no-cache", "--build-context", f"root={server_root()}", "--ssh", "default", ".")
    assert done.code == 0 and output_of(done) == "of repo", done


def test_a_host_that_is_not_known_and_one_that_is_another(user: User) -> None:
    known = user.known.read_text()
    user.xx.dockerfile(f"FROM busybox\nADD {BY_URL} /src\n")
    for text in ("", None):
        user.known.unlink() if text is None else user.known.write_text(text)
        assert "ssh-keyscan -p 2222 127.0.0.1 >>~/.ssh/known_hosts" in user.refused(BY_URL)
        assert "ssh-keyscan 127.0.0.1 >>~/.ssh/known_hosts" in user.refused(BY_SCP)
        assert user.refused("--ssh", "default", ".").startswith("ERROR: Dockerfile:2: ")
    assert not user.known.exists()
    other = " ".join((user.server.folder / "other.pub").read_text().split()[:2])
    user.known.write_text(f"127.0.0.1 {other}\n[127.0.0.1]:{OTHER_PORT} {other}\n")
    assert f"ssh-keygen -R '[127.0.0.1]:{OTHER_PORT}'" in user.refused(BY_URL)
    user.known.write_text(known)
    assert user.build(BY_URL).code == 0


def test_a_key_that_may_not_read_it_and_is_told_to_nobody(user: User, tmp_path: Path) -> None:
    key = user.server.folder / "other"
    user.xx.dockerfile(f"FROM busybox\nADD {BY_URL} /src\n")
    before = user.server.refusals()
    with ssh_agent(tmp_path / "agent", key):
        user.env["SSH_AUTH_SOCK"] = str(tmp_path / "agent")
        for args in ((BY_URL,), (BY_SCP,), ("--ssh", "default", ".")):
            assert "ssh-add -l" in user.refused("--no-cache", *args)
        shown = user.build("--debug", "--no-cache", BY_URL)
    # Servers shut out whoever tries often.
    assert user.server.refusals() == before + 4
    # The first line of what stands between its marks is the same in every key.
    secrets = [*key.read_text().splitlines()[2:-1], key.with_suffix(".pub").read_text().split()[1]]
    for text in secrets:
        assert text not in shown.err + shown.out
        found = subprocess.run(["grep", "-rlF", "-e", text, user.xx.store], capture_output=True, check=False)
        assert found.returncode == 1, found
    # The agent is gone now.
    assert "ssh-add -l" in user.refused(BY_URL)


def test_what_is_no_repository(user: User) -> None:
    said = user.refused(BY_SCP.replace("repo", "nope"))
    assert "nope" in said and "correct access rights" not in said and "HTTPS_PROXY" not in said
    assert "refused" in user.refused(BY_URL.replace(f":{OTHER_PORT}", ":1"))
    assert "'nope'" in user.refused(f"{BY_URL}#nope")
