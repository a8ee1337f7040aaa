package broker

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes the contents and the size of f durable.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// syncFileSystem makes everything durable on the file system that f is on.
// Linux reports write-back errors here since 5.8.
func syncFileSystem(f *os.File) error {
	for {
		if err := unix.Syncfs(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
