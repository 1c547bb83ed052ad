package main

import (
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

type task struct {
	What    string   `json:"what"`
	Bytes   int      `json:"bytes"`
	Tokens  []string `json:"tokens"`
	Seconds float64  `json:"seconds"`
}

func measure(t task) float64 {
	work := workOf(t)
	work()
	limit := time.Duration(t.Seconds * float64(time.Second))
	start := time.Now()
	count := 0
	for time.Since(start) < limit {
		for range 16 {
			work()
		}
		count += 16
	}
	return float64(count) / time.Since(start).Seconds()
}

func workOf(t task) func() {
	message := make([]byte, t.Bytes)
	if t.What == "chain" {
		return func() {
			for _, token := range t.Tokens {
				must(jwt.Decode(token))
			}
		}
	}
	if t.What == "sign" || t.What == "verify" {
		user := pair(nkeys.CreateUser)
		signature := must(user.Sign(message))
		if t.What == "sign" {
			return func() { must(user.Sign(message)) }
		}
		stranger := must(nkeys.FromPublicKey(public(user)))
		return func() {
			if err := stranger.Verify(message, signature); err != nil {
				fatal(err)
			}
		}
	}
	sender, recipient := pair(nkeys.CreateCurveKeys), pair(nkeys.CreateCurveKeys)
	box := must(sender.Seal(message, public(recipient)))
	switch t.What {
	case "seal":
		return func() { must(sender.Seal(message, public(recipient))) }
	case "open":
		return func() { must(recipient.Open(box, public(sender))) }
	}
	fatal(fmt.Errorf("nothing to measure as %q", t.What))
	return nil
}

func must[T any](value T, err error) T {
	if err != nil {
		fatal(err)
	}
	return value
}
