//go:build unix

package broker

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fileSystemSpace returns the size of dir's file system and what an
// unprivileged process may still use of it, in bytes.
func fileSystemSpace(dir string) (size, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Blocks) * int64(st.Bsize), int64(st.Bavail) * int64(st.Bsize), nil
}

// tryLock takes an exclusive lock on f, or fails at once.
func tryLock(f *os.File) error {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// fileState tells whether a file is the one that was seen before, unchanged.
type fileState struct {
	inode    uint64
	size     int64
	modified time.Time
}

func stateOf(info os.FileInfo) fileState {
	state := fileState{size: info.Size(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		state.inode = uint64(st.Ino)
	}
	return state
}
