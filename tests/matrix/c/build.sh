# Builds the project in this folder by the script named, checks what it says it made, and runs it.
set -eu
xx-clang --setup-target-triple
triple=$(xx-clang --print-target-triple)
cross=$(xx-clang --print-meson-cross-file)
toolchain=$(xx-clang --print-cmake-toolchain-file)
runner=$(sed -n "s/^exe_wrapper = \['\([^']*\)'.*/\1/p" "$cross")
CONFIG_SITE=$(xx-clang --print-config-site)
export CONFIG_SITE
jobs=-j$(nproc)
work=$(mktemp -d)

# run PROGRAM ARGUMENT…: on this machine, or under QEMU.
run() { $runner "$@"; }
# made PROGRAM…: they are for the target.
made() { xx-verify "$@"; }

log=$work/log
if ! (set -e; . "$1") >"$log" 2>&1; then
    tail -n 40 "$log"
    exit 1
fi
tail -n 2 "$log"
