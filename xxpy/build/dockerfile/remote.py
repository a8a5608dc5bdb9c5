"""Sources of ADD that are not files of the context: URLs and git repositories, told apart and read as text.

Source: Dockerfile reference, "Adding files from a URL" and "Adding files from a Git repository"; Docker's build context
documentation, "URL fragments" and "URL queries".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from xxpy.build.graph import SourceOp
from xxpy.errors import DockerfileError

HTTP = ("http://", "https://")
GIT = "git://"

_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^#]+(#.*)?")
_REF = re.compile(r"(?!-)[A-Za-z0-9._/+@-]{1,250}")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{1,64}")
_QUERY = {"ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules"}
_SWITCH = {"": True, "1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True)
class GitSource:
    """A repository: ``remote`` as git takes it, ``ref`` a branch, tag or commit (empty for HEAD), ``subdir`` in it.

    ``checksum`` is what the commit begins with, empty for any. ``keep_git_dir`` is None where the URL does not say.
    """

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True

    def op(self, checksum: str, keep_git_dir: bool) -> SourceOp:
        """The source vertex's operation, in LLB's names."""
        attrs = {"git.fullurl": self.remote}
        if wanted := checksum or self.checksum:
            attrs["git.checksum"] = wanted
        if keep_git_dir if self.keep_git_dir is None else self.keep_git_dir:
            attrs["git.keepgitdir"] = "true"
        if not self.submodules:
            attrs["git.skipsubmodules"] = "true"
        place = self.remote.partition("://")[2] or self.remote
        return SourceOp(f"{GIT}{place}#{self.ref}", tuple(sorted(attrs.items())))


def is_url(source: str) -> bool:
    """Whether a source is a file to fetch (or a repository: ask `git_source` first)."""
    return source.startswith(HTTP)


def git_source(source: str) -> GitSource | None:
    """The repository that a source names, None if it names none.

    Over HTTP a path that ends with ``.git`` does; ``git://``, ``ssh://`` and ``user@host:path`` always do. Raises
    DockerfileError (``bad-git-url``).
    """
    scheme, separator, _ = source.partition("://")
    if not separator:
        if not _SCP.fullmatch(source):
            return None
        remote, _, fragment = source.partition("#")
        return _with_fragment(GitSource(remote), fragment, source)
    if scheme not in ("http", "https", "git", "ssh"):
        return None
    parts = _split(source)
    if scheme in ("http", "https") and not parts.path.endswith(".git"):
        return None
    remote = parts._replace(query="", fragment="").geturl()
    return _with_query(_with_fragment(GitSource(remote), parts.fragment, source), parts.query, source)


def _split(source: str) -> SplitResult:
    try:
        parts = urlsplit(source)
        secret = parts.password
    except ValueError:
        raise _bad_url(source, "it is no URL") from None
    if secret:
        raise DockerfileError(
            f"the source {shown(source)} has a password in it, which everybody on this machine would see",
            remedy="fetch it in a RUN with --mount=type=secret, or clone it and give it by --build-context",
            reason="password-in-url",
        )
    return parts


def _with_fragment(found: GitSource, fragment: str, source: str) -> GitSource:
    ref, _, subdir = unquote(fragment).partition(":")
    return _checked(GitSource(found.remote, ref, _inner(subdir)), source)


def _with_query(found: GitSource, query: str, source: str) -> GitSource:
    given = parse_qs(query, keep_blank_values=True, max_num_fields=20)
    for name, values in given.items():
        if name not in _QUERY or len(values) != 1:
            raise _bad_url(source, f"its query has {name}, which is not known or there twice")
    one = {name: values[0] for name, values in given.items()}
    refs = {found.ref, one.get("ref", "")}
    refs |= {f"refs/{kind}/" + one[name].removeprefix(f"refs/{kind}/") for name, kind in _KINDS if name in one}
    refs.discard("")
    subdirs = {found.subdir, _inner(one.get("subdir", ""))} - {""}
    if len(refs) > 1 or len(subdirs) > 1:
        raise _bad_url(source, "it names more than one ref or folder")
    for name in ("keep-git-dir", "submodules"):
        if one.get(name, "") not in _SWITCH:
            raise _bad_url(source, f"{name}={one[name]} is neither true nor false")
    keep = _SWITCH[one["keep-git-dir"]] if "keep-git-dir" in one else None
    checksum = one.get("checksum", one.get("commit", ""))
    made = GitSource(
        found.remote,
        next(iter(refs), ""),
        next(iter(subdirs), ""),
        checksum,
        keep,
        _SWITCH[one.get("submodules", "")],
    )
    return _checked(made, source)


_KINDS = (("tag", "tags"), ("branch", "heads"))


def _checked(found: GitSource, source: str) -> GitSource:
    if found.ref and (not _REF.fullmatch(found.ref) or ".." in found.ref):
        raise _bad_url(source, f"{found.ref[:60]!r} is no branch, tag or commit")
    if found.checksum and not _COMMIT.fullmatch(found.checksum):
        raise _bad_url(source, f"{found.checksum[:60]!r} is no commit")
    return found


def _inner(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(part for part in parts if part != "..")


def _bad_url(source: str, why: str) -> DockerfileError:
    return DockerfileError(
        f"the source {shown(source)} cannot be read: {why}",
        remedy="write it as https://HOST/REPOSITORY.git#REF:FOLDER",
        reason="bad-git-url",
    )


def http_op(url: str, checksum: str) -> tuple[SourceOp, str]:
    """The source vertex's operation for a file to fetch, and the name that the file has in it.

    Raises DockerfileError (``bad-url``).
    """
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        name = unquote(parts.path).rstrip("/").rpartition("/")[2]
    except ValueError:
        named, name = False, ""
    if not named or "\0" in name or len(name.encode(errors="replace")) > 255:
        raise DockerfileError(
            f"{shown(url)} is no URL of a file", remedy="write it as https://HOST/PATH", reason="bad-url"
        )
    if name in ("", ".", ".."):
        # What BuildKit calls it.
        name = "__unnamed__"
    attrs = {"http.filename": name}
    if checksum:
        attrs["http.checksum"] = checksum
    return SourceOp(url, tuple(sorted(attrs.items()))), name


def told(op: SourceOp) -> str:
    """A source vertex in words, for its label."""
    url = dict(op.attrs).get("git.fullurl")
    ref = op.identifier.partition("#")[2]
    return f"fetch {shown(op.identifier if url is None else url)}" + (f" at {ref}" if url is not None and ref else "")


def shown(url: str) -> str:
    """A URL for people: without a user's name and password, and of a query only what has a meaning here.

    What else stands in one may be a key: links that storage services sign have it there.
    """
    bare = re.sub(r"(?<=://)[^/@\s]*@", "", url)
    return re.sub(r"(?<=[?&])([^=&#\s]*)=[^&#\s]+", _shown_value, bare)[:200]


def _shown_value(found: re.Match[str]) -> str:
    return found[0] if found[1] in _QUERY else f"{found[1]}=…"


def checked_checksum(text: str, source: str, *, git: bool) -> str:
    """The value of ``--checksum``. Raises DockerfileError (``bad-checksum``)."""
    pattern, form = (_COMMIT, "the commit or its beginning") if git else (_SHA256, "sha256: and 64 hex digits")
    if not text or pattern.fullmatch(text):
        return text
    raise DockerfileError(
        f"--checksum={text[:80]} is none for {shown(source)}", remedy=f"it is {form}", reason="bad-checksum"
    )
