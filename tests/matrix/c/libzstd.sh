# C, Meson, zlib.
meson setup --cross-file="$cross" "$work/b" build/meson -Dbin_programs=true -Dzlib=enabled -Dlzma=disabled -Dlz4=disabled
ninja -C "$work/b"
made "$work/b/programs/zstd"
seq 10000 >"$work/in"
run "$work/b/programs/zstd" --format=gzip -c "$work/in" >"$work/in.gz"
gzip -dc "$work/in.gz" | cmp - "$work/in"
