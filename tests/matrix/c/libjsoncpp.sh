# C++, Meson; its own tests are run.
meson setup --cross-file="$cross" "$work/b" -Dtests=true
ninja -C "$work/b"
made "$work/b/jsoncpp_test"
run "$work/b/jsoncpp_test" | tail -n 1
