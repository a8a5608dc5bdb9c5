// serve answers each request with the platform that it was built for.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"runtime"
)

func main() {
	address := flag.String("listen", ":8080", "address to listen on")
	version := flag.Bool("version", false, "print the version and the platform")
	flag.Parse()
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if *version {
		fmt.Println("serve 1.0 for", platform)
		return
	}
	http.HandleFunc("/", func(out http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(out, "hello from", platform)
	})
	log.Fatal(http.ListenAndServe(*address, nil))
}
