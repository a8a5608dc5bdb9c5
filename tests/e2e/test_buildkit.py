"""A real BuildKit beside ours: the xx image made and used there, and what COPY and ADD make of the same files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from buildkit import BuildKit
from copies import COPIES, copy_context, copying
from support import BOTH, ROOT, Xx


@pytest.fixture(scope="module")
def with_xx(engine: BuildKit) -> BuildKit:
    """The engine with an xx image that it has made itself."""
    layout = engine.folder / "made/xx"
    done = engine.build(
        "-f", "images/xx/Dockerfile", "-t", "xx", "--platform", BOTH, "-o", f"type=oci,dest={layout},tar=false", ".",
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    engine.contexts += ["--build-context", f"xx=oci-layout://{layout}:latest"]
    return engine


@pytest.mark.parametrize(
    ("example", "said"),
    [("zstd", "Zstandard CLI"), ("go", "serve 1.0 for linux/"), ("rust", "checksum 1.0 for ")],
)
def test_examples(with_xx: BuildKit, example: str, said: str) -> None:
    # The last stage of the others is Debian, which here is there for this machine alone.
    platforms = BOTH if example == "go" else "linux/amd64"
    done = with_xx.build("--platform", platforms, f"examples/{example}", cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    assert sum(said in line for line in done.stderr.splitlines()) == len(platforms.split(",")), done.stderr[-4000:]


def test_an_image_for_another_machine_than_the_stages(with_xx: BuildKit, tmp_path: Path) -> None:
    """BuildKit's host may run the other machine's programs: then it works, and else it says what is wrong."""
    (tmp_path / "Dockerfile").write_text(
        "FROM xx AS xx\nFROM --platform=$BUILDPLATFORM busybox\nCOPY --from=xx / /\nARG TARGETPLATFORM\n"
        "RUN xx-info arch; xx-verify /bin/busybox; echo status $?\n"
    )
    done = with_xx.build("--no-cache", "--platform", "linux/arm64", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "expected aarch64 ELF" in done.stderr and "status 1" in done.stderr
    assert "format error" not in done.stderr.lower()


REFUSED = [
    "COPY src/nope x",
    "COPY dangling x",
    "COPY dangl* x/",
    "COPY src a-file",
    "COPY src/run there",
    "COPY src folder-is-link",
    "COPY src file-is-folder",
    "COPY src folder-is-file",
    "COPY no/* x/",
]


def listed(err: str) -> list[str]:
    return sorted(re.findall(r"^#\d+ \d+\.\d+ (\./.*?)\s*$", err, re.MULTILINE))


def test_files_come_out_as_from_buildkit(engine: BuildKit, xx: Xx) -> None:
    copy_context(xx.folder)
    ours = xx.build(copying(COPIES), "--no-cache")
    assert ours.code == 0, ours
    theirs = engine.build("--no-cache", ".", cwd=xx.folder)
    assert theirs.returncode == 0, theirs.stderr[-4000:]
    found, expected = listed(ours.err), listed(theirs.stderr)
    assert len(found) > 500 and found == expected, sorted(set(found) ^ set(expected))


@pytest.mark.parametrize("step", REFUSED)
def test_what_buildkit_refuses_is_refused(engine: BuildKit, xx: Xx, step: str) -> None:
    copy_context(xx.folder)
    ours = xx.build(copying([step]))
    theirs = engine.build(".", cwd=xx.folder)
    assert theirs.returncode != 0, theirs.stderr[-4000:]
    assert ours.code == 5, ours


OFFERS = """\
# VER is the version
ARG VER=1
ARG UNUSED=2
ARG BOX=box
ARG NAME=busy$BOX
# base is the base
FROM $NAME AS base
ARG VER
ARG TARGETARCH
# FLAG of things
ARG FLAG=${VER}-x
ARG FLAG2=$VER FLAG3
RUN --mount=type=secret,id=tok$VER --mount=type=ssh echo $FLAG
FROM busybox AS tools
# not its name
ARG TOOL=${PATH}
ARG FLAG=of-tools
RUN --mount=type=secret,target=/etc/passwd true
FROM busybox AS other
ARG OTHER
# app is what runs
# and more
FROM --platform=$TARGETPLATFORM base AS app
ARG MORE="a b"
ARG BARE
RUN --mount=type=secret,id=req,required=true --mount=type=ssh,id=own,required true
COPY --from=tools /bin/sh /x
FROM busybox
FROM app
ENV MORE=c
ARG LAST=$MORE
RUN --mount=type=bind,from=tools,target=/t true
"""


def test_outline_and_targets_are_those_of_buildkit(engine: BuildKit, xx: Xx) -> None:
    xx.dockerfile(OFFERS)
    for method, *args in (
        ("targets",),
        ("outline",),
        ("outline", "--target", "app"),
        ("outline", "--target", "base", "--build-arg", "VER=3", "--build-arg", "BOX=box", "--build-arg", "FLAG3=x"),
        ("outline", "--target", "tools"),
    ):
        theirs = engine.call(f"{method},format=json", *args, ".", cwd=xx.folder)
        assert theirs.returncode == 0, theirs.stderr[-4000:]
        ours = xx.run("build", f"--call={method},format=json", *args, ".")
        assert ours.code == 0 and offered(ours.out) == offered(theirs.stdout), args


def offered(text: str) -> Any:
    """What an outline says; BuildKit has what stands in one line in any order."""
    found = json.loads(text)
    for key in ("args", "secrets", "ssh"):
        found.get(key, []).sort(key=lambda each: each["name"])
    return found
