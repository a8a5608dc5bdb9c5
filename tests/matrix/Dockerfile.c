# A project of the distribution, from its source package, built for the target with a library of the target's.
ARG BASE=debian:trixie
FROM --platform=$BUILDPLATFORM xx AS xx

# The same sources on every suite, the release's own: a security update has no other .orig.tar.
FROM --platform=$BUILDPLATFORM debian:trixie AS source
RUN <<EOF
set -eu
sed -n '/security/!s/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get update -q
apt-get install -q -y --no-install-recommends xz-utils bzip2 >/dev/null
EOF
ARG PROJECT
WORKDIR /source
RUN apt-get source -q --download-only --tar-only "$PROJECT" && mkdir /project && \
    tar -xf ./*.orig.tar.* --strip-components=1 -C /project

FROM --platform=$BUILDPLATFORM $BASE AS tools
# The security suite serves some architectures later than others, and then the others' packages cannot be installed:
# it goes, and so do the versions that the base has of it.
RUN <<EOF
set -eu
sed -i /security/d /etc/apt/sources.list
printf 'Package: *\nPin: release o=Debian\nPin-Priority: 1001\n' >/etc/apt/preferences.d/archive
apt-get update -q
apt-get dist-upgrade -q -y --allow-downgrades >/dev/null
apt-get install -q -y --no-install-recommends clang lld llvm make cmake meson pkg-config qemu-user bzip2 \
    binutils-s390x-linux-gnu binutils-riscv64-linux-gnu autoconf automake libtool libutfcpp-dev >/dev/null
EOF

FROM tools AS made
COPY --from=xx / /
ARG TARGETPLATFORM
RUN xx-apt-get install -q -y --no-install-recommends xx-cxx-essentials zlib1g-dev libbz2-dev libssl-dev >/dev/null
ARG PROJECT
COPY --from=source /project /project
COPY c /c
WORKDIR /project
RUN sh /c/build.sh "/c/$PROJECT.sh"

# What was made has been tried above; packing all the tools into an image would show nothing more.
FROM scratch
COPY --from=made /etc/os-release /
