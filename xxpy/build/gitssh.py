"""ssh for git: whom it trusts, which keys it offers, and its failures in words.

Keys come from an agent alone, as with BuildKit. Host keys are those that the user or the machine knows: BuildKit takes
whichever a server shows, and so would take that of whoever stands in between. Source: ssh_config(5), ssh(1).
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
from urllib.parse import urlsplit

from xxpy.build.dockerfile.remote import shown
from xxpy.errors import SourceError

_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "IdentityFile=none",
    "LogLevel=ERROR",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)
_BY_SSH = re.compile(r"ssh://|[^/:]+@[^/:]+:")
_UNKNOWN = re.compile(r"host key is known for (\S+) and you have requested strict checking")
_CHANGED = re.compile(r"[Hh]ost key for (\S+) has changed")
_REFUSED = re.compile(r"Permission denied \(|Too many authentication failures")
_NOT_THERE = re.compile(r"cannot run ssh|ssh: (command )?not found")


def is_ssh(remote: str) -> bool:
    """Whether git reaches a repository by ssh: ``ssh://…`` or ``user@host:path``."""
    return _BY_SSH.match(remote) is not None


def is_ssh_missing(words: str) -> bool:
    """Whether git says that there is no program ``ssh``."""
    return _NOT_THERE.search(words) is not None


def command(remote: str) -> str:
    """The value of GIT_SSH_COMMAND; the user's own files of known hosts are those in HOME."""
    known = os.path.join(os.path.expanduser("~"), ".ssh", "known_hosts").replace("%", "%%")
    argv = ["ssh", "-F", "/dev/null"]
    for option in (*_OPTIONS, f'UserKnownHostsFile="{known}"'):
        argv += ["-o", option]
    if remote.startswith("ssh://") and urlsplit(remote).username is None:
        # The name outside, where the worker's namespace has another.
        argv += ["-l", _user()]
    return shlex.join(argv)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def no_agent(remote: str) -> SourceError:
    """The error where no agent was given."""
    return SourceError(
        f"the repository {shown(remote)} is reached by ssh, and no ssh-agent is given",
        remedy='have one (eval "$(ssh-agent)" && ssh-add) and give it to the build: --ssh default',
        reason="ssh-missing",
    )


def failure(remote: str, words: str) -> SourceError | None:
    """What ssh has said in ``words`` as an error, None if it is not about keys."""
    if found := _UNKNOWN.search(words):
        what, reason = f"the host key of {found[1]} is not known here", "host-key-unknown"
        remedy = f"see that it is the right one, and add it: {_scan(found[1])} >>~/.ssh/known_hosts"
    elif found := _CHANGED.search(words):
        what, reason = f"{found[1]} shows another host key than the one that is known", "host-key-changed"
        remedy = f"it may be another's machine; if it was really changed: ssh-keygen -R {shlex.quote(found[1])}"
    elif _REFUSED.search(words):
        what, reason = "the server takes no key of the ssh-agent", "ssh-key-refused"
        remedy = "let the agent have one that may read it: ssh-add FILE (ssh-add -l shows which it has)"
    else:
        return None
    return SourceError(f"the repository {shown(remote)} cannot be fetched: {what}", remedy=remedy, reason=reason)


def _scan(host: str) -> str:
    """The command that prints the keys of a host, which is ``NAME`` or ``[NAME]:PORT`` as in known_hosts."""
    if named := re.fullmatch(r"\[(.+)\]:(\d+)", host):
        return f"ssh-keyscan -p {named[2]} {shlex.quote(named[1])}"
    return f"ssh-keyscan {shlex.quote(host)}"
