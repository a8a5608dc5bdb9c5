"""`.dockerignore` patterns as Docker documents them (docs.docker.com, "Build context", .dockerignore files)."""

from __future__ import annotations

import pytest

from xxpy.build.dockerfile.ignore import Ignore, has_wildcard, match

CASES = [
    ("*/temp*", "somedir/temporary.txt", True),
    ("*/temp*", "somedir/temp/file", True),
    ("*/temp*", "a/b/temporary", False),
    ("*/*/temp*", "a/b/temporary", True),
    ("temp?", "tempa", True),
    ("temp?", "temp", False),
    ("**/*.go", "x.go", True),
    ("**/*.go", "a/b/c/x.go", True),
    ("**/*.go", "a/x.god", False),
    ("*.md", "README.md", True),
    ("*.md", "docs/x.md", False),
    ("docs", "docs/x.md", True),
    ("docs/", "docs/x.md", True),
    ("/docs", "docs/x.md", True),
    ("./docs", "docs", True),
    ("a/../b", "b/c", True),
    ("**/node_modules", "x/node_modules/y/z", True),
    ("foo/**", "foo/bar", True),
    ("foo/**/bar", "foo/bar", True),
    ("foo/**/bar", "foo/a/b/bar", True),
    ("[a-c]x", "bx", True),
    ("[^a-c]x", "bx", False),
    ("\\*x", "*x", True),
    ("\\*x", "ax", False),
    ("a.b", "axb", False),
    ("*", "anything", True),
    ("*", "any/thing", True),
    ("# comment", "# comment", False),
    ("", "x", False),
    (".", "x", False),
]


@pytest.mark.parametrize(("pattern", "path", "excluded"), CASES)
def test_one_pattern(pattern: str, path: str, excluded: bool) -> None:
    assert Ignore.parse(pattern + "\n").excludes(path) is excluded


def test_the_last_pattern_that_matches_decides() -> None:
    ignore = Ignore.parse("*.md\n!README*.md\nREADME-secret.md\n")
    assert ignore.excludes("a.md") and not ignore.excludes("README-x.md") and ignore.excludes("README-secret.md")
    assert Ignore.parse("*\n!src\n").excludes("other") and not Ignore.parse("*\n!src\n").excludes("src/a")


def test_a_folder_may_only_be_skipped_when_nothing_in_it_comes_back() -> None:
    assert Ignore.parse("a\n").may_skip("a")
    assert not Ignore.parse("a\n!a/b\n").may_skip("a")
    assert Ignore.parse("a\n!z\n").may_skip("a")


def test_a_comment_is_one_at_the_start_of_a_line_only() -> None:
    assert Ignore.parse("#x\nfoo#x\n").excludes("foo#x")


def test_match_and_wildcards() -> None:
    assert match("*.c", "x.c") and not match("*.c", "a/x.c")
    assert has_wildcard("a*") and has_wildcard("[a]") and not has_wildcard("a.b")
