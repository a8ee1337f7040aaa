// Package api serves /v1 of the context-publisher: ranked clusters, feedback items,
// tickets and their briefs, digests, decisions, and live events.
//
// It promises: everything is scoped to the workspace of the caller's token, and what
// another workspace has is as absent as what nobody has; every answer is described in
// schemas/openapi and tested against it; a request that cannot be understood gets a
// problem document (RFC 9457) that says what to do and repeats nothing it was sent.
//
// It refuses to read tables, to decide what a decision does, and to serve what the
// ingestor owns (webhooks, writes of feedback and accounts, dead letters, connections).
package api

import (
	"context"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/decide"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// ErrNotFound is what the workspace does not have. It is the read model's, so that
// every implementation of Workspace means the same by it.
var ErrNotFound = read.ErrNotFound

// ErrRefused is a decision that cannot be taken as it was asked. Its message is shown to
// the caller and holds no customer text.
var ErrRefused = decide.ErrRefused

// Freshness says how current an answer is. Position is the newest input the clusters
// took and AsOf the time of the newest signal among them. LagMS is by how many
// milliseconds the newest stored feedback is newer than that: 0 when the clusters have
// seen everything; an item that asks for nothing counts until the next one that does.
type Freshness struct {
	Position uint64    `json:"position"`
	AsOf     time.Time `json:"as_of"`
	LagMS    int64     `json:"lag_ms"`
}

// Workspace is what one workspace's data can be asked. A value is bound to its
// workspace when it is made: no method takes one, so that no caller can name another.
// Methods answer ErrNotFound for what the workspace does not have, and read.ErrCursor
// for a cursor that is not theirs. Implementations are safe for concurrent use.
type Workspace interface {
	Freshness(ctx context.Context) (Freshness, error)
	Clusters(ctx context.Context, q read.ClusterQuery) (read.Page[read.Cluster], error)
	Cluster(ctx context.Context, id string) (read.Cluster, error)
	Signals(ctx context.Context, cluster string, limit int, cursor string) (read.Page[read.Signal], error)
	History(ctx context.Context, cluster string) ([]read.Event, error)
	// Explain gives a ranked cluster's arithmetic with what would move it.
	Explain(ctx context.Context, cluster string) (read.Explanation, error)
	// RankDays gives its rank day by day, newest first.
	RankDays(ctx context.Context, cluster string) ([]read.RankDay, error)
	Feedback(ctx context.Context, q read.FeedbackQuery) (read.Page[read.Item], error)
	FeedbackItem(ctx context.Context, id string) (read.Item, error)
	Tickets(ctx context.Context, limit int, cursor string) (read.Page[read.TicketHead], error)
	Ticket(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketDetail, error)
	// TicketHead is Ticket without what is attached to it and how it moved, and cheaper.
	TicketHead(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketHead, error)
	// TicketContext is a ticket's head, newest brief, and what changed since it was picked up.
	TicketContext(ctx context.Context, tracker feedback.Tracker, key string) (read.TicketContext, error)
	// Brief gives a revision of a ticket's brief, the newest for 0.
	Brief(ctx context.Context, tracker feedback.Tracker, key string, revision uint64) (brief.Brief, error)
	Changes(ctx context.Context, tracker feedback.Tracker, key string, since read.Since) (read.Changes, error)
	// Digest gives the digest of a local date, of the newest day that is over for the zero
	// date.
	Digest(ctx context.Context, date time.Time) (digest.Digest, error)
	// Audit lists who did what, newest first.
	Audit(ctx context.Context, limit int, cursor string) (read.Page[read.Deed], error)
	// Corrections says how the workspace's own head does on what people corrected.
	Corrections(ctx context.Context) (read.Corrections, error)
	// Decide takes a decision and returns it as it is kept. Taking the same decision
	// (by its id) twice is taking it once.
	Decide(ctx context.Context, d feedback.Decision) (feedback.Decision, error)
	// Undo takes a decision back.
	Undo(ctx context.Context, id, by, reason string) (feedback.Decision, error)
}

// Open gives the data of a workspace.
type Open func(workspace string) Workspace
