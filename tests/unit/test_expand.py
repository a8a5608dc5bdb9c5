"""Variables in Dockerfile words: BuildKit's operators (Dockerfile reference, "Environment replacement")."""

from __future__ import annotations

import pytest

from xxpy.build.dockerfile.expand import expand_word, expand_words
from xxpy.errors import XxError

VARIABLES = {"x": "value", "empty": "", "p": "/usr/local/lib/x.tar.gz", "sp": "two words", "star": "a*b"}

CASES = {
    "plain": "plain",
    "$x": "value",
    "${x}": "value",
    "a${x}b": "avalueb",
    "$xy": "",
    "$x-y": "value-y",
    "$nope": "",
    "${nope:-default}": "default",
    "${nope-default}": "default",
    "${empty:-default}": "default",
    "${empty-default}": "",
    "${x:-default}": "value",
    "${x:+other}": "other",
    "${nope:+other}": "",
    "${empty:+other}": "",
    "${empty+other}": "other",
    "${nope:-${x}}": "value",
    "${nope:-a$x-b}": "avalue-b",
    "${p#*/}": "usr/local/lib/x.tar.gz",
    "${p##*/}": "x.tar.gz",
    "${p%.*}": "/usr/local/lib/x.tar",
    "${p%%.*}": "/usr/local/lib/x",
    "${p/local/share}": "/usr/share/lib/x.tar.gz",
    "${p/l/L}": "/usr/Local/lib/x.tar.gz",
    "${p//l/L}": "/usr/LocaL/Lib/x.tar.gz",
    "${p//nope/x}": "/usr/local/lib/x.tar.gz",
    "\\$x": "$x",
    "\\${x}": "${x}",
    "'$x'": "$x",
    '"$x"': "value",
    '"a \\"b\\""': 'a "b"',
    "'a \\ b'": "a \\ b",
    '"${sp}"': "two words",
    "a\\ b": "a b",
    '""': "",
}


@pytest.mark.parametrize("word", CASES)
def test_expand_word(word: str) -> None:
    assert expand_word(word, VARIABLES, "\\") == CASES[word]


@pytest.mark.parametrize("word", ["${", "${x", "${x:?gone}", "${}", "${nope:?must be set}", "${x:^y}"])
def test_what_cannot_be_expanded_is_refused(word: str) -> None:
    if word == "${x:?gone}":
        assert expand_word(word, VARIABLES, "\\") == "value"
        return
    with pytest.raises(XxError) as caught:
        expand_word(word, VARIABLES, "\\")
    assert caught.value.message


def test_the_backtick_as_escape() -> None:
    assert expand_word("`$x c:\\a", VARIABLES, "`") == "$x c:\\a"


def test_words_split_what_variables_bring() -> None:
    assert expand_words("a $sp b", VARIABLES, "\\") == ["a", "two", "words", "b"]
    assert expand_words('a "$sp" b', VARIABLES, "\\") == ["a", "two words", "b"]


def test_values_are_not_expanded_again() -> None:
    assert expand_word("$a", {"a": "$b", "b": "c"}, "\\") == "$b"
