package watch

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// What a Change is about.
const (
	Clusters = "clusters.changed"
	Brief    = "brief.revised"
)

// Change tells that something in a workspace changed. With Kind Clusters, Clusters
// holds their ids, Statuses those whose work came further or back, and Position the input; with Kind Brief, Tracker, Ticket, Revision,
// Material and Changes say which brief. It holds no customer words. ID grows within a
// Kind (the sequence of the stream) and can be given to a client as its last event id.
type Change struct {
	ID        string           `json:"id"`
	Workspace string           `json:"workspace"`
	Kind      string           `json:"kind"`
	At        time.Time        `json:"at"`
	Position  uint64           `json:"position,omitempty"`
	Clusters  []string         `json:"clusters,omitempty"`
	Statuses  []event.Status   `json:"statuses,omitempty"`
	Tracker   feedback.Tracker `json:"tracker,omitempty"`
	Ticket    string           `json:"ticket,omitempty"`
	Revision  uint64           `json:"revision,omitempty"`
	Material  bool             `json:"material,omitempty"`
	Changes   []string         `json:"changes,omitempty"`
}
