// Program setec-server is the real setec server on loopback without a tailnet, for interop tests and benchmarks.
//
// Who calls is decided by the listener alone: on the first every caller may do everything, on the second (with
// -limited) only what the given rules say. It prints one line for each, "listening URL" and "limited URL", once it
// serves, and before it "opened in T ms" of its database. Its state lives in -dir, which must not hold a database yet.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/tailscale/setec/acl"
	"github.com/tailscale/setec/audit"
	"github.com/tailscale/setec/db"
	"github.com/tailscale/setec/server"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/tailcfg"
)

// everything allows each of setec's actions on each secret.
var everything = acl.Rules{{
	Action: []acl.Action{
		acl.ActionGet, acl.ActionInfo, acl.ActionPut, acl.ActionCreateVersion, acl.ActionActivate, acl.ActionDelete,
	},
	Secret: []acl.Secret{"*"},
}}

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "", "state folder (required)")
	addr := flag.String("addr", "127.0.0.1:0", "address for callers with every right")
	limited := flag.String("limited", "", `rules of the second listener: [{"action":["get"],"secret":["a/*"]}]`)
	preload := flag.Int("preload", 0, "secrets bench/0, bench/1, … to start with, each of 32 bytes")
	flag.Parse()
	if *dir == "" {
		log.Fatal("setec-server: -dir is required")
	}

	d, err := openDB(*dir, *preload)
	if err != nil {
		log.Fatalf("setec-server: %v", err)
	}
	mux := http.NewServeMux()
	if _, err := server.New(context.Background(), server.Config{DB: d, Mux: mux, WhoIs: whoIs}); err != nil {
		log.Fatalf("setec-server: %v", err)
	}

	failed := make(chan error)
	if *limited != "" {
		var rules acl.Rules
		if err := json.Unmarshal([]byte(*limited), &rules); err != nil {
			log.Fatalf("setec-server: -limited: %v", err)
		}
		go func() { failed <- serve("limited", "127.0.0.1:0", mux, rules) }()
	}
	go func() { failed <- serve("listening", *addr, mux, everything) }()
	log.Fatalf("setec-server: %v", <-failed)
}

// openDB makes a database of n secrets in dir under a key of its own, which nobody keeps.
func openDB(dir string, n int) (*db.DB, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	key, err := aead.New(handle)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "database")
	if err := writeDatabase(path, key, n); err != nil {
		return nil, fmt.Errorf("preloading: %w", err)
	}
	auditLog, err := audit.NewFile(filepath.Join(dir, "audit.log"))
	if err != nil {
		return nil, err
	}
	start := time.Now()
	d, err := db.Open(path, key, auditLog)
	fmt.Printf("opened in %.1f ms\n", time.Since(start).Seconds()*1000)
	return d, err
}

type rulesKey struct{}

// serve answers on addr; whoever calls there has the given rules.
func serve(label, addr string, handler http.Handler, rules acl.Rules) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler:     handler,
		BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), rulesKey{}, rules) },
	}
	fmt.Printf("%s http://%s\n", label, l.Addr())
	return s.Serve(l)
}

// whoIs stands in for the tailnet: the listener's rules are the caller's capabilities.
func whoIs(ctx context.Context, _ string) (*apitype.WhoIsResponse, error) {
	var capabilities []tailcfg.RawMessage
	for _, rule := range ctx.Value(rulesKey{}).(acl.Rules) {
		text, err := json.Marshal(rule)
		if err != nil {
			return nil, err
		}
		capabilities = append(capabilities, tailcfg.RawMessage(text))
	}
	return &apitype.WhoIsResponse{
		Node:        &tailcfg.Node{Name: "peer.example.ts.net."},
		UserProfile: &tailcfg.UserProfile{LoginName: "flynn@example.com"},
		CapMap:      tailcfg.PeerCapMap{server.ACLCap: capabilities},
	}, nil
}
