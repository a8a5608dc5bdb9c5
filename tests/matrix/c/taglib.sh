# C++, CMake, zlib.
cmake -S . -B "$work/b" -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS=OFF -DBUILD_EXAMPLES=ON -DBUILD_TESTING=OFF
cmake --build "$work/b" "$jobs"
made "$work/b/examples/tagreader"
head -c 2000 /dev/zero >"$work/a.mp3"
run "$work/b/examples/tagreader" "$work/a.mp3" | grep 'a.mp3'
