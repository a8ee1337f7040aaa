package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// racy is how young a directory's modification time may be and still hide
	// a change: file systems stamp with the kernel's tick, at most 10 ms long,
	// so an entry added within the tick of the last look carries the stamp that
	// was already seen.
	racy = 100 * time.Millisecond
	// manyBlocks is from where one sync of the file system is cheaper than
	// one of each block: the first look at a large stream.
	manyBlocks = 64
)

var (
	errNotOnDisk = errors.New("unknown stream, or one kept in memory")
	errAsync     = errors.New("the stream is written asynchronously (persist_mode async), it cannot be made durable")
	// errLayout asks for the fallback that needs no knowledge of the layout.
	errLayout = errors.New("unexpected layout of the store")
)

// streamFiles is what is known to be durable of one stream.
//
// The server appends to the newest block only, so a sync usually concerns one
// file. When an entry of the directory changed (a new block, or an old one
// rewritten by compaction or compression) every block is looked at. The first
// look syncs all of them: a process before this one may have been killed
// between writing and syncing, and a vendor's retry of such a message is
// answered as a duplicate.
type streamFiles struct {
	barrier *barrier
	dir     string // …/streams/NAME
	msgs    string // …/streams/NAME/msgs

	known    bool      // the fields below describe a successful sync
	listed   fileState // msgs at the last listing
	listedAt time.Time
	meta     map[string]fileState // meta.inf and meta.sum
	blocks   map[string]fileState
	newest   uint64 // index of the newest block, 0 without one
	// open is the newest block, kept open between syncs, because the kernel
	// reports a failed write-back to the files that were open when it happened.
	open *os.File
}

func newStreamFiles(b *barrier, name string) *streamFiles {
	dir := filepath.Join(b.root, name)
	return &streamFiles{barrier: b, dir: dir, msgs: filepath.Join(dir, "msgs")}
}

// sync makes durable what changed since the last successful call.
func (s *streamFiles) sync() error {
	err := s.syncChanges()
	if !errors.Is(err, errLayout) {
		return err
	}
	s.forget()
	return s.barrier.syncAll()
}

func (s *streamFiles) syncChanges() error {
	info, err := os.Stat(s.msgs)
	if errors.Is(err, fs.ErrNotExist) {
		s.forget()
		return s.explainMissing()
	}
	if err != nil {
		return err
	}
	listed := stateOf(info)
	if listed.inode != s.listed.inode {
		s.forget() // deleted and created again under the same name
	}
	if err := s.syncMeta(); err != nil {
		return err
	}
	if s.listingHolds(listed) {
		return s.syncNewest()
	}
	return s.syncListing(listed)
}

// explainMissing tells a stream that is not on the disk from a server that
// keeps its files elsewhere.
func (s *streamFiles) explainMissing() error {
	if _, err := os.Stat(s.dir); err == nil {
		return errLayout // the stream is here, its messages are not
	}
	if _, err := os.Stat(s.barrier.root); err == nil {
		return errNotOnDisk
	}
	if others, err := os.ReadDir(filepath.Join(s.barrier.dir, "jetstream")); err == nil && len(others) > 0 {
		return errLayout
	}
	return errNotOnDisk
}

// syncMeta syncs the stream's configuration: without it the blocks are not
// recovered.
func (s *streamFiles) syncMeta() error {
	changed := make(map[string]fileState)
	for _, name := range []string{"meta.inf", "meta.sum"} {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return errLayout
		}
		if err != nil {
			return err
		}
		if state := stateOf(info); state != s.meta[name] {
			changed[name] = state
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := s.refuseAsync(); err != nil {
		return err
	}
	for name := range changed {
		if err := s.barrier.syncPath(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	if err := s.barrier.syncPath(s.dir); err != nil {
		return err
	}
	if s.meta == nil {
		s.meta = make(map[string]fileState)
	}
	maps.Copy(s.meta, changed)
	return nil
}

func (s *streamFiles) refuseAsync() error {
	raw, err := os.ReadFile(filepath.Join(s.dir, "meta.inf"))
	if err != nil {
		return err
	}
	var config struct {
		PersistMode string `json:"persist_mode"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("decode meta.inf: %w", err)
	}
	if config.PersistMode == "async" {
		return errAsync
	}
	return nil
}

// listingHolds reports whether no block was added, removed or replaced since
// the last listing. The stamp of the directory tells; that no block follows
// the newest is looked at as well, for file systems whose clock is not ours.
func (s *streamFiles) listingHolds(listed fileState) bool {
	if !s.known || listed != s.listed || s.listedAt.Sub(listed.modified) < racy {
		return false
	}
	_, err := os.Stat(s.blockPath(s.newest + 1))
	return errors.Is(err, fs.ErrNotExist)
}

// syncNewest is the usual case: at most the newest block has grown.
func (s *streamFiles) syncNewest() error {
	if s.newest == 0 {
		return nil
	}
	info, err := os.Stat(s.blockPath(s.newest))
	if err != nil {
		return err
	}
	name, state := filepath.Base(s.blockPath(s.newest)), stateOf(info)
	if state == s.blocks[name] {
		return nil
	}
	if err := s.syncBlock(s.newest, state); err != nil {
		return err
	}
	s.blocks[name] = state
	return nil
}

// syncListing looks at every block, syncs those that changed, and then the
// directory, so that their names are durable too.
func (s *streamFiles) syncListing(listed fileState) error {
	at := s.barrier.now()
	entries, err := os.ReadDir(s.msgs)
	if err != nil {
		return err
	}
	blocks := make(map[string]fileState, len(entries))
	changed := make(map[uint64]fileState)
	newest, strange := uint64(0), false
	for _, entry := range entries {
		index, ok := blockIndex(entry.Name())
		if !ok {
			strange = strange || !knownFile(entry.Name())
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile: its messages were deleted or aged out
		}
		if err != nil {
			return err
		}
		state := stateOf(info)
		blocks[entry.Name()] = state
		if state != s.blocks[entry.Name()] {
			changed[index] = state
		}
		newest = max(newest, index)
	}
	if strange && len(blocks) == 0 {
		return errLayout
	}

	if err := s.syncBlocks(changed); err != nil {
		return err
	}
	if err := s.barrier.syncPath(s.msgs); err != nil {
		return err
	}
	if !s.known {
		if err := s.barrier.syncAbove(s.dir); err != nil {
			return err
		}
	}
	s.known, s.listed, s.listedAt, s.blocks, s.newest = true, listed, at, blocks, newest
	return nil
}

func (s *streamFiles) syncBlocks(changed map[uint64]fileState) error {
	if len(changed) > manyBlocks {
		if err := s.barrier.syncAll(); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	for _, index := range slices.Sorted(maps.Keys(changed)) {
		if err := s.syncBlock(index, changed[index]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncBlock syncs one block and keeps it open in place of an older one.
func (s *streamFiles) syncBlock(index uint64, state fileState) error {
	if s.open != nil {
		info, err := s.open.Stat()
		if err != nil {
			return err
		}
		if stateOf(info).inode == state.inode {
			return s.barrier.syncFile(s.open)
		}
	}
	f, err := os.Open(s.blockPath(index))
	if err != nil {
		return err
	}
	if err := s.barrier.syncFile(f); err != nil || index < s.newest {
		return errors.Join(err, f.Close())
	}
	s.closeOpen()
	s.open = f
	return nil
}

func (s *streamFiles) blockPath(index uint64) string {
	return filepath.Join(s.msgs, strconv.FormatUint(index, 10)+".blk")
}

// forget makes the next sync look at everything.
func (s *streamFiles) forget() {
	s.closeOpen()
	*s = streamFiles{barrier: s.barrier, dir: s.dir, msgs: s.msgs}
}

func (s *streamFiles) closeOpen() {
	if s.open != nil {
		_ = s.open.Close() // opened for reading: nothing can be lost
		s.open = nil
	}
}

// blockIndex parses N.blk.
func blockIndex(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".blk")
	if !ok {
		return 0, false
	}
	index, err := strconv.ParseUint(digits, 10, 64)
	return index, err == nil && index > 0
}

// knownFile reports whether nats-server v2.15.2 keeps a file of that name
// beside the blocks: state that it rebuilds from them, keys, and files on
// their way to another name.
func knownFile(name string) bool {
	switch filepath.Ext(name) {
	case ".db", ".tmp", ".key":
		return true
	}
	return false
}
