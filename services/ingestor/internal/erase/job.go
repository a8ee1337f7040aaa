// Package erase removes what a customer has said, and what identifies them, from every
// place that keeps it, and proves that it is gone.
//
// That a customer was erased is decided by the decoder, which withdraws them from every
// conversation and says so to the services behind it; they forget the words in what they
// keep up to date. This package then removes the copies that history leaves: messages of
// the event log are overwritten, values in the tables lose the words, the parts of tables
// and the blocks of buckets that still hold old bytes are rewritten. It works through
// names that it asks of the event log and of the store, so that a stream or a table that
// comes later is covered without being told.
//
// Everything it does can be done again: after a crash it starts anew. What the words are
// is never written down; they are read again from the archive of deliveries, which is
// therefore cleaned last.
package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
)

// State says how far an erasure is.
type State string

// The states of an erasure, in their order.
const (
	Waiting State = "waiting" // for what was accepted before it to be worked off
	Erasing State = "erasing"
	Done    State = "done" // and proven: a second look found nothing
	Left    State = "left" // done as far as it can be; the report says where words are left
)

// Job is one erasure with its report, of a customer or by age. It holds no words.
type Job struct {
	Workspace string    `json:"workspace"`
	Customer  string    `json:"customer"`
	Items     []string  `json:"items"`
	Delivery  string    `json:"delivery"`
	Sequence  uint64    `json:"sequence"` // of the delivery that asked for it
	Until     time.Time `json:"until"`    // what was said later is not erased
	State     State     `json:"state"`
	Waiting   string    `json:"waiting,omitempty"` // for what
	Finished  time.Time `json:"finished,omitzero"`
	Places    []Place   `json:"places,omitempty"`
}

// own is the condition that a row is of what is erased; item is the column with the item's id.
// Its one argument is owner.
func (j Job) own(item string) string {
	if j.Customer == ByAge {
		return item + " IN (?)"
	}
	return "customer = ?"
}

func (j Job) owner() any {
	if j.Customer == ByAge {
		return j.Items
	}
	return j.Customer
}

// Place is one stream, table or bucket in the report: how many values were looked at,
// how many held a trace and lost it, and how many hold one still.
type Place struct {
	Kind    string `json:"kind"` // stream, table, bucket or snapshots
	Name    string `json:"name"`
	Looked  int    `json:"looked"`
	Cleaned int    `json:"cleaned"`
	Left    int    `json:"left"`
}

// ByAge stands for the customer in an erasure of items that are older than their workspace
// keeps them, whoever spoke: of their words, and not of what identifies the people.
const ByAge = "retention"

// Key of a customer in the bucket of erasures.
func Key(workspace, customer string) string { return workspace + "." + customer }

// Record notes that a customer was erased, unless the same delivery noted it already or a
// later one did.
func Record(ctx context.Context, kv jetstream.KeyValue, j Job) error {
	old, revision, err := Read(ctx, kv, j.Workspace, j.Customer)
	if err != nil {
		return err
	}
	if revision > 0 && old.Sequence >= j.Sequence {
		return nil
	}
	if old.Until.After(j.Until) {
		j.Until = old.Until
	}
	j.State = Waiting
	return save(ctx, kv, j, revision)
}

// Read returns a customer's newest erasure with its revision, 0 if there is none.
func Read(ctx context.Context, kv jetstream.KeyValue, workspace, customer string) (Job, uint64, error) {
	entry, err := kv.Get(ctx, Key(workspace, customer))
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return Job{}, 0, nil
	}
	if err != nil {
		return Job{}, 0, fmt.Errorf("read erasure: %w", bus.Unavailable(err))
	}
	var j Job
	if err := json.Unmarshal(entry.Value(), &j); err != nil {
		return Job{}, 0, fmt.Errorf("read erasure: malformed record")
	}
	return j, entry.Revision(), nil
}

// All reads every erasure.
func All(ctx context.Context, kv jetstream.KeyValue) ([]Job, error) {
	lister, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list erasures: %w", bus.Unavailable(err))
	}
	var out []Job
	for k := range lister.Keys() {
		entry, err := kv.Get(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("read erasure: %w", bus.Unavailable(err))
		}
		var j Job
		if err := json.Unmarshal(entry.Value(), &j); err != nil {
			return nil, fmt.Errorf("read erasure: malformed record")
		}
		out = append(out, j)
	}
	return out, nil
}

func save(ctx context.Context, kv jetstream.KeyValue, j Job, revision uint64) error {
	b, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("save erasure: %w", err)
	}
	if revision == 0 {
		_, err = kv.Create(ctx, Key(j.Workspace, j.Customer), b)
	} else {
		_, err = kv.Update(ctx, Key(j.Workspace, j.Customer), b, revision)
	}
	if err != nil {
		return fmt.Errorf("save erasure: %w", bus.Unavailable(err))
	}
	return nil
}
