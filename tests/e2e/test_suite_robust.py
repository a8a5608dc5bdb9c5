"""The suite where things are not as they should be: two at once, no rights, no os-release, no network, a lock."""

from __future__ import annotations

from support import Xx, installed

PYTHON = "/usr/lib/xx/ld.so --library-path /usr/lib/xx/lib /usr/lib/xx/bin/python3 -I -S"
DOCKERFILE = f"""\
FROM --platform=$BUILDPLATFORM xx AS xx
FROM --platform=$BUILDPLATFORM debian:trixie AS tools
{installed("clang", "lld")}
FROM tools
COPY --from=xx / /
ARG TARGETPLATFORM
RUN echo 'int main(void) {{ return 0; }}' >/x.c && chmod 777 /tmp
RUN <<EOF
echo "at once"
for each in zlib1g-dev libbz2-dev liblzma-dev; do
    (xx-apt-get install -q -y --no-install-recommends $each >/tmp/$each 2>&1; echo "install $?") &
done
for each in 1 2 3 4; do (xx-clang -c -o /tmp/$each.o /x.c; echo "compile $?") & done
wait
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


def test_all_of_it(xx: Xx) -> None:
    done = xx.build(DOCKERFILE, "--platform", "linux/arm64")
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
