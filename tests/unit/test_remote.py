"""Sources of ADD as text: files, URLs, repositories, and what is none of them."""

from __future__ import annotations

import pytest

from xxpy.build.dockerfile.remote import GitSource, checked_checksum, git_source, http_op, is_url, shown, told
from xxpy.errors import DockerfileError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://h.test/a/b.git", GitSource("https://h.test/a/b.git")),
        ("http://h.test:8080/b.git#v1", GitSource("http://h.test:8080/b.git", "v1")),
        ("https://h.test/b.git#v1:docs/x", GitSource("https://h.test/b.git", "v1", "docs/x")),
        ("https://h.test/b.git#:docs/../../x", GitSource("https://h.test/b.git", "", "docs/x")),
        ("git@h.test:a/b.git#main", GitSource("git@h.test:a/b.git", "main")),
        ("git://h.test/b", GitSource("git://h.test/b")),
        ("ssh://git@h.test:22/b", GitSource("ssh://git@h.test:22/b")),
        ("https://h.test/b.git?ref=x&subdir=d", GitSource("https://h.test/b.git", "x", "d")),
        ("https://h.test/b.git?tag=v1", GitSource("https://h.test/b.git", "refs/tags/v1")),
        (
            "https://h.test/b.git?branch=a/b&commit=abc&keep-git-dir&submodules=false",
            GitSource("https://h.test/b.git", "refs/heads/a/b", "", "abc", True, False),
        ),
        ("https://h.test/b.tar.gz", None),
        ("https://h.test/b.git/x", None),
        ("file:///b.git", None),
        ("ext::sh -c x", None),
        ("github.com/a/b.git", None),
        ("a/b.git", None),
    ],
)
def test_repositories(text: str, found: GitSource | None) -> None:
    assert git_source(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "https://h.test/b.git#--upload-pack=x",
        "https://h.test/b.git#a..b",
        "https://h.test/b.git#a b",
        "https://h.test/b.git?nope=1",
        "https://h.test/b.git?ref=a&ref=b",
        "https://h.test/b.git?ref=a#b",
        "https://h.test/b.git?keep-git-dir=maybe",
        "https://h.test/b.git?checksum=xyz",
        "https://[h.test/b.git",
    ],
)
def test_bad_repositories(text: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        git_source(text)
    assert caught.value.reason == "bad-git-url"


def test_operations() -> None:
    found = GitSource("https://me:pw@h.test/b.git", "v1", "d", keep_git_dir=None, submodules=False)
    op = found.op("abc", True)
    assert op.identifier == "git://me:pw@h.test/b.git#v1"
    assert dict(op.attrs) == {
        "git.fullurl": "https://me:pw@h.test/b.git", "git.checksum": "abc", "git.keepgitdir": "true",
        "git.skipsubmodules": "true",
    }  # fmt: skip
    assert told(op) == "fetch https://h.test/b.git at v1"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.test/a/b.tgz?x=/y#z", "b.tgz"),
        ("https://h.test/a%20b", "a b"),
        ("https://h.test/x%2Fy", "y"),
        ("https://h.test", "__unnamed__"),
        ("https://h.test/a/..", "__unnamed__"),
        ("https://h.test/a/", "a"),
    ],
)
def test_the_name_of_a_fetched_file(url: str, name: str) -> None:
    op, found = http_op(url, "")
    assert found == name and op.identifier == url and dict(op.attrs) == {"http.filename": name}


@pytest.mark.parametrize(
    "url", ["https://", "https:///x", "https://h:0x/y", "https://h/" + "x" * 300, "https://h/a%00"]
)
def test_bad_urls(url: str) -> None:
    assert is_url(url)
    with pytest.raises(DockerfileError) as caught:
        http_op(url, "")
    assert caught.value.reason == "bad-url"


def test_checksums_and_what_is_shown() -> None:
    assert checked_checksum("sha256:" + "0" * 64, "x", git=False)
    for text, git in (("sha256:00", False), ("0" * 64, False), ("sha512:" + "0" * 128, False), ("xyz", True)):
        with pytest.raises(DockerfileError) as caught:
            checked_checksum(text, "x", git=git)
        assert caught.value.reason == "bad-checksum"
    assert shown("https://me:secret@h.test/x@y") == "https://h.test/x@y"
    assert shown("https://h.test/x?v=1&sig=a%2Fb&c#d") == "https://h.test/x?v=…&sig=…&c#d"
    assert shown("https://h.test/x.git?ref=main&subdir=d") == "https://h.test/x.git?ref=main&subdir=d"
