# Writes the median wall time of each command to /times, as: name<TAB>seconds.
set -eu
PATH=/stubs:$PATH
export PATH
xx-clang --setup-target-triple >/dev/null 2>&1 || true
xx-cargo build >/dev/null 2>&1 || true
triple=$(xx-info)

median() { # median NAME COMMAND
    name=$1
    shift
    hyperfine -N --warmup 5 --runs "${RUNS:-60}" --export-csv /csv "$*" >/dev/null
    printf '%s\t%s\n' "$name" "$(sed -n '2p' /csv | cut -d, -f4)" >>/times
}

median "sh -c :" sh -c :
median "xx-info" xx-info
median "xx-info env" xx-info env
median "xx-verify, one file" xx-verify x
median "xx-apt-get install zlib1g-dev" xx-apt-get install -y zlib1g-dev
median "xx-cargo build" xx-cargo build
median "xx-go build" xx-go build
median "clang -c" clang --target=aarch64-linux-gnu -c -o y.o x.c
median "$triple-clang -c" "$triple-clang" -c -o y.o x.c
median "xx-clang -c" xx-clang -c -o y.o x.c
RUNS=5 median "xx-verify, 1000 files" sh -c "'xx-verify many/*'"
sed -i "s/^$triple-clang/alias/" /times
