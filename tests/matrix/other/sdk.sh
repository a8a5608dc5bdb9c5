# clang with a macOS SDK. This one has the C headers and libSystem that zig brings, and so what a C program needs.
set -eux
if xx-clang -c -o /none.o hello.c 2>/error; then exit 1; fi
grep 'no macOS SDK in /xx-sdk' /error
lib=$(dirname "$(readlink -f "$(python3 -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig")")/lib
sdk=/xx-sdk/MacOSX14.4.sdk
mkdir -p $sdk/usr/include $sdk/usr/lib
cp -r "$lib"/libc/include/any-macos-any/. "$lib"/libc/include/any-darwin-any/. $sdk/usr/include/ 2>/dev/null || true
cp "$lib/libc/darwin/libSystem.tbd" $sdk/usr/lib/
xx-clang -o /hello hello.c
xx-verify /hello
xx-clang --setup-target-triple
"$(xx-clang --print-target-triple)-clang" -o /hello2 hello.c
xx-verify /hello2
[ "$(xx-clang --print-sysroot)" = $sdk ]
[ "$(xcrun --sdk macosx --show-sdk-path)" = $sdk ]
[ "$(xcrun --show-sdk-version)" = 14.4 ]
xcrun "$(xx-clang --print-target-triple)-clang" -c -o /hello.o hello.c
xx-verify /hello.o
