"""Cross-building C with the xx commands in a Debian stage: the way the demo goes, on a small program."""

from __future__ import annotations

import shutil

from support import BOTH, ROOT, Xx, installed

HELLO = """\
#include <stdio.h>
#include <sys/utsname.h>
int main(void) { struct utsname u; uname(&u); printf("hello from %s\\n", u.machine); return 0; }
"""
HELLO_CXX = """\
#include <iostream>
int main() { std::cout << "hello from C++" << std::endl; }
"""
TOOLS = installed("clang", "lld") + "\n"
"""A step that most here have in common, and so make once: they are in one file."""
PYTHON = "/usr/lib/xx/ld.so --library-path /usr/lib/xx/lib /usr/lib/xx/bin/python3 -I -S"
NOT_AS_IT_SHOULD_BE = f"""\
FROM --platform=$BUILDPLATFORM xx AS xx
FROM --platform=$BUILDPLATFORM debian:trixie AS tools
{TOOLS}FROM tools
COPY --from=xx / /
ARG TARGETPLATFORM
RUN echo 'int main(void) {{ return 0; }}' >/x.c && chmod 777 /tmp
RUN <<EOF
echo "at once"
# apt-get update takes longer than others need to come to it.
echo 'Acquire::http::Dl-Limit "1500";' >/etc/apt/apt.conf.d/slow
for each in zlib1g-dev libbz2-dev liblzma-dev; do
    (xx-apt-get install -q -y --no-install-recommends $each >/tmp/$each 2>&1; echo "install $?") &
done
for each in 1 2 3 4; do (xx-clang -c -o /tmp/$each.o /x.c; echo "compile $?") & done
wait
rm /etc/apt/apt.conf.d/slow
dpkg-query -W -f '${{Package}}:${{Architecture}} ${{Status}}\\n' zlib1g-dev:arm64 libbz2-dev:arm64 liblzma-dev:arm64
EOF
RUN <<EOF
echo "a locked dpkg"
{PYTHON} -c 'import fcntl, time
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(4)' &
sleep 1
xx-apt-get install -q -y --no-install-recommends libexpat1-dev >/tmp/log 2>&1
echo "locked $?"
EOF
RUN <<EOF
echo "another user"
rm -f /usr/bin/aarch64-linux-gnu-*
su nobody -s /bin/sh -c 'xx-clang -c -o /tmp/n.o /x.c && xx-verify /tmp/n.o; echo "compile as nobody $?"'
su nobody -s /bin/sh -c 'xx-clang --setup-target-triple; echo "set-up as nobody $?"'
su nobody -s /bin/sh -c 'TARGETPLATFORM=linux/s390x xx-apt-get install zlib1g-dev; echo "apt as nobody $?"'
EOF
RUN <<EOF
echo "no os-release"
mv /etc/os-release /tmp/etc; mv /usr/lib/os-release /tmp/usr
echo "triple $(xx-info)"
xx-clang -c -o /tmp/o.o /x.c; echo "compile unknown $?"
xx-apk add x; echo "apk $?"
cp /tmp/usr /usr/lib/os-release; ln -s ../usr/lib/os-release /etc/os-release
EOF
RUN <<EOF
echo "no network"
export http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9
TARGETPLATFORM=linux/s390x xx-apt-get install -q -y zlib1g-dev; echo "offline $?"
unset http_proxy https_proxy
rm -rf /var/lib/apt/lists/*
xx-apt-get install -q -y --no-install-recommends libssl-dev >/tmp/log 2>&1; echo "again $?"; tail -n 5 /tmp/log
EOF
"""


def test_c_for_both_platforms_static_and_dynamic(xx: Xx) -> None:
    (xx.folder / "hello.c").write_text(HELLO)
    done = xx.build(
        "FROM --platform=$BUILDPLATFORM xx AS xx\nFROM --platform=$BUILDPLATFORM debian:trixie AS build\n" + TOOLS
        + "COPY --from=xx / /\nARG TARGETPLATFORM\n"
        "RUN xx-apt-get install -q -y --no-install-recommends xx-c-essentials zlib1g-dev tzdata\n"
        "COPY hello.c /\nRUN xx-clang -static -o /hello /hello.c && xx-verify --static /hello\n"
        "RUN xx-cc -o /dynamic /hello.c -lz && xx-verify /dynamic && ! xx-verify --static /dynamic\n"
        "RUN xx-clang --setup-target-triple && $(xx-info)-clang -c -Werror -o /o /hello.c && xx-verify /o\n"
        "RUN dpkg-query -W -f '${Package}:${Architecture}\\n' zlib1g-dev libc6-dev tzdata\n"
        "FROM busybox\nCOPY --from=build /hello /hello\nRUN /hello\n",
        "--platform", BOTH,
    )  # fmt: skip
    assert done.code == 0, done
    assert " hello from x86_64\n" in done.err and " hello from aarch64\n" in done.err
    for package in ("zlib1g-dev:arm64", "libc6-dev:arm64", "zlib1g-dev:amd64", "tzdata:all"):
        assert f" {package}\n" in done.err, package


def test_cxx(xx: Xx) -> None:
    (xx.folder / "hello.cc").write_text(HELLO_CXX)
    done = xx.build(
        "FROM --platform=$BUILDPLATFORM xx AS xx\nFROM --platform=$BUILDPLATFORM debian:trixie AS build\n" + TOOLS
        + "COPY --from=xx / /\nARG TARGETPLATFORM\n"
        "RUN xx-apt install -y --no-install-recommends xx-cxx-essentials\n"
        "COPY hello.cc /\nRUN xx-clang++ -static -o /hello /hello.cc && xx-verify --static /hello\n"
        "FROM busybox\nCOPY --from=build /hello /hello\nRUN /hello\n",
        "--platform", "linux/arm64",
    )  # fmt: skip
    assert done.code == 0, done
    assert " hello from C++\n" in done.err


def test_each_linker_and_gcc(xx: Xx) -> None:
    (xx.folder / "hello.c").write_text(HELLO)
    done = xx.build(
        "FROM --platform=$BUILDPLATFORM xx AS xx\nFROM --platform=$BUILDPLATFORM debian:trixie AS build\n"
        + installed("clang", "lld", "mold") + "\n"
        "COPY --from=xx / /\nARG TARGETPLATFORM\nCOPY hello.c /\n"
        "RUN xx-apt-get install -q -y --no-install-recommends binutils binutils-gold gcc xx-c-essentials >/log 2>&1\n"
        "RUN <<EOF\nset -e\nfor each in lld ld gold mold; do\n"
        "XX_CC_PREFER_LINKER=$each xx-clang -v -static -o /$each /hello.c 2>/log\n"
        "echo \"linked for $each by $(grep -o 'ld[.]lld\\|ld[.]bfd\\|ld[.]gold\\|bin/mold' /log | tail -n 1)\"\n"
        "xx-verify --static /$each\ndone\n"
        "export XX_CC_PREFER_COMPILER=gcc\nxx-cc -v -static -o /gcc /hello.c 2>&1 | grep '^gcc version'\n"
        "xx-verify --static /gcc\n$(xx-info)-gcc -c -o /o /hello.c\nxx-verify /o\nEOF\n"
        "FROM busybox\nCOPY --from=build /lld /ld /gold /mold /gcc /\n"
        "RUN for each in lld ld gold mold gcc; do echo $each $(/$each); done\n",
        "--platform", "linux/arm64",
    )  # fmt: skip
    assert done.code == 0, done
    for each in ("lld", "ld", "gold", "mold", "gcc"):
        assert f" {each} hello from aarch64\n" in done.err, done
    for each, program in (("lld", "ld.lld"), ("ld", "ld.bfd"), ("gold", "ld.gold"), ("mold", "bin/mold")):
        assert f" linked for {each} by {program}\n" in done.err, done
    assert " gcc version " in done.err


def test_deb822_sources_and_lists_that_were_removed(xx: Xx) -> None:
    done = xx.build(
        "FROM --platform=$BUILDPLATFORM xx AS xx\nFROM --platform=$BUILDPLATFORM debian:trixie\nCOPY --from=xx / /\n"
        "RUN <<EOF\nset -e\n. /etc/os-release\n"
        "uri=$(sed -n '1s/^deb \\([^ ]*\\) .*/\\1/p' /etc/apt/sources.list)\n"
        "printf 'Types: deb\\nURIs: %s\\nSuites: %s\\nComponents: main\\nSigned-By: %s\\n' $uri $VERSION_CODENAME"
        " /usr/share/keyrings/debian-archive-keyring.gpg >/etc/apt/sources.list.d/debian.sources\n"
        "rm -rf /etc/apt/sources.list /var/lib/apt/lists/*\nEOF\n"
        "ARG TARGETPLATFORM\nRUN xx-apt-get install -q -y --no-install-recommends xx-c-essentials\n"
        "RUN xx-apt-get install -q -y no-such-package; echo status $?\n"
        "RUN TARGETPLATFORM=darwin/arm64 xx-apt-get install -y xx-c-essentials; echo other $?\n"
        "RUN TARGETPLATFORM=linux/s390x xx-apt-get --version | head -n1\n",
        "--platform", "linux/arm64",
    )  # fmt: skip
    assert done.code == 0, done
    assert " status 100\n" in done.err and " other 0\n" in done.err


def test_the_xx_commands_run_in_a_stage_without_python_or_glibc(xx: Xx) -> None:
    done = xx.build(
        "FROM --platform=$BUILDPLATFORM xx AS xx\nFROM --platform=$BUILDPLATFORM busybox\nCOPY --from=xx / /\n"
        "ARG TARGETPLATFORM\nRUN xx-info; xx-info march; xx-verify /bin/busybox || echo refused\n",
        "--platform", "linux/arm64",
    )  # fmt: skip
    assert done.code == 0, done
    assert " aarch64\n" in done.err and " refused\n" in done.err


def test_the_example_builds_the_same_twice(xx: Xx) -> None:
    """The demo's own Dockerfile, for one foreign platform whose final stage is not started: planned as the demo is."""
    shutil.copy(ROOT / "examples/zstd/Dockerfile", xx.folder / "Dockerfile")
    done = xx.run("build", "--platform", "linux/amd64", "--print", "plan", ".")
    assert done.code == 0, done
    assert "emulated" not in done.out


def test_where_things_are_not_as_they_should_be(xx: Xx) -> None:
    """Two at once, a lock, no rights, no os-release, no network."""
    done = xx.build(NOT_AS_IT_SHOULD_BE, "--platform", "linux/arm64")
    assert done.code == 0, done
    lines = [line.split(" ", 2)[2] for line in done.err.splitlines() if line.startswith("#") and line.count(" ") > 1]
    assert lines.count("install 0") == 3 and lines.count("compile 0") == 4, done
    assert sum(line.endswith(":arm64 install ok installed") for line in lines) == 3
    assert "locked 0" in lines
    assert "compile as nobody 0" in lines and "set-up as nobody 1" in lines and "apt as nobody 1" in lines
    assert any("cannot write" in line for line in lines) and any("needs root" in line for line in lines)
    assert "compile unknown 0" in lines or "compile unknown 1" in lines
    assert "apk 1" in lines and "offline 1" in lines and "again 0" in lines, done
    assert "Traceback" not in done.err
