# clang with the headers and libraries of mingw-w64, and a resource.
set -eux
xx-apt-get install -q -y --no-install-recommends xx-cxx-essentials >/dev/null
xx-clang -o /hello.exe hello.c
xx-verify --static /hello.exe
xx-clang++ -static -o /hello-cxx.exe hello.cc
xx-verify --static /hello-cxx.exe
xx-clang --setup-target-triple
"$(xx-info)-windres" -i app.rc -o /app.o
xx-verify /app.o
xx-windres -O res app.rc /app.res
xx-clang -o /resource.exe hello.c /app.o
xx-verify /resource.exe
tr -d '\000' </resource.exe | grep -aq '1[.]2[.]3'
gcc=$(xx-info)-gcc
XX_CC_PREFER_COMPILER=gcc xx-cc -o /gcc.exe hello.c
"$gcc" -o /gcc2.exe hello.c
xx-verify /gcc.exe /gcc2.exe
