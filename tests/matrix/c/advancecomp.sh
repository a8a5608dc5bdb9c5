# C++, autotools, zlib.
[ -x configure ] || autoreconf -fi
./configure --host="$triple"
make "$jobs" advdef
made advdef
seq 10000 | gzip >"$work/in.gz"
run ./advdef -z -3 "$work/in.gz"
gzip -t "$work/in.gz"
