package main

// #cgo LDFLAGS: -lsqlite3
// #include <sqlite3.h>
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

func main() {
	name, text := C.CString(":memory:"), C.CString("create table t (x); insert into t values (1), (2)")
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(text))
	var db *C.sqlite3
	if C.sqlite3_open(name, &db) != C.SQLITE_OK || C.sqlite3_exec(db, text, nil, nil, nil) != C.SQLITE_OK {
		fmt.Fprintln(os.Stderr, C.GoString(C.sqlite3_errmsg(db)))
		os.Exit(1)
	}
	fmt.Println(C.sqlite3_changes(db), C.GoString(C.sqlite3_libversion()))
}
