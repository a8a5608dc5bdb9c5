"""xx-dnf with the real dnf, that of Debian, and a repository of packages made here for two architectures."""

from __future__ import annotations

import pytest
from support import Xx, installed

SPEC = """\
Name: {name}
Version: 1
Release: 1
Summary: for tests
License: MIT
{requires}
%description
x
%install
mkdir -p %{{buildroot}}/usr/include %{{buildroot}}/usr/lib64
echo "#define {macro} \\"%{{_target_cpu}}\\"" >%{{buildroot}}/usr/include/{name}.h
echo %{{_target_cpu}} >%{{buildroot}}/usr/lib64/{name}.arch
%post -p <lua>
error("a scriptlet of the target's package was run")
%files
/usr/include/{name}.h
/usr/lib64/{name}.arch
"""


def spec(name: str, requires: str = "") -> str:
    macro = name.replace("-", "_").replace("+", "x").upper()
    return SPEC.format(name=name, macro=macro, requires=f"Requires: {requires}" if requires else "")


FROM = f"""\
FROM --platform=$BUILDPLATFORM xx AS xx
FROM --platform=$BUILDPLATFORM debian:trixie AS tools
{installed("dnf", "rpm", "createrepo-c", "file")}
"""
STEPS = """\
COPY specs /specs
RUN <<EOF
set -eu
for arch in x86_64 aarch64 s390x; do
    for each in /specs/*.spec; do
        rpmbuild --quiet --target $arch -bb --define "_rpmdir /repo/$arch" "$each"
    done
    createrepo_c -q /repo/$arch
done
rm -f /etc/os-release
printf 'ID=fedora\\nVERSION_ID=41\\n' >/etc/os-release
mkdir -p /etc/yum.repos.d
printf '[ours]\\nname=ours\\nbaseurl=file:///repo/$basearch\\ngpgcheck=0\\n' >/etc/yum.repos.d/ours.repo
EOF
FROM tools
COPY --from=xx / /
ARG TARGETPLATFORM
RUN xx-dnf -y install xx-c-essentials xx-cxx-essentials zlib-devel
RUN <<EOF
set -eu
if xx-info is-cross; then root=/$(xx-info); else root=; fi
cd $root/usr/lib64
echo "arch $(cat zlib-devel.arch gcc.arch libstdc++-devel.arch | sort -u)"
echo "root $(xx-info march) $(test -e $root/usr/include/glibc-devel.h && echo there)"
EOF
RUN xx-dnf -y install no-such-package; echo status $?
RUN xx-microdnf install x; echo microdnf $?
RUN TARGETPLATFORM=windows/amd64 xx-dnf install -y zlib-devel; echo windows $?
"""


@pytest.fixture
def packages(xx: Xx) -> Xx:
    folder = xx.folder / "specs"
    folder.mkdir()
    for name, requires in (
        ("glibc-devel", ""),
        ("gcc", "glibc-devel"),
        ("libstdc++-devel", "gcc"),
        ("zlib-devel", "glibc-devel"),
    ):
        (folder / f"{name}.spec").write_text(spec(name, requires))
    return xx


def test_a_second_root_for_each_architecture(packages: Xx) -> None:
    done = packages.build(FROM + STEPS, "--platform", "linux/arm64,linux/s390x")
    assert done.code == 0, done
    for arch in ("aarch64", "s390x"):
        assert f" arch {arch}\n" in done.err and f" root {arch} there\n" in done.err, done
    assert " status 1\n" in done.err and " windows 0\n" in done.err and " microdnf 1\n" in done.err
