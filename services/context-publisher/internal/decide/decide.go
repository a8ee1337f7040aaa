// Package decide takes people's decisions: it checks that they can be taken, keeps them
// with who, when and why, and tells the services that obey them. A pin or a rejection is
// kept with the ticket, where no later score can overrule it; every other decision is the
// clusterer's to apply.
//
// It promises that taking a decision twice is taking it once, and that one that was taken
// can be taken back. It refuses what names something the workspace does not have.
package decide

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/keyed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/query"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// ErrRefused is wrapped by the error of a decision that cannot be taken as it was asked.
// Its message can be shown: it says what is wrong and holds no customers' words.
var ErrRefused = errors.New("the decision cannot be taken")

// wellFormed is what a decision's id looks like: it is part of a key.
var wellFormed = regexp.MustCompile(`^dec_[A-Za-z0-9_-]{1,60}$`)

func refuse(why string) error { return fmt.Errorf("%w: %s", ErrRefused, why) }

// kept is a decision in its bucket.
type kept struct {
	Decision feedback.Decision `json:"decision"`
	UndoneBy string            `json:"undone_by,omitempty"`
}

// Decider takes decisions. It is safe for concurrent use, and several may run.
type Decider struct {
	bus       *bus.Bus
	db        *store.DB
	now       func() time.Time
	decisions keyed.Records[kept]
	tickets   keyed.Records[keyed.Ticket]
}

// New makes a Decider.
func New(ctx context.Context, b *bus.Bus, db *store.DB, now func() time.Time) (*Decider, error) {
	d := &Decider{bus: b, db: db, now: now}
	var err error
	if d.decisions, err = keyed.Open[kept](ctx, b, bus.BucketDecisions); err != nil {
		return nil, err
	}
	if d.tickets, err = keyed.Open[keyed.Ticket](ctx, b, bus.BucketTickets); err != nil {
		return nil, err
	}
	return d, nil
}

// Decide takes a decision and returns it as it is kept. Workspace, Action and By are
// required; ID and At are filled in where they are empty (the id from what is decided, by
// whom and when). A decision with a known id is the one that was taken before, whatever
// else it says, and what follows from it is made sure of again.
func (d *Decider) Decide(ctx context.Context, decision feedback.Decision) (feedback.Decision, error) {
	if decision.Action == feedback.Undo {
		return d.Undo(ctx, decision.Workspace, decision.Undoes, decision.By, decision.Reason)
	}
	decision = d.complete(decision)
	if !bus.ValidWorkspace(decision.Workspace) || !wellFormed.MatchString(decision.ID) {
		return feedback.Decision{}, refuse("its id has to be dec_ and at most 60 letters, digits, - or _")
	}
	key := decision.Workspace + "." + decision.ID
	known, revision, err := d.decisions.Get(ctx, key)
	if err != nil {
		return feedback.Decision{}, err
	}
	if revision > 0 {
		if known.UndoneBy != "" {
			return known.Decision, nil
		}
		return known.Decision, d.follow(ctx, known.Decision, "")
	}
	if err := d.check(ctx, decision); err != nil {
		return feedback.Decision{}, err
	}
	if _, err := d.decisions.Put(ctx, key, kept{Decision: decision}, 0); errors.Is(err, keyed.ErrConflict) {
		return d.Decide(ctx, decision)
	} else if err != nil {
		return feedback.Decision{}, err
	}
	return decision, d.follow(ctx, decision, "")
}

// Undo takes a decision back and returns the decision that did so. read.ErrNotFound
// means that the workspace has no such decision; taking back what was taken back is
// taking it back once; a decision to undo cannot be undone: decide again instead.
func (d *Decider) Undo(ctx context.Context, workspace, id, by, reason string) (feedback.Decision, error) {
	if !bus.ValidWorkspace(workspace) || !wellFormed.MatchString(id) {
		return feedback.Decision{}, read.ErrNotFound
	}
	key := workspace + "." + id
	for {
		known, revision, err := d.decisions.Get(ctx, key)
		if err != nil {
			return feedback.Decision{}, err
		}
		if revision == 0 {
			return feedback.Decision{}, read.ErrNotFound
		}
		if known.Decision.Action == feedback.Undo {
			return feedback.Decision{}, refuse("an undo cannot be undone; decide again instead")
		}
		undo := feedback.Decision{Workspace: workspace, Action: feedback.Undo, Undoes: id, By: by, Reason: reason,
			ID: feedback.ID("dec", workspace, "undo", id), At: d.now().UTC().Truncate(time.Microsecond)}
		if by == "" {
			return feedback.Decision{}, refuse("it has to say who decides")
		}
		switch before, at, err := d.decisions.Get(ctx, workspace+"."+undo.ID); {
		case err != nil:
			return feedback.Decision{}, err
		case at > 0:
			undo = before.Decision
		default:
			if _, err := d.decisions.Put(ctx, workspace+"."+undo.ID, kept{Decision: undo}, 0); errors.Is(err, keyed.ErrConflict) {
				continue
			} else if err != nil {
				return feedback.Decision{}, err
			}
		}
		if known.UndoneBy == "" {
			known.UndoneBy = undo.ID
			if _, err := d.decisions.Put(ctx, key, known, revision); errors.Is(err, keyed.ErrConflict) {
				continue
			} else if err != nil {
				return feedback.Decision{}, err
			}
		}
		if err := d.lift(ctx, known.Decision); err != nil {
			return feedback.Decision{}, err
		}
		if err := d.row(ctx, known.Decision, undo.ID); err != nil {
			return feedback.Decision{}, err
		}
		// The ticket travels with the undo, so that its brief is built again.
		undo.Tracker, undo.Ticket, undo.Cluster = known.Decision.Tracker, known.Decision.Ticket, known.Decision.Cluster
		if known.Decision.Action == feedback.Correct {
			undo.Signals = known.Decision.Signals // so that the classifier need not look for it
		}
		return undo, d.follow(ctx, undo, "")
	}
}

func (d *Decider) complete(in feedback.Decision) feedback.Decision {
	if in.At.IsZero() {
		in.At = d.now()
	}
	in.At = in.At.UTC().Truncate(time.Microsecond)
	in.Signals = slices.Clone(in.Signals)
	slices.Sort(in.Signals)
	in.Signals = slices.Compact(in.Signals)
	in.Name = strings.Join(strings.Fields(in.Name), " ")
	if in.ID == "" {
		in.ID = feedback.ID("dec", in.Workspace, string(in.Action), in.Cluster, in.Into, strings.Join(in.Signals, ","), in.Name, string(in.Kind)+string(in.Status),
			string(in.Tracker), in.Ticket, in.By, in.At.Format(time.RFC3339Nano))
	}
	return in
}

// check refuses what cannot be done.
func (d *Decider) check(ctx context.Context, in feedback.Decision) error {
	if in.By == "" {
		return refuse("it has to say who decides")
	}
	if len(in.Reason) > 2000 || len(in.Signals) > 1000 {
		return refuse("at most 2000 bytes of reason and 1000 signals")
	}
	switch in.Action {
	case feedback.Merge:
		if in.Cluster == in.Into {
			return refuse("a cluster cannot be merged into itself")
		}
		return d.clusters(ctx, in.Workspace, in.Cluster, in.Into)
	case feedback.Split:
		if err := d.clusters(ctx, in.Workspace, in.Cluster); err != nil {
			return err
		}
		return d.signals(ctx, in.Workspace, in.Cluster, in.Signals)
	case feedback.Move:
		if err := d.clusters(ctx, in.Workspace, in.Into); err != nil {
			return err
		}
		return d.signals(ctx, in.Workspace, "", in.Signals)
	case feedback.Rename:
		if in.Name == "" || len(in.Name) > 200 || !utf8.ValidString(in.Name) {
			return refuse("a name of 1 to 200 bytes is required")
		}
		return d.clusters(ctx, in.Workspace, in.Cluster)
	case feedback.Mark:
		if !in.Status.Marks() {
			return refuse("a status of planned, in_progress or shipped is required")
		}
		return d.clusters(ctx, in.Workspace, in.Cluster)
	case feedback.Ignore, feedback.Reopen:
		return d.clusters(ctx, in.Workspace, in.Cluster)
	case feedback.Pin, feedback.Reject:
		switch {
		case (in.Cluster == "") != (len(in.Signals) == 1):
			return refuse("one cluster or one signal is required")
		case in.Cluster == "":
			if err := d.said(ctx, in.Workspace, in.Signals[0]); err != nil {
				return err
			}
		default:
			if err := d.clusters(ctx, in.Workspace, in.Cluster); err != nil {
				return err
			}
		}
		t, revision, err := d.tickets.Get(ctx, keyed.TicketKey(in.Workspace, in.Tracker, in.Ticket))
		if err != nil {
			return err
		}
		if revision == 0 || t.Closed {
			return refuse("there is no such ticket")
		}
		return nil
	case feedback.Correct:
		if len(in.Signals) != 1 || !slices.Contains(feedback.Kinds, in.Kind) {
			return refuse("one signal and one of our kinds are required")
		}
		return d.said(ctx, in.Workspace, in.Signals[0])
	}
	return refuse("there is no such action")
}

func (d *Decider) clusters(ctx context.Context, ws string, ids ...string) error {
	for _, id := range ids {
		var retired uint8
		rows, err := d.db.Conn().Query(ctx, `SELECT retired FROM clusters FINAL WHERE workspace = ? AND id = ?`, ws, id)
		if err != nil {
			return query.Failed("look for cluster", err)
		}
		there := rows.Next()
		if there {
			err = rows.Scan(&retired)
		}
		if e := errors.Join(err, rows.Err(), rows.Close()); e != nil {
			return query.Failed("look for cluster", e)
		}
		if !there {
			return refuse("there is no such cluster")
		}
		if retired == 1 {
			return refuse("the cluster was merged or emptied; decide on what it became")
		}
	}
	return nil
}

// said checks that somebody said a signal and has not taken it back.
func (d *Decider) said(ctx context.Context, ws, signal string) error {
	var found uint64
	if err := d.db.Conn().QueryRow(ctx, `SELECT count() FROM signals FINAL WHERE workspace = ? AND id = ?`, ws, signal).Scan(&found); err != nil {
		return query.Failed("look for signal", err)
	}
	if found == 0 {
		return refuse("there is no such signal")
	}
	return nil
}

// signals checks that signals exist, in a cluster where one is given.
func (d *Decider) signals(ctx context.Context, ws, cluster string, ids []string) error {
	if len(ids) == 0 {
		return refuse("at least one signal is required")
	}
	var found uint64
	text, args := `SELECT count() FROM assignments FINAL WHERE workspace = ? AND signal IN ?`, []any{ws, ids}
	if cluster != "" {
		text, args = text+` AND cluster = ?`, append(args, cluster)
	}
	if err := d.db.Conn().QueryRow(ctx, text, args...).Scan(&found); err != nil {
		return query.Failed("look for signals", err)
	}
	if found != uint64(len(ids)) {
		return refuse("not every signal is there")
	}
	return nil
}

// follow does what follows from a kept decision: its row, its ruling, its event. Doing it
// again changes nothing.
func (d *Decider) follow(ctx context.Context, in feedback.Decision, undoneBy string) error {
	if err := d.row(ctx, in, undoneBy); err != nil {
		return err
	}
	if err := d.rule(ctx, in); err != nil {
		return err
	}
	e, err := event.New(event.DecisionMade, "context-publisher", in.Workspace, in.ID, in.ID, in.At, event.Decision{Decision: in})
	if err != nil {
		return err
	}
	if _, err := d.bus.Publish(ctx, bus.Subject("decisions", in.Workspace), e); err != nil {
		return err
	}
	return d.bus.Syncer().Sync(ctx)
}

func (d *Decider) row(ctx context.Context, in feedback.Decision, undoneBy string) error {
	version := uint64(1)
	if undoneBy != "" {
		version = 2
	}
	err := d.db.Insert(ctx, "decisions",
		[]string{"workspace", "id", "action", "cluster", "into", "signals", "name", "kind", "status", "tracker", "ticket", "undone_by", "decided_by", "reason", "at", "version"},
		[][]any{{in.Workspace, in.ID, string(in.Action), in.Cluster, in.Into, append([]string{}, in.Signals...), in.Name, string(in.Kind), string(in.Status),
			string(in.Tracker), in.Ticket, undoneBy, in.By, in.Reason, in.At, version}},
		fmt.Sprintf("decision:%s:%d", in.ID, version))
	if err != nil {
		return query.Failed("write decision", err)
	}
	return nil
}

// rule keeps a pin or a rejection with its ticket, and shows it at once. A ruling by a
// later decision stands.
func (d *Decider) rule(ctx context.Context, in feedback.Decision) error {
	mode := map[feedback.Action]feedback.Mode{feedback.Pin: feedback.Pinned, feedback.Reject: feedback.Rejected}[in.Action]
	if mode == "" {
		return nil
	}
	return d.change(ctx, in, func(t *keyed.Ticket) bool {
		if old, ok := t.Rulings[ruled(in)]; ok && (old.Decision == in.ID || old.At.After(in.At)) {
			return false
		}
		if t.Rulings == nil {
			t.Rulings = map[string]keyed.Ruling{}
		}
		t.Rulings[ruled(in)] = keyed.Ruling{Mode: mode, Decision: in.ID, By: in.By, At: in.At}
		return true
	}, mode)
}

// ruled is what a pin or a rejection is about: a cluster, or a signal by itself.
func ruled(in feedback.Decision) string {
	if in.Cluster == "" && len(in.Signals) == 1 {
		return in.Signals[0]
	}
	return in.Cluster
}

// lift takes a ruling back, if it is still the one of that decision.
func (d *Decider) lift(ctx context.Context, in feedback.Decision) error {
	if in.Action != feedback.Pin && in.Action != feedback.Reject {
		return nil
	}
	return d.change(ctx, in, func(t *keyed.Ticket) bool {
		if t.Rulings[ruled(in)].Decision != in.ID {
			return false
		}
		delete(t.Rulings, ruled(in))
		return true
	}, "")
}

// change edits a ticket's state and writes the attachment's row: with the mode that was
// ruled, or, for "", as gone until the next brief scores it again.
func (d *Decider) change(ctx context.Context, in feedback.Decision, edit func(*keyed.Ticket) bool, mode feedback.Mode) error {
	key := keyed.TicketKey(in.Workspace, in.Tracker, in.Ticket)
	for {
		t, revision, err := d.tickets.Get(ctx, key)
		if err != nil {
			return err
		}
		if revision == 0 || !edit(&t) {
			return nil
		}
		t.Writes++
		if _, err := d.tickets.Put(ctx, key, t, revision); errors.Is(err, keyed.ErrConflict) {
			continue
		} else if err != nil {
			return err
		}
		gone := uint8(0)
		if mode == "" {
			gone = 1
		}
		single := ""
		if in.Cluster == "" {
			single = ruled(in)
		}
		err = d.db.Insert(ctx, "attachments",
			[]string{"workspace", "tracker", "ticket", "cluster", "signal", "mode", "score", "terms", "reasons", "decided_by", "decision", "at", "version", "deleted"},
			[][]any{{in.Workspace, string(in.Tracker), in.Ticket, ruled(in), single, string(mode), 0.0, map[string]float64{}, []string{},
				in.By, in.ID, d.now().UTC(), t.Writes, gone}}, "")
		if err != nil {
			return query.Failed("write attachment", err)
		}
		return nil
	}
}
