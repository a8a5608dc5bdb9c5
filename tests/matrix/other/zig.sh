# zig brings headers and libraries of its own.
set -eux
export XX_CC_PREFER_COMPILER=zig XX_CC_GLIBC=2.17
xx-cc -o /hello hello.c
out=/hello
[ -e $out ] || out=/hello.exe
xx-verify $out
xx-c++ -o /hello-cxx hello.cc
case $(xx-info os) in
    linux) xx-verify --max-glibc 2.17 $out ;;
    darwin) xx-verify /hello-cxx ;;
esac
xx-clang --setup-target-triple
"$(xx-clang --print-target-triple)-cc" -c -o /hello.o hello.c
xx-verify /hello.o
