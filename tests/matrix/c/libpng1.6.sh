# C, autotools, zlib.
./configure --host="$triple" --disable-shared
make "$jobs" pngtest
made pngtest
run ./pngtest pngtest.png
