# Go alone, and Go with C.
ARG BASE=debian:trixie
FROM --platform=$BUILDPLATFORM xx AS xx

FROM --platform=$BUILDPLATFORM $BASE AS made
RUN <<EOF
set -eu
sed -i /security/d /etc/apt/sources.list
printf 'Package: *\nPin: release o=Debian\nPin-Priority: 1001\n' >/etc/apt/preferences.d/archive
apt-get update -q
apt-get dist-upgrade -q -y --allow-downgrades >/dev/null
apt-get install -q -y --no-install-recommends golang-go clang lld llvm binutils-s390x-linux-gnu qemu-user \
    ca-certificates >/dev/null
EOF
COPY go/go.mod go/go.sum /src/
WORKDIR /src
RUN go mod download
COPY go /src
COPY --from=xx / /
ARG PROJECT
ARG TARGETPLATFORM
RUN if [ "$PROJECT" = sqlite ]; then xx-apt-get install -q -y --no-install-recommends xx-c-essentials >/dev/null; fi
RUN <<EOF
set -eu
case $PROJECT in pure) export CGO_ENABLED=0 ;; *) export CGO_ENABLED=1 ;; esac
xx-go build -o /made ./$PROJECT
case $PROJECT-$(xx-info os) in pure-linux) xx-verify --static /made ;; *) xx-verify /made ;; esac
[ "$(xx-info os)" = linux ] || exit 0
if xx-info is-cross && [ "$(xx-info arch)" != 386 ]; then
    case $(xx-info arch) in arm) runner=qemu-arm ;; *) runner=qemu-$(xx-info march) ;; esac
fi
${runner-} /made
EOF

# What was made has been tried above; packing all the tools into an image would show nothing more.
FROM scratch
COPY --from=made /etc/os-release /
