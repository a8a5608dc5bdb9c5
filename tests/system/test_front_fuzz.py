"""Damaged Dockerfiles: each is a graph or an error with its place and what to do, never anything else."""

from __future__ import annotations

import random
import time

from conformance.cases import cases

from xxpy.build.dockerfile.bases import BaseImage
from xxpy.build.dockerfile.checks import About
from xxpy.build.dockerfile.front import Request, make_graph
from xxpy.build.dockerfile.outline import outline_of, targets_of
from xxpy.build.dockerfile.parse import parse
from xxpy.build.graph import ImageConfig
from xxpy.build.plan import make_plan
from xxpy.errors import XxError
from xxpy.platforms import Platform

COUNT = 2_000
HOST = Platform("linux", "amd64")
TARGETS = (HOST, Platform("linux", "arm64"))
PIECES = [
    "\\", "\n", "\\\n", "$", "${", "}", "${A:-", "${A#*", "'", '"', "[", "]", '["', "<<EOF", "<<-'E F'", "EOF\n", "#",
    "# escape=`\n", "--from=", "--mount=type=", "--chown=", "--platform=", "--link", "--exclude=**", "=", ":", "@",
    "--checksum=sha256:", "/../..", "\0", "\t", "\r", "\u202e", "\ufeff", "é", " AS ", "FROM ", "RUN ", "COPY ", "ADD ",
    "ONBUILD ", "HEALTHCHECK ", "scratch", "0", "-1", "9" * 30, "x" * 5000, "http://", "git@h:", "*", "?", "**/", "{",
    "!",
]  # fmt: skip


class AnyImage:
    def base(self, name: str, platform: Platform) -> BaseImage:
        return BaseImage(name, "sha256:" + "0" * 64, ImageConfig(env=("PATH=/bin",), on_build=()))


def mutated(text: str, chance: random.Random) -> str:
    """``text`` with a few places cut out, doubled, swapped, or with something put in."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        kind = chance.randrange(4)
        if kind == 0:
            text = text[:at] + text[min(end, at + 20) :]
        elif kind == 1:
            text = text[:at] + text[at:end] * 2 + text[end:]
        elif kind == 2:
            lines = text.split("\n")
            chance.shuffle(lines)
            text = "\n".join(lines)
        else:
            text = text[:at] + chance.choice(PIECES) + text[at:]
    return text


def test_damaged_dockerfiles() -> None:
    chance = random.Random("front")
    texts = [case.text for case in cases()]
    built = 0
    for _ in range(COUNT):
        text = mutated(chance.choice(texts), chance)
        began = time.thread_time()
        whole = False
        try:
            file = parse(text, "Dockerfile")
            make_plan(make_graph(file, Request(TARGETS, HOST, {"A": "given"}), AnyImage()), HOST)
            built, whole = built + 1, True
        except XxError as error:
            assert error.reason and error.message, text
            assert error.place.startswith("Dockerfile") or error.message.startswith("--"), (error.lines(), text)
        try:
            file = parse(text, "Dockerfile")
            assert targets_of(file, text)
            assert outline_of(file, text, About(HOST, HOST, {"A": "given"}))
        except XxError as error:
            assert not whole and error.place.startswith("Dockerfile"), (error.lines(), text)
        assert time.thread_time() - began < 2, text
    # The mutations leave many of them whole: both ways are taken.
    assert COUNT / 10 < built < COUNT * 9 / 10
