"""A real BuildKit beside ours: the xx image made and used there, and what COPY and ADD make of the same files."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from buildkit import BuildKit
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


# Each in a folder of its own that has links and folders in the way. Not here: ADD --chown of an archive, which Debian's
# BuildKit does not heed yet.
COPIES = [
    "COPY src/a.txt one",
    "COPY src/a.txt src/run two/",
    "COPY src three",
    "COPY src/b.c dest-link",
    "COPY src/b.c dangling",
    "COPY src/b.c file-link",
    "COPY to-file ./",
    "COPY to-file as-named",
    "COPY to-folder contents",
    "COPY src/*/*.txt wild/",
    "COPY */er/d.txt wild/",
    "COPY to* wild/",
    "COPY src/a[[]0].txt literal/",
    "COPY src/a*.txt the-last-stays",
    "COPY --chmod=711 src modes",
    "COPY --chown=1:2 src own",
    "COPY --chown=1 src/a.txt own/o/f",
    "COPY src/deep there",
    "COPY src/run there/c.txt",
    "COPY . all",
    "COPY --from=other /src/link f",
    "COPY --from=other /src/folder-link f",
    "COPY --from=other /src f",
    "COPY --from=other /src/*link f/",
    "COPY --from=other /s*/*/c.txt f/",
    "ADD archive.tgz ./",
    "ADD empty.tar src/a.txt files/",
    "COPY <<EOF there\ntext\nEOF",
    "COPY --chmod=751 --chown=1 <<A <<B h/\na\nA\nb\nB",
    'COPY ["src/a.txt", "sp ace/"]',
    "COPY ../src/deep/. up",
]
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
_LIST = (
    'RUN cd /out && find . | sort | while read -r f; do s=; [ -L "$f" ] && s=$(readlink "$f");'
    ' [ -f "$f" ] && [ ! -L "$f" ] && s="$(md5sum <"$f")";'
    ' echo "$f $(stat -c \'%a %u:%g %F %h\' "$f") $s"; done\n'
)
_IN_THE_WAY = (
    "mkdir real there link-target was-dir folder-is-link file-is-folder folder-is-file && touch a-file &&"
    " ln -s link-target dest-link && ln -s nowhere/new dangling && ln -s a-file file-link && ln -s real through &&"
    " ln -s real was-link && ln -s ../real folder-is-link/deep && mkdir file-is-folder/a.txt there/run &&"
    " touch folder-is-file/deep was-dir/old"
)


def copy_context(folder: Path) -> None:
    src = folder / "src"
    (src / "deep/er").mkdir(parents=True)
    modes = {"a.txt": 0o640, "a[0].txt": 0o644, "b.c": 0o644, "run": 0o755, "deep/c.txt": 0o600, "deep/er/d.txt": 0o644}
    for name, mode in modes.items():
        (src / name).write_text(name)
        (src / name).chmod(mode)
    (src / "deep/er").chmod(0o750)
    (src / "hard").hardlink_to(src / "a.txt")
    links = {"src/link": "a.txt", "to-file": "src/a.txt", "to-folder": "src/deep", "dangling": "nowhere"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (folder / "empty.tar").touch()
    with tarfile.open(folder / "archive.tgz", "w:gz") as tar:
        for name, kind, link in (
            ("f", tarfile.REGTYPE, ""), ("d", tarfile.DIRTYPE, ""), ("d/x", tarfile.REGTYPE, ""),
            ("was-link", tarfile.DIRTYPE, ""), ("was-link/y", tarfile.REGTYPE, ""), ("through/it", tarfile.REGTYPE, ""),
            ("sym", tarfile.SYMTYPE, "/etc"), ("hard", tarfile.LNKTYPE, "f"), ("was-dir", tarfile.REGTYPE, ""),
            ("fifo", tarfile.FIFOTYPE, ""),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.uid, entry.mode = kind, link, 7, 0o751
            tar.addfile(entry)
    (folder / ".dockerignore").write_text("Dockerfile*\n.dockerignore\n")


def copying(steps: list[str]) -> str:
    """A Dockerfile that does each step in a folder of its own."""
    folders = " ".join(str(number) for number in range(len(steps)))
    text = (
        "FROM busybox AS other\nRUN mkdir -p /src/deep && cd /src && echo a >a && ln a hard && ln -s a link &&"
        " ln -s deep folder-link && echo c >deep/c.txt && chown 3:4 a && chmod 2750 deep\nFROM busybox\n"
        f"RUN for i in {folders}; do mkdir -p /out/$i && cd /out/$i && {_IN_THE_WAY} || exit 1; done\n"
    )
    return text + "".join(f"WORKDIR /out/{number}\n{step}\n" for number, step in enumerate(steps)) + _LIST


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
