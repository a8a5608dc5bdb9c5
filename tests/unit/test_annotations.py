"""``--annotation``: where it is written."""

from __future__ import annotations

import pytest

from xxpy.build.annotations import Annotation, chosen, parse_annotation
from xxpy.errors import UsageError, XxError
from xxpy.platforms import Platform

ARM64 = Platform("linux", "arm64")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", [Annotation("manifest", "a", "b")]),
        ("a=b=c", [Annotation("manifest", "a", "b=c")]),
        ("a=", [Annotation("manifest", "a", "")]),
        ("index:a=b", [Annotation("index", "a", "b")]),
        ("index,manifest:a=b", [Annotation("index", "a", "b"), Annotation("manifest", "a", "b")]),
        ("manifest[linux/arm64]:a=b", [Annotation("manifest", "a", "b", ARM64)]),
        ("manifest-descriptor:a=b:c", [Annotation("manifest-descriptor", "a", "b:c")]),
        # A colon that ends no type is part of the key.
        ("org.example:a=b", [Annotation("manifest", "org.example:a", "b")]),
        ("a=index:b", [Annotation("manifest", "a", "index:b")]),
    ],
)
def test_read(text: str, expected: list[Annotation]) -> None:
    assert parse_annotation(text) == expected


@pytest.mark.parametrize("text", ["", "a", "=b", "index:", "index:a", "index:=b"])
def test_without_a_key_or_a_value(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_annotation(text)
    assert caught.value.reason == "bad-annotation"


def test_an_unknown_platform() -> None:
    with pytest.raises(XxError):
        parse_annotation("manifest[linux/z80]:a=b")


def test_chosen_by_place_and_platform() -> None:
    given = [*parse_annotation("b=1"), *parse_annotation("b=2"), *parse_annotation("index,manifest[linux/arm64]:a=3")]
    assert chosen(given, "manifest", Platform("linux", "amd64")) == (("b", "2"),)
    assert chosen(given, "manifest", ARM64) == (("a", "3"), ("b", "2"))
    assert chosen(given, "index") == (("a", "3"),)
