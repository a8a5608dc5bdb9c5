"""What programs of emulated steps see of their twins, and when a result with twins counts."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from support import Done, Xx

ARM64 = ("--platform", "linux/arm64")
TOOLS = """\
FROM debian:trixie AS tools
RUN apt-get update -q && apt-get install -q -y --no-install-recommends gcc g++ libc6-dev make
WORKDIR /src
"""


@pytest.fixture(scope="module")
def twins(debian: Path) -> Xx:
    """`xx` on a store that is shared by the tests here."""
    (debian.parent / "context").mkdir()
    return Xx(debian, debian.parent / "context")


def build(xx: Xx, text: str, accelerate: str, *args: str) -> Done:
    done = xx.build(text, *ARM64, "--accelerate", accelerate, *args)
    assert done.code == 0, done
    return done


def output_of(done: Done) -> str:
    """What the emulated steps printed; the steps that their twins are found in print as well."""
    numbers = "|".join(re.findall(r"^#(\d+) \[linux/arm64 ", done.err, re.MULTILINE))
    return "\n".join(re.findall(rf"^#(?:{numbers}) \d+\.\d+ (.*)$", done.err, re.MULTILINE))


def test_twins_are_what_ran(twins: Xx) -> None:
    text = f"{TOOLS}RUN echo 'int x;' >x.c && gcc -c x.c && cat /dev/.xx/log/starts\n"
    lines = output_of(build(twins, text, "auto")).splitlines()
    started = [line for line in lines if line[:2] in ("T ", "E ")]
    assert {"T /usr/bin/dash", "T /usr/libexec/gcc/aarch64-linux-gnu/14/cc1", "T /usr/bin/aarch64-linux-gnu-as"} <= {
        *started
    }
    assert "E /usr/bin/aarch64-linux-gnu-gcc-14" in started


SEEN = r"""
set -eu
echo 'relative:' && cd /usr/bin && ./basename /a/b && cd /
echo 'argv[0]:' && bash -c 'exec -a other basename' 2>&1 | head -n1 || true
echo 'exit code:' && { sh -c 'exit 7' || echo $?; } && { sh -c 'kill -9 $$' || echo $?; }
echo 'renamed:' && cp -p /usr/bin/basename /tmp/renamed && /tmp/renamed /x/y
echo 'script:' && printf '#!/bin/sh\necho "$0 $1"\n' >/tmp/script && chmod +x /tmp/script && /tmp/script one
echo 'replaced:' && mv /usr/bin/tac /usr/bin/tac.real && printf '#!/bin/sh\necho mine\n' >/usr/bin/tac
chmod +x /usr/bin/tac && tac /dev/null && mv /usr/bin/tac.real /usr/bin/tac
echo 'path:' && mkdir /tmp/p && ln -s /usr/bin/dirname /tmp/p/dirname && PATH=/tmp/p:$PATH dirname /a/b
echo 'variables:' && LD_PRELOAD= LD_LIBRARY_PATH=/usr/lib PYTHONHOME=/x PERL5LIB=/x cat /dev/null && echo fine
echo 'descriptor:' && perl -e 'open(F,"<","/usr/bin/basename"); exec {"/proc/self/fd/3"} "basename","/q/r"' || true
echo 'memory:' && perl -e '$^F = 99; my $fd = syscall(279, my $name = "x", 0); open(my $out, ">&=", $fd);
    open(my $in, "<", "/usr/bin/basename"); local $/; syswrite($out, <$in>);
    exec {"/proc/self/fd/$fd"} "basename", "/in/memory"' || true
echo 'loader:' && cp -p /usr/lib/ld-linux-aarch64.so.1 /tmp/loader && echo >>/tmp/loader
mv /tmp/loader /usr/lib/ld-linux-aarch64.so.1 && basename /new/loader && bash -c 'basename /bash/loader'
echo 'empty:' && : | xargs -r echo && env -i /usr/bin/env | sort
echo 'many:' && for n in $(seq 300); do basename /a/$n; done | tail -n1
echo 'at once:' && for n in $(seq 100); do basename /a/$n & done | sort -n | tail -n1; wait
echo 'long:' && basename "$(head -c 100000 /dev/zero | tr '\0' a)" | wc -c
mkdir -p /tmp/r/usr/bin /tmp/r/usr/lib && ln -s usr/lib /tmp/r/lib
echo 'chroot:' && cp -a /usr/lib/*-linux-gnu /tmp/r/lib/
cp -a /usr/lib64 /tmp/r/lib64 2>/dev/null || true
cp -a /usr/lib/ld-linux-*.so.* /tmp/r/usr/lib/ 2>/dev/null || true
cp -p /usr/bin/basename /tmp/r/usr/bin/ && chroot /tmp/r /usr/bin/basename /in/chroot
echo 'read-only:' && { touch /dev/.xx/r/x 2>/dev/null || echo refused; }
rm -rf /tmp/*
"""


def test_programs_see_and_do_the_same(twins: Xx) -> None:
    text = f"FROM debian:trixie\nRUN <<'EOF'\n{SEEN}EOF\n"
    with_twins = output_of(build(twins, text, "auto"))
    assert with_twins == output_of(build(twins, text, "off"))
    for line in (
        "b",
        "7",
        "137",
        "y",
        "/tmp/script one",
        "mine",
        "/a",
        "300",
        "100",
        "100001",
        "chroot",
        "refused",
        "memory",
        "loader",
    ):
        assert line in with_twins.splitlines(), (line, with_twins)


MANY = r"""
set -eu
n=0; while [ $n -lt 10000 ]; do /usr/bin/true; n=$((n+1)); done
for n in $(seq 200); do sh -c "sleep 0.2; basename /at/$n" & done | sort -n | tail -n1; wait
grep -c '^T /usr/bin/true' /dev/.xx/log/starts; grep -c '^T /usr/bin/basename' /dev/.xx/log/starts
"""


def test_ten_thousand_in_a_row_and_two_hundred_at_once(twins: Xx) -> None:
    done = build(twins, f"FROM debian:trixie\nRUN <<'EOF'\n{MANY}EOF\n", "auto")
    assert output_of(done).split() == ["200", "10000", "200"]


def test_a_result_with_twins_counts_only_where_it_may(twins: Xx) -> None:
    text = "FROM debian:trixie\nRUN sh -c 'date +%s%N' >/stamp\nRUN sh -c 'cat /stamp'\n"
    first = output_of(build(twins, text, "auto", "--no-cache"))
    assert " CACHED" in build(twins, text, "auto").err
    off = build(twins, text, "off")
    assert output_of(off) not in ("", first), "what twins had a part in answered for QEMU"
    # And then what QEMU made answers for both.
    assert output_of(build(twins, f"{text}RUN sh -c 'cat /stamp # again'\n", "auto")) == output_of(off)


def test_what_fails_with_twins_is_run_without_them(twins: Xx) -> None:
    text = "FROM debian:trixie\nRUN if [ -e /dev/.xx/table ]; then exit 3; fi; echo fine\n"
    done = build(twins, text, "auto")
    assert "failed with twins" in done.err and output_of(done).endswith("fine"), done
    # The step fails here, and there is no twin root then; that ends nothing.
    text = "FROM debian:trixie\nRUN test $(uname -m) = aarch64 && echo fine\n"
    assert output_of(build(twins, text, "auto")).endswith("fine")
    failed = twins.build("FROM debian:trixie\nRUN sh -c 'exit 9'\n", *ARM64)
    assert failed.code == 6 and "exit code 9" in failed.err


def test_where_no_twin_can_be_found_nothing_is_run_for_its_sake(twins: Xx) -> None:
    done = build(twins, "FROM busybox\nRUN sh -c 'uname -m'\nRUN sh -c 'echo more'\n", "auto")
    assert output_of(done).split() == ["aarch64", "more"] and "x86_64" not in done.err and " ERROR" not in done.err


def test_for_the_sake_of_a_small_step_nothing_is_run_here(twins: Xx) -> None:
    done = build(twins, "FROM debian:trixie\nRUN uname -m >/machine && cat /machine\n", "auto")
    assert output_of(done) == "aarch64" and "linux/amd64" not in done.err


def test_nothing_of_it_is_in_a_layer(twins: Xx) -> None:
    text = "FROM debian:trixie\nRUN sh -c 'touch /made'\n"
    out = twins.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    build(twins, text, "auto", "-o", f"type=local,dest={out}")
    assert (out / "made").exists() and not (out / "dev/.xx").exists() and not os.listdir(out / "dev")
