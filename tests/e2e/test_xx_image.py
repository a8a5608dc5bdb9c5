"""The xx image in real roots, none with Python: every command answers, and what applies does its work."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import kept, lacking
from support import BOTH, ROOT, Xx, kept_bases, store_from

MOST_BYTES = 9_000_000
# By builtins of the shell alone: some roots have nothing else.
ANSWERS = """\
COPY --from=xx / /
ARG TARGETPLATFORM
RUN for each in /usr/bin/xx-*; do "$each" --help >/dev/null || echo "no answer of $each"; done; \\
    for each in os arch triple pkg-arch env; do xx-info $each >/dev/null || echo "no answer to $each"; done; \\
    xx-verify /bin/sh && echo verified; \\
    TARGETPLATFORM=linux/s390x xx-verify /bin/sh || echo refused; \\
    xx-go build; echo go $?; xx-cargo build; echo cargo $?; xx-clang -c x.c; echo clang $?; \\
    echo asked for $(xx-info pkg-arch)
"""


def lines_of(err: str) -> list[str]:
    """What steps printed, without the numbers before it."""
    return [line.split(" ", 2)[2] for line in err.splitlines() if line.startswith("#") and line.count(" ") > 1]


def assert_answered(err: str, words: str) -> None:
    lines = lines_of(err)
    assert "verified" in lines and "refused" in lines and f"asked for {words}" in lines, err
    for each in ("go", "cargo", "clang"):
        assert f"{each} 1" in lines or f"{each} 0" in lines, err
    assert not [line for line in lines if line.startswith("no answer")], err


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory, bases: Path) -> Path:
    """A store with Debian 12 and 13 and the xx image for amd64 and arm64."""
    kept("base", "debian:trixie", "--platform", BOTH)
    kept("base", "debian:bookworm", "--platform", BOTH)
    kept("image", "xx", "--platform", BOTH)
    return store_from(kept_bases(), tmp_path_factory.mktemp("everywhere") / "store")


@pytest.fixture
def stage(everywhere: Path, tmp_path: Path) -> Xx:
    return Xx(everywhere, tmp_path)


# BUILDPLATFORM is this machine's in a build; a stage on TARGETPLATFORM stands for a build machine of another kind.
PLATFORMS = pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])


@PLATFORMS
@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_debian(stage: Xx, suite: str, platform: str) -> None:
    text = f"FROM xx AS xx\nFROM debian:{suite}\n{ANSWERS}"
    if suite == "trixie":
        # To see the package manager at work it need not be the slow one: for the other platform of the two.
        other = "arm64" if platform.endswith("amd64") else "amd64"
        text += (
            f"RUN TARGETPLATFORM=linux/{other} xx-apt-get install -q -y --no-install-recommends zlib1g >/log 2>&1; "
            "dpkg-query -W -f '${Package}:${Architecture}\\n' zlib1g\n"
        )
    done = stage.build(text, "--platform", platform)
    assert done.code == 0, done
    assert_answered(done.err, platform.partition("/")[2])
    if suite == "trixie":
        assert f"zlib1g:{other}" in lines_of(done.err), done


@PLATFORMS
def test_busybox_with_musl_and_no_glibc(stage: Xx, platform: str) -> None:
    done = stage.build(
        "FROM xx AS xx\n"
        "FROM --platform=$BUILDPLATFORM debian:trixie AS musl\n"
        "ARG TARGETARCH\n"
        "RUN dpkg --add-architecture $TARGETARCH && apt-get update -q >/dev/null && "
        "apt-get download -q musl:$TARGETARCH >/dev/null && dpkg-deb -x musl_*.deb /musl && mkdir /lib.musl && "
        "cp -L $(find /musl -name libc.so) /lib.musl/ld-musl.so.1\n"
        "FROM busybox\n"
        "COPY --from=musl /lib.musl/ /lib/\n"
        "RUN printf 'ID=alpine\\nVERSION_ID=3.20.3\\n' >/etc/os-release && /lib/ld-musl.so.1 || true\n" + ANSWERS,
        "--platform", platform,
    )  # fmt: skip
    assert done.code == 0, done
    # Its own loader says what it is.
    assert any(line.startswith("musl libc (") for line in lines_of(done.err)), done
    assert_answered(done.err, "aarch64" if platform.endswith("arm64") else "x86_64")


@PLATFORMS
def test_nothing_but_a_shell(stage: Xx, platform: str) -> None:
    done = stage.build(
        f"FROM xx AS xx\nFROM busybox AS busybox\nFROM scratch\nCOPY --from=busybox /bin/busybox /bin/sh\n{ANSWERS}",
        "--platform", platform,
    )  # fmt: skip
    assert done.code == 0, done
    assert_answered(done.err, platform.partition("/")[2])


@PLATFORMS
def test_fedoras_names(stage: Xx, platform: str) -> None:
    text = "FROM xx AS xx\nFROM busybox\nRUN printf 'ID=fedora\\nVERSION_ID=42\\n' >/etc/os-release\n" + ANSWERS
    done = stage.build(text + "RUN xx-dnf install -y x; echo dnf $?\n", "--platform", platform)
    assert done.code == 0, done
    assert_answered(done.err, "aarch64" if platform.endswith("arm64") else "x86_64")
    assert "dnf 1" in lines_of(done.err) and "xx-dnf: dnf is not in this stage" in lines_of(done.err)


def test_an_image_for_another_machine_than_the_stages(stage: Xx) -> None:
    """The flag that people forget: --platform=$BUILDPLATFORM for xx."""
    done = stage.build(
        "FROM xx AS xx\nFROM --platform=$BUILDPLATFORM busybox\nCOPY --from=xx / /\nARG TARGETPLATFORM\n"
        "RUN xx-info triple; xx-go build; echo go $?; xx-verify /bin/sh; echo verify $?\n",
        "--platform", "linux/arm64",
    )  # fmt: skip
    assert done.code == 0, done
    lines = lines_of(done.err)
    assert "aarch64-unknown-linux-gnu" in lines
    said = "this is the xx image for linux/arm64, which this stage cannot run: write FROM --platform=$BUILDPLATFORM xx"
    assert f"xx-go: {said} AS xx" in lines and "go 126" in lines
    assert f"xx-verify: {said} AS xx" in lines and "verify 126" in lines
    assert "format error" not in done.err.lower()


EVIL = """\
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
__attribute__((constructor)) static void evil(void) {
    FILE *marks = fopen("/marks", "a");
    fprintf(marks, "%s\\n", program_invocation_short_name);
    fclose(marks);
}
"""


HOSTILE = """\
FROM xx AS xx
FROM debian:trixie
RUN apt-get update -q >/dev/null && \\
    apt-get install -q -y --no-install-recommends gcc libc6-dev >/dev/null 2>&1
COPY --from=xx / /
COPY evil.c evil.py go /evil/
WORKDIR /evil
RUN <<EOF
set -e
gcc -shared -fPIC -o evil.so evil.c
for each in os sitecustomize usercustomize encodings codecs xxpy struct re; do cp evil.py $each.py; done
mkdir -p lib /usr/lib/python3/dist-packages /usr/local/lib/python3.13/dist-packages
# What Python needs and a shell does not.
for each in libz.so.1 libexpat.so.1 libm.so.6; do cp evil.so lib/$each; done
cp ./*.py /usr/lib/python3/dist-packages/
cp ./*.py /usr/local/lib/python3.13/dist-packages/
EOF
ENV PYTHONPATH=/evil PYTHONHOME=/evil PYTHONSTARTUP=/evil/evil.py PYTHONINSPECT=1 PYTHONUSERBASE=/evil
RUN <<EOF
export LD_PRELOAD=/evil/evil.so LD_LIBRARY_PATH=/evil/lib GCONV_PATH=/evil LOCPATH=/evil
/usr/bin/xx-verify /evil/evil.so && echo verified
CGO_ENABLED=0 PATH=/evil:$PATH xx-go build
unset LD_PRELOAD LD_LIBRARY_PATH
echo variables: $(sort -u /marks)
rm /marks
echo /evil/evil.so >/etc/ld.so.preload
xx-verify /evil/evil.so && echo verified
rm /etc/ld.so.preload
echo preload: $(sort -u /marks)
rm /marks
PATH=/nowhere
/usr/bin/xx-info triple
/usr/bin/xx-verify /evil/evil.so && echo verified
EOF
RUN <<EOF
export TARGETPLATFORM='$(touch /marks);`touch /marks`|touch /marks'
xx-info; echo "platform $?"
xx-verify /evil/evil.so; echo "platform $?"
export TARGETPLATFORM="linux/arm64
linux/amd64"
xx-info; echo "platform $?"
export TARGETPLATFORM=$(head -c 10000 /dev/zero | tr '\\0' x)
xx-info >/dev/null 2>/tmp/words; echo "platform $? $(wc -l </tmp/words)"
[ ! -e /marks ] && echo nothing was run
EOF
"""


def test_a_hostile_stage(stage: Xx) -> None:
    """None of the stage's code runs in the image's Python, and the programs started from it find all as it was."""
    (stage.folder / "evil.c").write_text(EVIL)
    (stage.folder / "evil.py").write_text('open("/marks", "a").write("python\\n")\n')
    (stage.folder / "go").write_text('#!/bin/sh\necho "go sees $LD_PRELOAD $LD_LIBRARY_PATH $PYTHONPATH"\n')
    (stage.folder / "go").chmod(0o755)
    done = stage.build(HOSTILE)
    assert done.code == 0, done
    lines = lines_of(done.err)
    assert lines.count("verified") == 3 and "go sees /evil/evil.so /evil/lib /evil" in lines, done
    # Shells and their tools load what the stage says. Those of the image's Python would be "python3" or "ld.so".
    for kind in ("variables:", "preload:"):
        marks = next(line for line in lines if line.startswith(kind)).split()[1:]
        assert marks and not [mark for mark in marks if "py" in mark or "ld" in mark], (kind, marks)
    assert "x86_64-linux-gnu" in lines or os.uname().machine != "x86_64"
    assert [line for line in lines if line.startswith("platform")] == ["platform 1"] * 3 + ["platform 1 2"], done
    assert "nothing was run" in lines and "Traceback" not in done.err


def layer_names(layout: Path) -> list[list[str]]:
    """The names of what is no folder in each layer of the first image in a layout."""

    def blob(digest: str) -> bytes:
        return (layout / "blobs/sha256" / digest.partition(":")[2]).read_bytes()

    index: dict[str, Any] = json.loads(blob(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]))
    manifest = json.loads(blob(index["manifests"][0]["digest"]))
    names = []
    for layer in manifest["layers"]:
        path = layout / "blobs/sha256" / layer["digest"].partition(":")[2]
        with gzip.open(path) as file, tarfile.open(fileobj=file) as tar:
            names.append([member.name for member in tar if not member.isdir()])
    return names


def test_nothing_is_written_into_the_stage(stage: Xx) -> None:
    out = stage.folder / "out"
    done = stage.build(
        "FROM xx AS xx\nFROM busybox\nCOPY --from=xx / /\n"
        "RUN for each in /usr/bin/xx-*; do $each --help; $each nonsense; done; xx-info env; xx-verify /bin/busybox\n",
        "-o", f"type=oci,dest={out},tar=false",
    )  # fmt: skip
    assert done.code == 0, done
    # The shell and the tools leave nothing either: what is there would be ours.
    assert layer_names(out)[-1] == []


def test_a_root_that_cannot_be_written_to(stage: Xx) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        lacking("root and unshare, to mount a root read-only")
    out = stage.folder / "out"
    output = f"type=oci,dest={out},tar=false"
    done = stage.build("FROM xx AS xx\nFROM busybox\nCOPY --from=xx / /\n", "-t", "made", "-o", output)
    assert done.code == 0, done
    made = stage.folder / "made"
    subprocess.run(["umoci", "unpack", "--image", f"{out}:latest", str(made)], check=True, capture_output=True)
    script = """\
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec chroot "$1" /bin/sh -c '
touch /x 2>/dev/null && echo not read-only
export TARGETPLATFORM=linux/arm64
xx-info; xx-verify /bin/busybox; echo verify $?; xx-clang -c x.c; echo clang $?; xx-go build; echo go $?'
"""
    done_here = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(made / "rootfs")],
        capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip
    assert done_here.stdout.splitlines() == ["aarch64-unknown-linux-gnu", "verify 1", "clang 1", "go 1"], done_here
    assert "Traceback" not in done_here.stderr and "xx-clang: clang is not in this stage" in done_here.stderr


# The suites that serve an architecture where mirrors lag (see tests/matrix/cells.py).
EXPIRED = ("--apt-option", 'Acquire::Check-Valid-Until "false";')
OTHERS = [
    ("bookworm", "linux/arm/v7"),
    ("bookworm", "linux/386"),
    ("bookworm", "linux/ppc64le"),
    ("bookworm", "linux/s390x"),
    ("testing", "linux/riscv64"),
]


def test_every_platform_small_and_described(stage: Xx) -> None:
    """For each of the seven: made, right, small; it says its version and carries the licences of what it brings."""
    kept("base", "debian:testing", *EXPIRED)
    store = store_from(kept_bases(), stage.folder / "store")
    xx = Xx(store, stage.folder)
    made: dict[str, str] = {}
    for suite in ("trixie", "bookworm", "testing"):
        wanted = [BOTH] if suite == "trixie" else [each for of, each in OTHERS if of == suite]
        out = stage.folder / suite
        done = xx.run(
            "image", "xx", "--suite", suite, "--platform", ",".join(wanted), "-t", "xx", "-o",
            f"type=oci,dest={out},tar=false",
        )  # fmt: skip
        assert done.code == 0, done
        made |= {
            line.split()[1].rstrip(":"): line.split()[-2] for line in done.err.splitlines() if line.endswith(" MB")
        }
        index = json.loads((out / "index.json").read_text())["manifests"][0]
        said = json.loads((out / "blobs/sha256" / index["digest"].partition(":")[2]).read_text())["annotations"]
        assert said["org.opencontainers.image.title"] == "xx" and said["org.opencontainers.image.version"]
        names = layer_names(out)[-1]
        for name in ("xxpy", "libc6", "zlib1g", "libexpat1"):
            assert f"usr/lib/xx/licenses/{name}" in names
        assert any(name.startswith("usr/lib/xx/licenses/python3.") for name in names)
        assert not [name for name in names if not name.startswith(("usr/bin/xx-", "usr/lib/xx/"))]
    assert set(made) == {*BOTH.split(","), *(platform for _, platform in OTHERS)}
    assert all(float(size) * 1e6 <= MOST_BYTES for size in made.values()), made


@pytest.mark.parametrize(("suite", "platform"), OTHERS, ids=str)
def test_the_others_run_under_qemu(stage: Xx, suite: str, platform: str) -> None:
    kept("base", "busybox:testing", "--platform", ",".join(platform for _, platform in OTHERS), *EXPIRED)
    store = store_from(kept_bases(), stage.folder / "store")
    xx = Xx(store, stage.folder)
    done = xx.run("image", "xx", "--suite", suite, "-t", "xx", "--platform", platform)
    assert done.code == 0, done
    done = xx.build(f"FROM xx AS xx\nFROM busybox:testing\n{ANSWERS}", "--platform", platform)
    assert done.code == 0, done
    lines = lines_of(done.err)
    assert "verified" in lines and ("refused" in lines or platform == "linux/s390x"), done
    assert not [line for line in lines if line.startswith("no answer")], done


def test_examples(stage: Xx) -> None:
    """examples/: C is the demo's; here Go and Rust, for both platforms."""
    for name, said in (("go", "serve 1.0 for linux/"), ("rust", "checksum 1.0 for ")):
        done = Xx(stage.store, ROOT).run("build", "--progress", "plain", "--platform", BOTH, f"examples/{name}")
        assert done.code == 0, done
        assert sum(line.startswith(said) for line in lines_of(done.err)) == 2, done
