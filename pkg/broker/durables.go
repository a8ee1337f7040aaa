package broker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// durables makes what defines the streams' durables survive a power cut. The server writes
// such a file once, when a durable is made, and leaves it to the page cache; a durable whose
// file is empty after a cut is gone, and what it had read is read again. How far a durable has
// come is not synced: what was read since is redelivered.
type durables struct {
	barrier *barrier

	mu    sync.Mutex
	known map[string]fileState // files that are durable, by path
}

// sync syncs the files of the named streams' durables that changed.
func (d *durables) sync(streams []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, stream := range streams {
		if err := d.syncStream(filepath.Join(d.barrier.root, stream, "obs")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncStream syncs the durables below a folder. One that goes away meanwhile was deleted.
func (d *durables) syncStream(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	changed := false
	for _, e := range entries {
		for _, name := range []string{"meta.inf", "meta.sum"} {
			path := filepath.Join(dir, e.Name(), name)
			info, err := os.Stat(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			state := stateOf(info)
			if d.known[path] == state {
				continue
			}
			if err := d.barrier.syncPath(path); err != nil {
				return err
			}
			if err := d.barrier.syncPath(filepath.Dir(path)); err != nil {
				return err
			}
			d.known[path], changed = state, true
		}
	}
	if !changed {
		return nil
	}
	if err := d.barrier.syncPath(dir); err != nil {
		return err
	}
	return d.barrier.syncPath(filepath.Dir(dir))
}
