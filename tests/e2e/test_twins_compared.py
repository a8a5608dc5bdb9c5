"""Emulated steps with twins make what QEMU alone makes, compared file by file.

Each folder in `twins` is a context with a Dockerfile as projects publish them, none of which speaks of platforms. What
may differ in it besides what no two runs make alike (`expected.py`) is in its expected.json, with the reason. Those
that say ``# large`` take QEMU alone long, some of them hours: they are run where XX_TESTS_LARGE is set (make
test-twins), as is the second of the further architectures.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from support import Done, Xx, keep, kept_bases, store_from

FOLDER = Path(__file__).with_name("twins")
PUBLISHED = sorted(each.name for each in FOLDER.iterdir())
LIGHT = ("generated-source", "make", "never-dispatched", "uname-in-the-name")
OTHERS = (
    ("bookworm", "linux/s390x"),
    ("testing", "linux/riscv64"),
    ("bookworm", "linux/arm/v7"),
    ("bookworm", "linux/ppc64le"),
    ("bookworm", "linux/386"),
)
"""The first that Debian's archive has just now (LARGE: two): a mirror that is being updated lacks some for hours."""
STANDS_STILL = ("--apt-option", 'Acquire::Check-Valid-Until "false";')
"""What a mirror that is being brought up to date needs."""
LARGE = bool(os.environ.get("XX_TESTS_LARGE"))
HOUR = 3600

INSTALL = (
    "apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev make && rm -rf /var/lib/apt/lists/*"
)
TOOLS = f"""\
FROM debian:trixie AS build
RUN {INSTALL}
WORKDIR /src
"""
"""The first step of most: QEMU takes minutes for it, once."""

STEPS = {
    "objects-and-a-library": (
        "RUN printf 'int two(void){return 2;}' >two.c && printf 'int two(void);int main(){return two()-2;}' >main.c && "
        "gcc -O2 -c two.c && ar rcs libtwo.a two.o && gcc -O2 main.c -L. -ltwo -o main && ./main && "
        "gcc -shared -fPIC two.c -o libtwo.so"
    ),
    "debug-information": (
        "RUN printf '#include <stdio.h>\\nint main(){puts(__FILE__);}' >a.c && gcc -g3 -O0 a.c && ./a.out"
    ),
    "link-time-optimisation": (
        "RUN printf 'int f(int x){return x*3;}' >f.c && printf 'int f(int);int main(){return f(1)-3;}' >m.c && "
        "gcc -flto -O3 -frandom-seed=1 -c f.c m.c && gcc -flto -O3 -frandom-seed=1 f.o m.o -o m && ./m"
    ),
    "assembler": (
        "RUN printf '.globl seven\\nseven: mov w0, #7\\nret\\n' >s.S && "
        "printf 'int seven(void);int main(){return seven()-7;}' >m.c && gcc -c s.S m.c && gcc s.o m.o && ./a.out"
    ),
    "flags-of-the-machine": (
        "RUN printf 'float f(float a,float b){return a*b+a;}' >f.c && gcc -O3 -march=armv8.2-a+fp16 -mtune=cortex-a72 "
        "-ffast-math -c f.c && gcc -O2 -mbranch-protection=standard -c f.c -o g.o && gcc -S -O1 f.c"
    ),
    "templates-and-the-library": (
        "RUN printf '#include <map>\\n#include <string>\\n#include <iostream>\\n"
        "int main(){std::map<std::string,int> m{{\"a\",1}};for(auto&[k,v]:m)std::cout<<k<<v<<std::endl;}' >a.cc && "
        "g++ -std=c++20 -O2 a.cc && ./a.out"
    ),
    "a-program-that-makes-a-source": (
        "RUN printf '#include <stdio.h>\\nint main(){puts(\"#define N 5\");}' >gen.c && gcc gen.c -o gen && "
        "./gen >n.h && printf '#include \"n.h\"\\nint main(){return N-5;}' >m.c && gcc -MMD m.c -o m && ./m && cat m.d"
    ),
    "make-with-many-jobs": (
        "RUN for n in 1 2 3 4 5 6; do echo \"int f$n(void){return $n;}\" >f$n.c; done && "
        "printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\\n' >Makefile && make -j4 && uname -m >machine && ls"
    ),
    "preprocessing-only": (
        "RUN printf '#include <stdint.h>\\n#include <limits.h>\\nlong x = LONG_MAX;' >a.c && gcc -E a.c >a.i && "
        "gcc -dM -E - </dev/null | sort >macros && cpp a.c >b.i && printf '' | gcc -fsyntax-only -xc - && "
        "gcc -v -c a.c -o /dev/null 2>&1 | grep -v /tmp/ >verbose"
    ),
    "headers-of-ones-own": (
        "RUN mkdir -p /usr/local/include/mine && echo '#define M 1' >/usr/local/include/mine/m.h && "
        "echo '#include <mine/m.h>\\nint m = M;' >a.c && gcc -g -c a.c && "
        "echo '#include_next <stdio.h>' >/usr/local/include/stdio.h && printf '#include <stdio.h>' | gcc -E - >b.i"
    ),
    "a-library-in-usr-local": (
        "RUN echo 'int q(void){return 0;}' >q.c && gcc -shared -fPIC q.c -o /usr/local/lib/libq.so && "
        "echo 'int q(void);int main(){return q();}' >m.c && gcc m.c -lq -o m && ldconfig && ./m"
    ),
    "archives-and-texts": (
        "RUN mkdir d && seq 2000 >d/a && tar -C d --mtime=@0 -czf a.tgz . && tar tvf a.tgz >list && "
        "gzip -dc a.tgz | sha256sum >sum && find /etc -name '*.conf' | sort | xargs cksum >sums && sed -n 5p d/a"
    ),
    "words-of-the-machine": (
        "RUN uname -m >m && dpkg --print-architecture >>m && arch >>m && nproc >/dev/null && ldd /bin/ls >>m && "
        "bash -c 'echo $MACHTYPE' >>m && gcc -dumpmachine >>m && perl -e 'use Config; print $Config{archname}' >>m"
    ),
}  # fmt: skip

SCRIPTS = """\
FROM debian:trixie AS target
FROM --platform=$BUILDPLATFORM debian:trixie AS packages
ARG TARGETARCH
RUN printf 'APT::Architecture "%s";APT::Architectures {"%s";};' $TARGETARCH $TARGETARCH >/etc/apt/apt.conf.d/target
RUN --mount=from=target,source=/var/lib/dpkg/status,target=/status apt-get update -q && mkdir -p /packages/partial && \\
    apt-get install -q -y --no-install-recommends --download-only -o Dir::State::status=/status \\
    -o Dir::Cache::archives=/packages/ python3.13-minimal debconf tzdata
FROM debian:trixie
RUN --mount=from=packages,source=/packages,target=/packages dpkg -i /packages/*.deb && python3.13 -c 'import os'
"""
"""Packages whose scripts compile Python and run Perl. Emulated is dpkg alone: apt-get takes QEMU minutes each time."""


@dataclass(frozen=True)
class Others:
    """A store with Debian for ``platforms``, each with the release that it is there for."""

    store: Path
    platforms: tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, debian: Path) -> Others:
    """What cases have in common is made once."""
    found: list[tuple[str, str]] = []
    for suite, platform in OTHERS:
        with contextlib.suppress(RuntimeError):
            keep("base", f"debian:{suite}", "--platform", f"linux/amd64,{platform}", *STANDS_STILL)
            found.append((suite, platform))
        if len(found) == (2 if LARGE else 1):
            break
    return Others(store_from(kept_bases(), tmp_path_factory.mktemp("others") / "store"), tuple(found))


def verified(store: Path, folder: Path, platform: str, base: str = "debian:trixie") -> Done:
    """Build the context ``folder`` with twins and without, and compare."""
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("debian:trixie", base))
    done = Xx(store, folder).run(
        "build", "--progress", "plain", "--host-ca", "auto", "--accelerate", "verify", "--platform", platform, ".",
        timeout=3 * HOUR if LARGE else HOUR,
    )  # fmt: skip
    assert done.code == 0, done
    return done


def unexpected(done: Done, folder: Path) -> list[str]:
    """The lines of paths that differ and should not."""
    file = folder / "expected.json"
    reasons = json.loads(file.read_text()) if file.exists() else {}
    found = []
    for number, verdict in re.findall(r"^#(\d+) ((?:NOT )?the same with twins .*)$", done.err, re.MULTILINE):
        count = int(re.findall(r"(\d+) not,", verdict)[0])
        shown = re.findall(rf"^#{number}   (/\S+) (.*)$", done.err, re.MULTILINE)[:count]
        assert len(shown) == count, f"more than can be shown differ: {done}"
        found += [f"{path} {how}" for path, how in shown if not any(fnmatchcase(path, each) for each in reasons)]
    return found


def started_as_twins(done: Done) -> int:
    """How many programs the emulated steps started as twins, as the end of the build says."""
    rows = re.findall(r"^\d+ +linux/\S+ +\d+ +(\d+) .*the same", done.err, re.MULTILINE)
    return sum(map(int, rows))


@pytest.mark.parametrize("case", PUBLISHED)
def test_a_published_one(debian: Path, tmp_path: Path, case: str) -> None:
    text = (FOLDER / case / "Dockerfile").read_text()
    assert "platform" not in text.lower() and "TARGETARCH" not in text
    if "# large" in text and not LARGE:
        pytest.skip("it is large: make test-twins runs it")
    folder = shutil.copytree(FOLDER / case, tmp_path / "context")
    done = verified(debian, folder, "linux/arm64")
    assert unexpected(done, folder) == []
    assert started_as_twins(done) > 0, done


@pytest.mark.parametrize("step", STEPS)
def test_a_step(debian: Path, tmp_path: Path, step: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"{TOOLS}{STEPS[step]}\n")
    done = verified(debian, tmp_path, "linux/arm64")
    assert unexpected(done, tmp_path) == []
    assert started_as_twins(done) > 0, done


def test_packages_with_scripts(debian: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(SCRIPTS)
    done = verified(debian, tmp_path, "linux/arm64")
    assert unexpected(done, tmp_path) == []
    assert started_as_twins(done) > 20, done


@pytest.mark.parametrize("number", [0, 1] if LARGE else [0])
@pytest.mark.parametrize("case", LIGHT)
def test_a_published_one_for_others(others: Others, tmp_path: Path, case: str, number: int) -> None:
    if number >= len(others.platforms):
        pytest.skip(f"Debian's archive lacks some of {OTHERS} just now")
    suite, platform = others.platforms[number]
    folder = shutil.copytree(FOLDER / case, tmp_path / "context")
    done = verified(others.store, folder, platform, f"debian:{suite}")
    assert unexpected(done, folder) == []
    assert started_as_twins(done) > 0, done
