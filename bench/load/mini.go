// The minimal server of the start and memory rows: it listens and answers 200.
package main

import (
	"net/http"
	"os"
)

func main() {
	http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}
