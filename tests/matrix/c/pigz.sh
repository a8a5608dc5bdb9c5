# C, plain make, zlib.
make "$jobs" CC="$triple-clang" pigz
made pigz
seq 10000 >"$work/in"
run ./pigz -c "$work/in" >"$work/in.gz"
run ./pigz -dc "$work/in.gz" | cmp - "$work/in"
gzip -t "$work/in.gz"
