package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// folderLock is an flock on Dir/engine.lock. The child inherits the descriptor,
// so the folder stays locked until both processes are gone.
type folderLock struct{ file *os.File }

// lockFolder takes the lock of dir. When the process that wrote its id into the
// lock file is alive the folder is in use: ErrLocked at once. When that process
// is dead its engine is on its way out, and lockFolder waits for it until ctx
// ends.
func lockFolder(ctx context.Context, dir string) (*folderLock, error) {
	path := filepath.Join(dir, "engine.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		holder := lockHolder(path)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		if alive(holder) {
			file.Close()
			return nil, fmt.Errorf("%w (process %d): %s; stop that process or use another folder", ErrLocked, holder, dir)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("%w: %s: %w", ErrLocked, dir, ctx.Err())
		case <-tick.C:
		}
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("write lock: %w", err)
	}
	return &folderLock{file: file}, nil
}

// release gives the folder back. The lock ends with the last descriptor, so a
// child that still runs keeps it.
func (l *folderLock) release() { l.file.Close() }

// lockHolder reads the process id in the lock file, 0 when there is none.
func lockHolder(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// alive says whether a process of that id exists.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
