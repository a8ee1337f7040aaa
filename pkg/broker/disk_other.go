//go:build unix && !linux

package broker

import (
	"errors"
	"fmt"
	"os"
)

// syncData makes the contents of f durable; where fsync does not reach the
// platter (macOS) os.File.Sync asks for what does.
func syncData(f *os.File) error { return f.Sync() }

// syncFileSystem does not exist here.
func syncFileSystem(*os.File) error {
	return fmt.Errorf("sync the file system: %w", errors.ErrUnsupported)
}
