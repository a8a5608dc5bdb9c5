# zig brings headers and libraries of its own.
set -eux
export XX_CC_PREFER_COMPILER=zig XX_CC_GLIBC=2.17
xx-cc -o /hello hello.c
out=/hello
[ -e $out ] || out=/hello.exe
xx-verify $out
if [ "$(xx-info os)" = linux ]; then xx-verify --max-glibc 2.17 $out; fi
xx-clang --setup-target-triple
"$(xx-clang --print-target-triple)-cc" -c -o /hello.o hello.c
xx-verify /hello.o
