package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// ErrNoSpace is in the chain of every error that refuses work because the
// file system of the store is nearly full.
var ErrNoSpace = errors.New("too little free space")

// Reserve is the free space that the broker keeps for others and for its own
// recovery: the larger of the two.
type Reserve struct {
	// Bytes of the file system that must stay free.
	Bytes int64
	// Fraction of the file system's size that must stay free, from 0 to 1.
	Fraction float64
}

// DefaultReserve is 1 GB or 5 % of the file system, whichever is larger.
func DefaultReserve() Reserve { return Reserve{Bytes: 1 << 30, Fraction: 0.05} }

// of returns the reserve in bytes on a file system of the given size.
func (r Reserve) of(size int64) int64 {
	return max(r.Bytes, int64(r.Fraction*float64(size)))
}

// Space is the size of the file system that a folder is on and what of it is free for this
// user, in bytes. The folder must exist.
func Space(dir string) (size, free int64, err error) {
	if size, free, err = fileSystemSpace(dir); err != nil {
		return 0, 0, fmt.Errorf("measure free space: %w", err)
	}
	return size, free, nil
}

// CheckSpace returns nil while the file system of the store has more free
// space than the reserve, else an error that wraps [ErrNoSpace] and has the
// numbers. It costs one statfs (about a microsecond): ask before every group
// of messages. It heals by itself when space is freed.
func (s *Server) CheckSpace() error {
	size, free, err := fileSystemSpace(s.options.Dir)
	if err != nil {
		return fmt.Errorf("measure free space: %w", err)
	}
	if need := s.options.Reserve.of(size); free < need {
		return fmt.Errorf("%w: %d MB free of %d MB on the file system of %s, %d MB must stay free",
			ErrNoSpace, free>>20, size>>20, s.options.Dir, need>>20)
	}
	return nil
}

// defaultMaxStore is what is stored already plus three quarters of what is
// free above the reserve, and at least 64 MB, so that a store on a nearly full
// disk can still be opened and drained.
func defaultMaxStore(dir string, reserve Reserve) (int64, error) {
	size, free, err := fileSystemSpace(dir)
	if err != nil {
		return 0, fmt.Errorf("measure free space: %w", err)
	}
	var stored int64
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			stored += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure store: %w", err)
	}
	return max(64<<20, stored+(free-reserve.of(size))/4*3), nil
}
