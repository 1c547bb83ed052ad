package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A record is a secret as setec's database file holds it: versions by number, values in base64.
type record struct {
	Versions      map[string][]byte
	ActiveVersion int
	LatestVersion int
}

// writeDatabase writes a database file of n secrets in setec's format (db/kv.go, schema version 1). Putting them
// through the server would take minutes, since each put rewrites the whole file.
func writeDatabase(path string, kek tink.AEAD, n int) error {
	secrets := make(map[string]record, n)
	for i := range n {
		value := make([]byte, 32)
		copy(value, fmt.Sprint(i))
		secrets[fmt.Sprintf("bench/%d", i)] = record{map[string][]byte{"1": value}, 1, 1}
	}
	plain, err := json.Marshal(map[string]any{"Secrets": secrets})
	if err != nil {
		return err
	}
	dek, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return err
	}
	cipher, err := aead.New(dek)
	if err != nil {
		return err
	}
	sealed, err := cipher.Encrypt(plain, []byte("setec database v1"))
	if err != nil {
		return err
	}
	var wrappedDEK bytes.Buffer
	err = dek.WriteWithAssociatedData(keyset.NewBinaryWriter(&wrappedDEK), kek, []byte("setec DEK v1"))
	if err != nil {
		return err
	}
	file, err := json.Marshal(map[string]any{"Version": 1, "DEK": wrappedDEK.Bytes(), "DB": sealed})
	if err != nil {
		return err
	}
	return os.WriteFile(path, file, 0o600)
}
