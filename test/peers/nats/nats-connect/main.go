// nats-connect connects to a NATS server with a creds file, by the Go client, and ends. Usage: nats-connect URL CREDS
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: nats-connect URL CREDS")
		os.Exit(2)
	}
	options := []nats.Option{nats.UserCredentials(os.Args[2]), nats.NoReconnect(), nats.Timeout(5 * time.Second)}
	connection, err := nats.Connect(os.Args[1], options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	connection.Close()
}
