#!/bin/sh
# Unpacks Debian's Python for the Debian architecture $1 to the folder $2, with its own loader: nothing of it is run.
set -eu
arch=$1
out=$2
work=$(mktemp -d)
cd "$work"

python=$(apt-cache depends python3-minimal:"$arch" | sed -n 's/^ *\(Pre\)*Depends: \(python3\.[0-9]*-minimal\).*/\2/p' | head -n 1)
[ -n "$python" ] || {
    echo "collect.sh: apt has no python3-minimal for $arch here; SUITE names another suite of Debian" >&2
    exit 1
}
version=${python%-minimal}
# libgcc's licence is in a package of its own.
gcc=$(apt-cache depends libgcc-s1:"$arch" | sed -n 's/^ *Depends: \(gcc-[0-9]*-base\).*/\1/p' | head -n 1)
apt-get download -q -o APT::Sandbox::User=root "$python:$arch" "lib$version-minimal:$arch" "lib$version-stdlib:$arch" \
    "libc6:$arch" "zlib1g:$arch" "libexpat1:$arch" "libgcc-s1:$arch" "$gcc:$arch"
mkdir root
for package in ./*.deb; do dpkg-deb -x "$package" root; done
cd root

mkdir -p "$out/bin" "$out/lib" "$out/licenses"
cp "usr/bin/$version" "$out/bin/python3"
cp -r "usr/lib/$version" "$out/lib/$version"
# Which of them are needed is found later (prune.py).
for name in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 libutil.so.1 libz.so.1 libexpat.so.1 libgcc_s.so.1; do
    find . -name "$name" -exec cp -L {} "$out/lib/" \;
done
cp "usr/share/doc/$gcc/copyright" "$out/licenses/libgcc-s1"
for name in "$python" libc6 zlib1g libexpat1; do
    cp "usr/share/doc/$name/copyright" "$out/licenses/$name"
done
find . -type f \( -name 'ld-linux*.so.*' -o -name 'ld64.so.*' -o -name 'ld.so.1' \) -exec cp {} "$out/ld.so" \;
# The loader would load what a stage names in /etc/ld.so.preload, into our Python too, and no option keeps it from that.
grep -q /etc/ld.so.preload "$out/ld.so"
LC_ALL=C sed -i 's|/etc/ld.so.preload|/etc/ld.so.nothing|' "$out/ld.so"
rm -rf "$work"
