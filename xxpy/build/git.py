"""Git repositories, of ADD and contexts: which commit a ref is, and its files. Done by the program ``git``,
which reads no configuration of the user, asks nobody anything, and speaks no protocol but HTTP, SSH and its own.

Source: git(1), "Environment Variables"; gitrepository-layout(5); Dockerfile reference, "Adding files from a Git
repository" for what a ref may be and which modes files get.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xxpy.build import gitssh
from xxpy.build.credentials import AGENT
from xxpy.build.dockerfile.remote import shown
from xxpy.build.engine import process
from xxpy.build.hostca import HostCa
from xxpy.errors import HostError, SourceError

ASK_SECONDS, FETCH_SECONDS = 120, 3600
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_EVERYTHING = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
_SETTINGS = {
    "advice.detachedHead": "false",
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "credential.helper": "",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "safe.directory": "*",
}
_ADVICE = ("Please make sure you have the correct access rights", "and the repository exists.")


@dataclass(frozen=True)
class Ref:
    """A ref of a repository and its commit. ``name`` is its full name (``refs/heads/main``), empty for a commit."""

    commit: str
    name: str = ""


class Git:
    """The program, with the certificates and the socket of the ssh-agent that it may use."""

    def __init__(self, host_ca: HostCa, ssh_agent: Path | None = None) -> None:
        self._host_ca = host_ca
        self._ssh_agent = ssh_agent

    def resolve(self, remote: str, ref: str, checksum: str = "") -> Ref:
        """The commit that ``ref`` is; of a full commit nobody is asked. A branch goes before a tag of the same name.

        Raises SourceError (``git-unreachable``, ``git-ref-missing``, ``checksum-mismatch``, and those of `gitssh`),
        HostError.
        """
        found = Ref(ref) if _COMMIT.fullmatch(ref) else self._asked(remote, ref)
        if not found.commit.startswith(checksum):
            raise SourceError(
                f"{ref or 'HEAD'} of {shown(remote)} is {found.commit}, --checksum says {checksum}",
                remedy="see which of the two is right: the ref may have been moved",
                reason="checksum-mismatch",
            )
        return found

    def _asked(self, remote: str, ref: str) -> Ref:
        names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}"]
        names = names if ref else ["HEAD"]
        wanted = [each for name in names for each in (f"{name}^{{}}", name)]
        self._require_agent(remote)
        text = self._run(remote, ["ls-remote", "--", remote, *wanted], seconds=ASK_SECONDS)
        known = {name: commit for commit, _, name in (line.partition("\t") for line in text.splitlines())}
        for name in wanted:
            if _COMMIT.fullmatch(known.get(name, "")):
                return Ref(known[name], name.removesuffix("^{}") if ref else "")
        raise SourceError(
            f"{shown(remote)} has no branch and no tag {ref!r}" if ref else f"{shown(remote)} is empty",
            remedy="name a branch, a tag or a whole commit behind the #",
            reason="git-ref-missing",
        )

    def checkout(self, remote: str, ref: Ref, folder: Path, *, keep: bool, submodules: bool) -> None:
        """Put the files of a commit into the empty folder, with ``.git`` if it is to be kept.

        Raises SourceError (``git-unreachable``, ``git-ref-missing``), HostError, OSError.
        """
        at = ["-C", os.fspath(folder)]
        self._run(remote, [*at, "init", "--quiet", "--template="])
        self._fetch(remote, ref, at)
        self._run(remote, [*at, "checkout", "--quiet", "--detach", ref.commit, "--"])
        if submodules and (folder / ".gitmodules").is_file():
            # Relative addresses are taken from origin's.
            self._run(remote, [*at, "remote", "add", "origin", remote])
            self._submodules(remote, at)
            self._run(remote, [*at, "remote", "remove", "origin"])
        if keep:
            self._tidy(remote, ref, at, folder)
        else:
            for path in list(_git_folders(folder)):
                path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)

    def _fetch(self, remote: str, ref: Ref, at: list[str]) -> None:
        """Get the commit: alone if the server lets it be asked for, else by its name, else with all there is."""
        self._require_agent(remote)
        named = [f"+{ref.name}:{ref.name}"] if ref.name else []
        tries: list[list[str]] = [["--depth=1", "--", remote, ref.commit]]
        if named:
            tries += [["--depth=1", "--", remote, *named], ["--", remote, *named]]
        tries.append(["--", remote, *_EVERYTHING])
        failed: SourceError | None = None
        for more in tries:
            try:
                self._run(
                    remote, [*at, "fetch", "--quiet", "--no-tags", "--update-head-ok", *more], seconds=FETCH_SECONDS
                )
            except SourceError as error:
                if error.reason != "git-unreachable":
                    raise
                failed = error
                continue
            failed = None
            with contextlib.suppress(SourceError):
                self._run(remote, [*at, "cat-file", "-e", f"{ref.commit}^{{commit}}"])
                return
        raise failed or SourceError(
            f"{shown(remote)} has no commit {ref.commit}",
            remedy="name a branch, a tag or a whole commit behind the #",
            reason="git-ref-missing",
        )

    def _submodules(self, remote: str, at: list[str]) -> None:
        update = [*at, "submodule", "--quiet", "update", "--init", "--recursive"]
        try:
            self._run(remote, [*update, "--depth=1"], seconds=FETCH_SECONDS)
        except SourceError:
            self._run(remote, update, seconds=FETCH_SECONDS)

    def _tidy(self, remote: str, ref: Ref, at: list[str], folder: Path) -> None:
        """Leave a repository that knows its ref and where it is from, and nothing of how it was fetched."""
        if ref.name:
            self._run(remote, [*at, "update-ref", ref.name, ref.commit])
        # A user's name may be a token, but by ssh it is part of the address.
        origin = remote if gitssh.is_ssh(remote) else shown(remote)
        self._run(remote, [*at, "remote", "add", "origin", origin])
        (folder / ".git/FETCH_HEAD").unlink(missing_ok=True)
        shutil.rmtree(folder / ".git/logs", ignore_errors=True)

    def _require_agent(self, remote: str) -> None:
        if gitssh.is_ssh(remote) and self._ssh_agent is None:
            raise gitssh.no_agent(remote)

    def _run(self, remote: str, args: list[str], seconds: float = FETCH_SECONDS) -> str:
        """Raises SourceError (``git-unreachable``, or of `gitssh`), HostError (``program-missing``)."""
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        env = self._environment(remote)
        try:
            return process.output_of(["git", *settings, *args], package="git", env=env, timeout=seconds)
        except HostError as error:
            if error.reason == "program-missing":
                raise
            if gitssh.is_ssh_missing(error.message):
                raise process.missing("ssh", "openssh-client") from None
            right = "see whether the address is right"
            raise gitssh.failure(remote, error.message) or SourceError(
                f"the repository {shown(remote)} cannot be fetched: {_words(error.message, remote)}",
                remedy=right
                if gitssh.is_ssh(remote)
                else f"{right}, and whether this machine needs a proxy (HTTPS_PROXY)",
                reason="git-unreachable",
            ) from None

    def _environment(self, remote: str) -> dict[str, str]:
        made = {
            **process.minimal_environment(),
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
            "GIT_SSH_COMMAND": gitssh.command(remote),
        }
        if self._host_ca.bundle is not None:
            made["GIT_SSL_CAINFO"] = str(self._host_ca.bundle)
        return made | ({} if self._ssh_agent is None else {AGENT: str(self._ssh_agent)})


def _words(message: str, remote: str) -> str:
    """What git has said, in one line."""
    lines = [line.strip() for line in message.replace(remote, shown(remote)).splitlines()]
    return "; ".join(line for line in lines if line and line not in _ADVICE)


def _git_folders(folder: Path) -> Iterator[Path]:
    """The ``.git`` of a repository, and of each submodule in it."""
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if name == ".git":
                yield Path(here) / name
        folders[:] = [name for name in folders if name != ".git"]
