package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
)

var version = "none"

func main() {
	show := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *show {
		fmt.Println(version, runtime.GOOS, runtime.GOARCH)
		return
	}
	words := strings.Fields(strings.Join(os.Environ(), " "))
	sort.Strings(words)
	fmt.Println(len(words))
}
