// SQLite, which is 240,000 lines of C, through cgo.
package main

import (
	"database/sql"
	"fmt"
	"runtime"

	_ "github.com/mattn/go-sqlite3"
)

func main() {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		panic(err)
	}
	var version string
	var sum int
	if err := db.QueryRow("SELECT sqlite_version(), 2 + 3").Scan(&version, &sum); err != nil {
		panic(err)
	}
	fmt.Println("sqlite", version, sum, runtime.GOARCH)
}
