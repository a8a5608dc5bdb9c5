# C++, plain make, libbz2.
make "$jobs" CXX="$triple-clang++ -std=gnu++98" CC="$triple-clang++ -std=gnu++98" pbzip2
made pbzip2
seq 10000 >"$work/in"
run ./pbzip2 -c "$work/in" >"$work/in.bz2"
run ./pbzip2 -dc "$work/in.bz2" | cmp - "$work/in"
