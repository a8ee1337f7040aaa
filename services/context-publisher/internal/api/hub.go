package api

import (
	"context"
	"errors"
	"sync"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/watch"
)

// How many changes of a workspace are kept for streams that come back, how many may
// wait for a slow reader, and how many streams a workspace may have.
const (
	hubKept    = 1024
	hubWaiting = 256
	hubStreams = 256
)

// ErrStreams is returned when a workspace has as many live streams as it may have.
var ErrStreams = errors.New("too many live streams")

// Hub passes the changes of each workspace on to everyone who listens there, and keeps
// the newest of them so that a stream that broke can go on where it was. A reader that
// does not keep up is cut off, never waited for.
type Hub struct {
	watch      func(ctx context.Context, workspace string) (<-chan watch.Change, error)
	workspaces []string

	mu    sync.Mutex
	rooms map[string]*room
}

type room struct {
	kept    []watch.Change // oldest first
	streams map[chan watch.Change]struct{}
}

// NewHub makes a hub for the workspaces; source gives the changes of one of them until
// its context ends.
func NewHub(workspaces []string, source func(ctx context.Context, workspace string) (<-chan watch.Change, error)) *Hub {
	h := &Hub{watch: source, workspaces: workspaces, rooms: map[string]*room{}}
	for _, w := range workspaces {
		h.rooms[w] = &room{streams: map[chan watch.Change]struct{}{}}
	}
	return h
}

// Run passes changes on until ctx ends, and then ends every stream. It fails when a
// workspace cannot be watched.
func (h *Hub) Run(ctx context.Context) error {
	defer h.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range h.workspaces {
		changes, err := h.watch(ctx, w)
		if err != nil {
			cancel()
			wg.Wait()
			return err
		}
		wg.Go(func() {
			for c := range changes {
				h.pass(w, c)
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}

func (h *Hub) pass(workspace string, c watch.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[workspace]
	if len(r.kept) == hubKept {
		r.kept = append(r.kept[:0], r.kept[1:]...)
	}
	r.kept = append(r.kept, c)
	for s := range r.streams {
		select {
		case s <- c:
		default: // it reads too slowly; it may come back with the last id it saw
			delete(r.streams, s)
			close(s)
		}
	}
}

func (h *Hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		for s := range r.streams {
			delete(r.streams, s)
			close(s)
		}
	}
}

// EventID identifies a change in a stream of several kinds.
func EventID(c watch.Change) string { return c.Kind + ":" + c.ID }

// Subscribe gives what changes in a workspace from now on, until ctx ends, the hub ends
// or the reader falls behind; then the channel is closed. missed are the changes after
// the one with the id last; complete is false when some of those are no longer known,
// so that the reader has to look at everything anew.
func (h *Hub) Subscribe(ctx context.Context, workspace, last string) (changes <-chan watch.Change, missed []watch.Change, complete bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[workspace]
	if !ok {
		return nil, nil, false, ErrNotFound
	}
	if len(r.streams) >= hubStreams {
		return nil, nil, false, ErrStreams
	}
	complete = last == ""
	for i := len(r.kept) - 1; i >= 0 && last != ""; i-- {
		if EventID(r.kept[i]) == last {
			missed, complete = append(missed, r.kept[i+1:]...), true
			break
		}
	}
	s := make(chan watch.Change, hubWaiting)
	r.streams[s] = struct{}{}
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, open := r.streams[s]; open {
			delete(r.streams, s)
			close(s)
		}
	})
	return s, missed, complete, nil
}
