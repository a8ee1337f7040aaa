package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/process"
	"github.com/throughline-dev/throughline/pkg/store"
)

// dial asks the configured ClickHouse for an answer.
func dial(ctx context.Context, c config.Config) error {
	db, err := store.Open(ctx, process.StoreOptions(c.ClickHouse))
	if err != nil {
		return err
	}
	return db.Close()
}

// writable tries to write a file into the folder that the engines will use.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return fmt.Errorf("write into the folder: %w", err)
	}
	f.Close()
	return os.Remove(f.Name())
}
