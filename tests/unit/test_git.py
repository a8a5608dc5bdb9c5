"""Git repositories: which commit a ref is, what is fetched, and how failures are told."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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
    monkeypatch.setattr(Git, "_environment", lambda self: {**real(self), "GIT_ALLOW_PROTOCOL": "file"})
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
    plain = Git(HostCa())._environment()
    assert plain["GIT_TERMINAL_PROMPT"] == "0" and plain["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert "file" not in plain["GIT_ALLOW_PROTOCOL"] and "ext" not in plain["GIT_ALLOW_PROTOCOL"]
    assert "evil" not in plain["GIT_SSH_COMMAND"] and "SSH_AUTH_SOCK" not in plain
    given = Git(HostCa(tmp_path / "ca.pem"), "/agent")._environment()
    assert given["GIT_SSL_CAINFO"] == str(tmp_path / "ca.pem") and given["SSH_AUTH_SOCK"] == "/agent"


def test_failures_name_the_program_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError) as caught:
        Git(HostCa()).resolve("http://me:secret@127.0.0.1:1/x.git", "main")
    assert caught.value.reason == "git-unreachable" and "secret" not in " ".join(caught.value.lines())
    monkeypatch.setattr(process, "minimal_environment", lambda: {"PATH": "/nowhere"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError) as missing:
        Git(HostCa()).resolve("http://127.0.0.1:1/x.git", "main")
    assert missing.value.reason == "program-missing" and missing.value.remedy == "apt-get install -y git"
