package world

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/services/clusterer/internal/name"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// format is the version of the snapshot's layout: another one is rebuilt from the log.
const format = 4

// state is a world as it is written. What can be derived is left out.
type state struct {
	Format    int
	Workspace string
	Position  uint64
	Items     uint64
	AsOf      time.Time
	Since     time.Time
	Rhythm    rank.Rhythm
	SpaceID   string
	Space     []byte
	Signals   map[string]*signal
	ByItem    map[string]*item
	Customers map[string]*customer
	Accounts  map[string]feedback.Account
	Put       map[string]uint64
	Clusters  map[string]*cluster
	Tickets   map[string]work
	Decisions map[string]feedback.Decision
	Held      map[string][]string
}

// MarshalBinary writes a snapshot: a world restored from it goes on as if it had never
// been taken.
func (w *World) MarshalBinary() ([]byte, error) {
	s := state{
		Format: format, Workspace: w.workspace, Position: w.position, Items: w.items, AsOf: w.asOf, Since: w.begun, Rhythm: w.rhythm, SpaceID: w.spaceID,
		Signals: w.signals, ByItem: w.byItem, Customers: w.customers, Accounts: w.accounts, Put: w.put, Clusters: w.clusters, Tickets: w.tickets, Decisions: w.decisions, Held: w.held,
	}
	if w.space != nil {
		var err error
		if s.Space, err = w.space.MarshalBinary(); err != nil {
			return nil, fmt.Errorf("snapshot space: %w", err)
		}
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return nil, fmt.Errorf("snapshot world: %w", err)
	}
	return b.Bytes(), nil
}

// Restore reads a snapshot of a workspace's world. It fails on one of another workspace,
// another layout or damaged bytes; the caller then rebuilds from the log.
func Restore(workspace string, o Options, b []byte) (*World, error) {
	var s state
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&s); err != nil {
		return nil, fmt.Errorf("restore world: %w", err)
	}
	if s.Format != format || s.Workspace != workspace {
		return nil, fmt.Errorf("restore world: the snapshot is of another workspace or layout")
	}
	w := New(workspace, o)
	w.position, w.items, w.asOf, w.spaceID = s.Position, s.Items, s.AsOf, s.SpaceID
	w.begun, w.rhythm = s.Since, s.Rhythm
	fill(w.signals, s.Signals)
	fill(w.byItem, s.ByItem)
	fill(w.customers, s.Customers)
	fill(w.accounts, s.Accounts)
	fill(w.put, s.Put)
	fill(w.clusters, s.Clusters)
	fill(w.tickets, s.Tickets)
	fill(w.decisions, s.Decisions)
	fill(w.held, s.Held)
	if s.Space != nil {
		w.space = space.New(0, w.options)
		if err := w.space.UnmarshalBinary(s.Space); err != nil {
			return nil, fmt.Errorf("restore space: %w", err)
		}
	}
	for id, a := range w.accounts {
		for _, d := range a.Domains {
			w.domains[strings.ToLower(d)] = id
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.signals)) {
		w.counts.Add(w.signals[id].Quote)
		w.recall(w.signals[id])
	}
	for _, c := range w.customers {
		if c.Signals == nil {
			c.Signals = map[string]bool{}
		}
	}
	w.recount()
	for _, c := range w.clusters {
		if c.Signals == nil {
			c.Signals = map[string]bool{}
		}
		if c.Before != nil && c.Before.Name.Text != "" {
			w.names[name.Key(c.Before.Name.Text)] = c.ID
		}
		if c.Name.Text != "" {
			w.names[name.Key(c.Name.Text)] = c.ID
		}
		for id := range c.Signals {
			s := w.signals[id]
			c.counts.Add(s.Quote)
			c.voices.Observe(s.utterance())
		}
	}
	return w, nil
}

// fill copies, because gob leaves an empty map nil.
func fill[V any](into, from map[string]V) {
	for k, v := range from {
		into[k] = v
	}
}
