// Program setec-client drives setec's own Go client library against the server in SETEC_SERVER: for each line of
// JSON on standard input it makes one call and prints one line of JSON with what came back.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

// A call names a method of setec.Client, of a FileClient over File ("file", "file-get"), or of a Store over the latter if File is
// given, else over the former ("store", "store-…"). Cache is the path of the store's cache, if it has one.
type call struct {
	Call    string
	Name    string
	Names   []string
	Version api.SecretVersion
	Value   []byte
	File    string
	Cache   string
}

// An answer counts from 1 and holds the fields that its call has, or the error: one of the library's own by name,
// others in full.
type answer struct {
	Answer  int                `json:"answer"`
	Secrets []*api.SecretInfo  `json:"secrets,omitempty"`
	Info    *api.SecretInfo    `json:"info,omitempty"`
	Value   *api.SecretValue   `json:"value,omitempty"`
	Version *api.SecretVersion `json:"version,omitempty"`
	Bytes   []byte             `json:"bytes,omitempty"`
	Error   string             `json:"error,omitempty"`
}

func main() {
	log.SetFlags(0)
	d := &driver{client: setec.Client{Server: os.Getenv("SETEC_SERVER")}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	out := json.NewEncoder(os.Stdout)
	for n := 1; lines.Scan(); n++ {
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			log.Fatalf("setec-client: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		a, err := d.do(ctx, c)
		cancel()
		if err != nil {
			a = answer{Error: nameOf(err)}
		}
		a.Answer = n
		if err := out.Encode(a); err != nil {
			log.Fatalf("setec-client: %v", err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatalf("setec-client: %v", err)
	}
}

type driver struct {
	client setec.Client
	file   *setec.FileClient
	store  *setec.Store
}

func (d *driver) do(ctx context.Context, c call) (a answer, err error) {
	switch c.Call {
	case "list":
		a.Secrets, err = d.client.List(ctx)
	case "info":
		a.Info, err = d.client.Info(ctx, c.Name)
	case "get":
		a.Value, err = d.client.Get(ctx, c.Name)
	case "get-version":
		a.Value, err = d.client.GetVersion(ctx, c.Name, c.Version)
	case "get-if-changed":
		a.Value, err = d.client.GetIfChanged(ctx, c.Name, c.Version)
	case "put":
		var version api.SecretVersion
		version, err = d.client.Put(ctx, c.Name, c.Value)
		a.Version = &version
	case "create-version":
		err = d.client.CreateVersion(ctx, c.Name, c.Version, c.Value)
	case "activate":
		err = d.client.Activate(ctx, c.Name, c.Version)
	case "delete-version":
		err = d.client.DeleteVersion(ctx, c.Name, c.Version)
	case "delete":
		err = d.client.Delete(ctx, c.Name)
	case "file":
		d.file, err = setec.NewFileClient(c.File)
	case "file-get":
		a.Value, err = d.file.Get(ctx, c.Name)
	case "store":
		d.store, err = d.open(ctx, c)
	case "store-get":
		a.Bytes = d.store.Secret(c.Name).Get()
	case "store-refresh":
		err = d.store.Refresh(ctx)
	case "store-version":
		a.Bytes, err = d.store.VersionedSecret(c.Name).GetVersion(ctx, c.Version)
	case "store-close":
		err = d.store.Close()
	default:
		err = fmt.Errorf("unknown call %q", c.Call)
	}
	return a, err
}

func (d *driver) open(ctx context.Context, c call) (*setec.Store, error) {
	config := setec.StoreConfig{Client: d.client, Secrets: c.Names, AllowLookup: true, PollInterval: -1}
	if c.File != "" {
		file, err := setec.NewFileClient(c.File)
		if err != nil {
			return nil, err
		}
		config.Client = file
	}
	if c.Cache != "" {
		cache, err := setec.NewFileCache(c.Cache)
		if err != nil {
			return nil, err
		}
		config.Cache = cache
	}
	return setec.NewStore(ctx, config)
}

func nameOf(err error) string {
	for name, known := range map[string]error{
		"ErrNotFound":        api.ErrNotFound,
		"ErrAccessDenied":    api.ErrAccessDenied,
		"ErrValueNotChanged": api.ErrValueNotChanged,
		"ErrVersionClaimed":  api.ErrVersionClaimed,
	} {
		if errors.Is(err, known) {
			return name
		}
	}
	return err.Error()
}
