# C, CMake, zlib, libbz2 and OpenSSL.
cmake -S . -B "$work/b" -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DCMAKE_BUILD_TYPE=Release -DENABLE_TEST=OFF -DCMAKE_POLICY_VERSION_MINIMUM=3.5 \
    -DENABLE_LIBXML2=OFF -DENABLE_EXPAT=OFF -DENABLE_LZMA=OFF -DENABLE_ZSTD=OFF -DENABLE_LZ4=OFF -DENABLE_ACL=OFF
cmake --build "$work/b" "$jobs" --target bsdtar
made "$work/b/bin/bsdtar"
echo content >"$work/in"
run "$work/b/bin/bsdtar" -czf "$work/a.tgz" -C "$work" in
[ "$(tar -xzOf "$work/a.tgz" in)" = content ]
run "$work/b/bin/bsdtar" --version | tee "$work/version"
grep -q zlib/ "$work/version"
