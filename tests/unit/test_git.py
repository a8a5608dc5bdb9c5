"""Git repositories: which commit a ref is, what is fetched, and how failures are told."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from xxpy.build import gitssh
from xxpy.build.engine import process
from xxpy.build.git import Git, Ref
from xxpy.build.hostca import HostCa
from xxpy.errors import HostError, SourceError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *args: str) -> str:
    names = {f"GIT_{who}_{what}": "t@t.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    argv = ["git", "-C", str(folder), *args]
    env = {**os.environ, **names, "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with ``main``, a branch and an annotated tag of the same name ``both``, and a tag ``light``."""
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet", "-b", "main")
    for name in ("one", "two"):
        (work / name).write_text(name)
        git(work, "add", ".")
        git(work, "commit", "--quiet", "-m", name)
    git(work, "tag", "-a", "both", "-m", "both", "HEAD~1")
    git(work, "tag", "light", "HEAD~1")
    git(work, "branch", "both")
    # Only in these tests: builds speak to no repository on their own disk.
    real = Git._environment
    monkeypatch.setattr(Git, "_environment", lambda self, remote: {**real(self, remote), "GIT_ALLOW_PROTOCOL": "file"})
    return work


def test_refs(repository: Path) -> None:
    ours, at = Git(HostCa()), str(repository)
    first, last = git(repository, "rev-parse", "main~1"), git(repository, "rev-parse", "main")
    assert ours.resolve(at, "") == Ref(last)
    assert ours.resolve(at, "main") == Ref(last, "refs/heads/main")
    assert ours.resolve(at, "both") == Ref(last, "refs/heads/both")
    assert ours.resolve(at, "refs/tags/both") == Ref(first, "refs/tags/both")
    assert ours.resolve(at, "light", first[:8]) == Ref(first, "refs/tags/light")
    assert ours.resolve("nowhere", first) == Ref(first)
    for ref, checksum, reason in (("nope", "", "git-ref-missing"), ("main", first[:8], "checksum-mismatch")):
        with pytest.raises(SourceError) as caught:
            ours.resolve(at, ref, checksum)
        assert caught.value.reason == reason


def test_what_is_kept_of_a_repository(repository: Path, tmp_path: Path) -> None:
    ours, at = Git(HostCa()), f"file://{repository}"
    for keep in (False, True):
        folder = tmp_path / f"out-{keep}"
        folder.mkdir()
        ours.checkout(at, ours.resolve(at, "main"), folder, keep=keep, submodules=True)
        assert (folder / "two").read_text() == "two" and (folder / ".git").exists() is keep
    assert git(folder, "rev-parse", "HEAD", "main").split() == [git(repository, "rev-parse", "main")] * 2
    assert not (folder / ".git/FETCH_HEAD").exists() and not (folder / ".git/logs").exists()
    commit = git(repository, "rev-parse", "main~1")
    old = tmp_path / "old"
    old.mkdir()
    ours.checkout(at, Ref(commit), old, keep=False, submodules=True)
    assert sorted(path.name for path in old.iterdir()) == ["one"]


def test_the_environment_is_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "evil")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/the/users")
    plain = Git(HostCa())._environment("https://h.test/x.git")
    assert plain["GIT_TERMINAL_PROMPT"] == "0" and plain["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert "file" not in plain["GIT_ALLOW_PROTOCOL"] and "ext" not in plain["GIT_ALLOW_PROTOCOL"]
    assert "evil" not in plain["GIT_SSH_COMMAND"] and "SSH_AUTH_SOCK" not in plain
    given = Git(HostCa(tmp_path / "ca.pem"), Path("/agent"))._environment("https://h.test/x.git")
    assert given["GIT_SSL_CAINFO"] == str(tmp_path / "ca.pem") and given["SSH_AUTH_SOCK"] == "/agent"


def test_failures_name_the_program_and_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "debug", True)
    with pytest.raises(SourceError) as caught:
        Git(HostCa()).resolve("http://me:secret@127.0.0.1:1/x.git", "main")
    assert caught.value.reason == "git-unreachable" and "secret" not in " ".join(caught.value.lines())
    echoed = capsys.readouterr().err
    assert "ls-remote -- http://127.0.0.1:1/x.git" in echoed and "secret" not in echoed
    monkeypatch.setattr(process, "minimal_environment", lambda: {"PATH": "/nowhere"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError) as missing:
        Git(HostCa()).resolve("http://127.0.0.1:1/x.git", "main")
    assert missing.value.reason == "program-missing" and missing.value.remedy == "apt-get install -y git"


def test_by_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for remote, by in (
        ("ssh://h.test/x", True), ("git@h.test:x.git", True), ("https://me@h.test:1/x.git", False), ("/a@b:c", False),
    ):  # fmt: skip
        assert gitssh.is_ssh(remote) is by
    with pytest.raises(SourceError) as caught:
        Git(HostCa()).resolve("git@h.test:x.git", "main")
    assert caught.value.reason == "ssh-missing" and "--ssh default" in caught.value.remedy
    assert Git(HostCa()).resolve("git@h.test:x.git", "0" * 40) == Ref("0" * 40)
    monkeypatch.setenv("HOME", "/a b%")
    monkeypatch.setenv("LOGNAME", "me")
    words = shlex.split(gitssh.command("ssh://h.test/x"))
    assert 'UserKnownHostsFile="/a b%%/.ssh/known_hosts"' in words and words[-2:] == ["-l", "me"]
    assert "StrictHostKeyChecking=yes" in words and "-l" not in shlex.split(gitssh.command("ssh://you@h.test/x"))
    (tmp_path / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setattr(process, "minimal_environment", lambda: {"PATH": str(tmp_path)})
    with pytest.raises(HostError) as missing:
        Git(HostCa(), Path("/agent")).resolve("git@h.test:x.git", "main")
    assert missing.value.remedy == "apt-get install -y openssh-client"


@pytest.mark.parametrize(
    ("words", "reason", "remedy"),
    [
        ("No ED25519 host key is known for h.test and you have requested strict checking.", "host-key-unknown",
         "ssh-keyscan h.test >>"),
        ("No RSA host key is known for [::1]:22 and you have requested strict checking.", "host-key-unknown",
         "ssh-keyscan -p 22 ::1 >>"),
        ("Host key for [h.test]:2 has changed and you have requested strict checking.", "host-key-changed",
         "ssh-keygen -R '[h.test]:2'"),
        ("git@h.test: Permission denied (publickey).", "ssh-key-refused", "ssh-add"),
        ("Received disconnect: 2: Too many authentication failures", "ssh-key-refused", "ssh-add"),
    ],
)  # fmt: skip
def test_what_ssh_says(words: str, reason: str, remedy: str) -> None:
    found = gitssh.failure("ssh://me@h.test/x", f"git ended with exit code 128: {words}\nfatal: Could not read")
    assert found is not None and found.reason == reason and remedy in found.remedy
    assert "\n" not in found.message and "me@" not in found.message
    assert gitssh.failure("ssh://h.test/x", "ssh: connect to host h.test port 22: Connection refused") is None
