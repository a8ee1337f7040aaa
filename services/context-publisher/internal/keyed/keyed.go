// Package keyed holds the publisher's records that need compare-and-set: a ticket's
// state and what was written to a tracker or a digest's destination. Each lives in a
// JetStream key-value bucket under a key made of the workspace and what it is about,
// and is only ever replaced by somebody who read its newest revision.
//
// It promises that of two writers that read the same revision one gets ErrConflict, and
// that keys of two workspaces never meet. It refuses to list across workspaces.
package keyed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker"
)

// ErrConflict is returned when somebody else wrote since the record was read.
var ErrConflict = errors.New("the record was changed meanwhile")

// Records is one bucket of records of type T.
type Records[T any] struct{ kv jetstream.KeyValue }

// Open opens a bucket of the topology.
func Open[T any](ctx context.Context, b *bus.Bus, bucket string) (Records[T], error) {
	kv, err := b.Bucket(ctx, bucket)
	return Records[T]{kv}, err
}

// Get reads a record with its revision. A record that is not there is the zero value at
// revision 0. Failures are marked bus.Unavailable.
func (r Records[T]) Get(ctx context.Context, key string) (T, uint64, error) {
	var v T
	e, err := r.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return v, 0, nil
	}
	if err != nil {
		return v, 0, fmt.Errorf("read record: %w", bus.Unavailable(err))
	}
	if err := json.Unmarshal(e.Value(), &v); err != nil {
		return v, 0, fmt.Errorf("read record %s: %w", key, err)
	}
	return v, e.Revision(), nil
}

// Put writes a record if its newest revision is still the given one (0: it is not
// there), and returns the new revision, or ErrConflict.
func (r Records[T]) Put(ctx context.Context, key string, v T, revision uint64) (uint64, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("write record: %w", err)
	}
	var next uint64
	if revision == 0 {
		next, err = r.kv.Create(ctx, key, body)
	} else {
		next, err = r.kv.Update(ctx, key, body, revision)
	}
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return 0, ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("write record: %w", bus.Unavailable(err))
	}
	return next, nil
}

// Of lists every record of a workspace.
func (r Records[T]) Of(ctx context.Context, workspace string) (map[string]T, error) {
	keys, err := r.kv.ListKeysFiltered(ctx, workspace+".>")
	if err != nil {
		return nil, fmt.Errorf("list records: %w", bus.Unavailable(err))
	}
	out := map[string]T{}
	for key := range keys.Keys() {
		v, revision, err := r.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if revision > 0 {
			out[key] = v
		}
	}
	return out, nil
}

// TicketKey is the key of a ticket's state and of its block in the ledger.
func TicketKey(workspace string, t feedback.Tracker, ticket string) string {
	return workspace + "." + string(t) + "." + strings.TrimPrefix(feedback.ID("tkt", ticket), "tkt_")
}

// DigestKey is the ledger's key of one destination's digest of one day (2006-01-02).
func DigestKey(workspace, date, destination string) string {
	return workspace + ".digest." + date + "." + strings.TrimPrefix(feedback.ID("dst", destination), "dst_")
}

// Ticket is a ticket's state (bucket tickets). Version is the vendor's newest; Revision
// and Hash are of the newest brief; PickedUp is the revision of the brief when work
// began, DoneAt when it was done, 0 for never. Writes counts what was written about the ticket and is the version
// of its attachment rows. Due is when gathered changes are to be written, zero for none;
// WroteAt is when a brief was written last. AcceptedAt is the earliest delivery that the
// gathered changes answer to. Rulings are people's pins and rejections by cluster.
type Ticket struct {
	Workspace  string                  `json:"workspace"`
	Tracker    feedback.Tracker        `json:"tracker"`
	Key        string                  `json:"key"`
	Connection string                  `json:"connection"`
	Version    int64                   `json:"version"`
	Status     string                  `json:"status"`
	Category   feedback.StatusCategory `json:"category"`
	Closed     bool                    `json:"closed,omitempty"` // deleted or restricted: it has no brief and no block
	Revision   uint64                  `json:"revision"`
	Hash       string                  `json:"hash"`
	PickedUp   uint64                  `json:"picked_up"`
	PickedUpAt time.Time               `json:"picked_up_at,omitzero"`
	DoneAt     uint64                  `json:"done_at,omitempty"`
	Writes     uint64                  `json:"writes"`
	WroteAt    time.Time               `json:"wrote_at,omitzero"`
	Due        time.Time               `json:"due,omitzero"`
	AcceptedAt time.Time               `json:"accepted_at,omitzero"`
	Also       []string                `json:"also,omitempty"` // clusters among the gathered changes that are not attached yet
	Mark       string                  `json:"mark,omitempty"` // where in its trace the first of the gathered changes stands (bus.Mark)
	Rulings    map[string]Ruling       `json:"rulings,omitempty"`

	// Named are signals of feedback that names the ticket, the newest last; Sought tells
	// that what was there before the ticket was looked through.
	Named  []string `json:"named,omitempty"`
	Sought bool     `json:"sought,omitempty"`

	// Moved is the version of the newest move, and MovedAt the revision of the brief at
	// it: a redelivered move finds its revision here.
	Moved   int64  `json:"moved,omitempty"`
	MovedAt uint64 `json:"moved_at,omitempty"`

	// Since is when the ticket came to its category, by its tracker's clock.
	Since time.Time `json:"since,omitzero"`

	// Told is what was last said of the ticket's clusters on the bus, and Tellings how
	// often something was.
	Told     string `json:"told,omitempty"`
	Tellings uint64 `json:"tellings,omitempty"`
}

// Ruling is a pin or a rejection of a cluster.
type Ruling struct {
	Mode     feedback.Mode `json:"mode"`
	Decision string        `json:"decision"`
	By       string        `json:"by"`
	At       time.Time     `json:"at"`
}

// The states of what the ledger keeps.
const (
	Writing = "writing" // the intent: the vendor may or may not have it
	Written = "written"
	Removed = "removed"
	Gone    = "gone"    // a person deleted it; it is not written again
	Refused = "refused" // a person has to fix something first; Problem says what
)

// Write is what was written to a tracker, or sent to a destination (bucket ledger).
// Hash identifies the content, Revision the brief's revision. Ref is what a tracker gave
// for the block, also how far a write has come that failed; Failures counts the attempts
// since it came further. Message is what Slack gave for the digest's message.
type Write struct {
	Workspace string           `json:"workspace"`
	Tracker   feedback.Tracker `json:"tracker,omitempty"`
	Ticket    string           `json:"ticket,omitempty"`
	State     string           `json:"state"`
	Ref       *tracker.Ref     `json:"ref,omitempty"`
	Failures  int              `json:"failures,omitempty"`
	Message   string           `json:"message,omitempty"`
	Hash      string           `json:"hash"`
	Revision  uint64           `json:"revision"`
	At        time.Time        `json:"at"`
	Problem   string           `json:"problem,omitempty"`
}
