// Package world is one workspace's clusters as a deterministic machine: it takes inputs
// one after another (a classified item, an account, an erasure, a person's decision),
// numbers them, and says what each changed. It does no I/O and reads no clock: the same
// inputs in the same order give the same world, byte for byte.
package world

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/rank"
	"github.com/throughline-dev/throughline/services/clusterer/internal/burst"
	"github.com/throughline-dev/throughline/services/clusterer/internal/name"
	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// Input is one thing to take. Exactly one of Classified, Decision and Attached is set. Sequence is
// its place in the signals stream.
type Input struct {
	Workspace  string             `json:"-"`
	Sequence   uint64             `json:"sequence"`
	Classified *event.Classified  `json:"classified,omitempty"`
	Decision   *feedback.Decision `json:"decision,omitempty"`
	Attached   *event.Attached    `json:"attached,omitempty"`
}

// ID names what the input is about, for the log.
func (in Input) ID() string {
	switch {
	case in.Decision != nil:
		return in.Decision.ID
	case in.Attached != nil:
		return ticketKey(in.Attached)
	case in.Classified.Item != nil:
		return in.Classified.Item.ID
	case in.Classified.Account != nil:
		return in.Classified.Account.ID
	default:
		return in.Classified.Erasure.Customer
	}
}

// Kind names the kind of input, for the log.
func (in Input) Kind() string {
	switch {
	case in.Decision != nil:
		return "decision"
	case in.Attached != nil:
		return "ticket"
	case in.Classified.Item != nil:
		return "item"
	case in.Classified.Account != nil:
		return "account"
	default:
		return "erasure"
	}
}

// Event is a step in the life of a cluster.
type Event struct {
	Cluster  string
	Kind     string // created, merged, split, retired, renamed, ignored, reopened, marked, undone, contradicted, status, regressed
	Other    string
	Detail   string
	Decision string
	At       time.Time
}

// Outcome is what one input changed. Signals and Clusters name what must be written
// anew, in order, without doubles; a signal that is gone has no Assignment any more.
// Refused says why a decision was not applied; the input is taken all the same.
type Outcome struct {
	Position uint64
	Signals  []string
	Clusters []string
	Events   []Event
	Merged   []event.Pair
	Split    []event.Pair
	Statuses []event.Status
	Days     []Day
	Alerts   []Alert
	Refused  error
}

// ErrSpace is returned when a signal's vector is of another embedding space than the
// world: nothing was changed, and nothing can be until the world is rebuilt or the
// classifier embeds as before.
var ErrSpace = errors.New("the signal's embedding space is not the world's")

// World is one workspace's clusters. It is for one goroutine at a time.
type World struct {
	workspace string
	position  uint64
	items     uint64 // the newest sequence of the items stream taken in order
	asOf      time.Time
	spaceID   string
	space     *space.Space
	options   space.Options
	settings  rank.Settings
	bursts    burst.Options
	recent    []moment    // signals of the last day, by time; derived
	begun     time.Time   // of the first signal taken
	rhythm    rank.Rhythm // of the signals taken; those that left have been a habit, too

	signals   map[string]*signal
	byItem    map[string]*item
	customers map[string]*customer
	accounts  map[string]feedback.Account
	put       map[string]uint64 // account → sequence of the items stream that put it
	domains   map[string]string // e-mail domain → account
	clusters  map[string]*cluster
	spoken    map[string]int // signals by account, or by customer without one; derived
	tickets   map[string]work
	answering map[string][]string          // standing cluster → tickets; derived, nil until asked for
	names     map[string]string            // keys of machine-made names in use → cluster
	counts    name.Counts                  // of all signals' words
	decisions map[string]feedback.Decision // in force
	held      map[string][]string          // decision → clusters that it moved signals of
}

// signal is what the world knows of a signal besides its vector.
type signal struct {
	ID       string
	Item     string
	Customer string
	Source   feedback.Source
	Kind     feedback.Kind
	Quote    string // without who said it: names are made of it
	Severity float64
	At       time.Time
	Weight   float64 // see rank.Rhythm
	Leaving  bool    // see rank.Leaving
	Copy     uint64  // see rank.Copy
	Told     bool    // it was part of an alert
	Cluster  string
}

// utterance is what the rank needs of it.
func (s *signal) utterance() rank.Utterance {
	return rank.Utterance{Signal: s.ID, Voice: s.Customer, Severity: s.Severity, At: s.At, Leaving: s.Leaving, Copy: s.Copy, Weight: s.Weight}
}

type item struct {
	Revision int64
	Sequence uint64 // of the items stream: a redelivery or an older revision changes nothing
	Signals  []string
}

type customer struct {
	Ref     feedback.AccountRef
	Domain  string
	Signals map[string]bool
}

// Options are what a world is made with. Other ones give another world: see replay.
type Options struct {
	Space space.Options
	Rank  rank.Settings
	Burst burst.Options
}

// DefaultOptions are those of the service where nothing is configured.
func DefaultOptions() Options {
	return Options{Space: space.Default(), Rank: rank.DefaultSettings(), Burst: burst.Default()}
}

// New makes an empty world.
func New(workspace string, o Options) *World {
	o.Space.Seed = workspace
	return &World{
		workspace: workspace, options: o.Space, settings: o.Rank, bursts: o.Burst,
		signals: map[string]*signal{}, byItem: map[string]*item{}, customers: map[string]*customer{},
		accounts: map[string]feedback.Account{}, put: map[string]uint64{}, domains: map[string]string{}, clusters: map[string]*cluster{}, tickets: map[string]work{}, spoken: map[string]int{}, names: map[string]string{},
		decisions: map[string]feedback.Decision{}, held: map[string][]string{},
	}
}

// Position is the number of inputs taken.
func (w *World) Position() uint64 { return w.position }

// ItemSequence is the newest sequence of the items stream that was taken.
func (w *World) ItemSequence() uint64 { return w.items }

// Since is the time of the earliest signal ever taken.
func (w *World) Since() time.Time { return w.begun }

// Settings are those that ranks are computed with.
func (w *World) Settings() rank.Settings { return w.settings }

// AsOf is the time of the newest signal taken: what ranks are computed at.
func (w *World) AsOf() time.Time { return w.asOf }

// Space is the id of the embedding space the world lives in, "" while it is empty.
func (w *World) Space() string { return w.spaceID }

// Digest is a hash of the visible outcome: memberships, ids and lineage.
func (w *World) Digest() string {
	if w.space == nil {
		return ""
	}
	return w.space.Digest()
}

// Took reports whether the input was taken before.
func (w *World) Took(in Input) bool {
	switch {
	case in.Decision != nil && in.Decision.Action == feedback.Undo:
		_, standing := w.decisions[in.Decision.Undoes]
		return !standing
	case in.Decision != nil:
		_, known := w.decisions[in.Decision.ID]
		return known
	case in.Attached != nil:
		return w.told(in.Attached, in.Sequence)
	case in.Classified.Item != nil:
		known := w.byItem[in.Classified.Item.ID]
		return known != nil && known.Sequence >= in.Classified.ItemSequence
	case in.Classified.Account != nil:
		return w.put[in.Classified.Account.ID] >= in.Classified.ItemSequence
	default:
		return in.Classified.ItemSequence <= w.items // erasing again changes nothing
	}
}

// Take applies an input. On an error nothing has changed.
func (w *World) Take(in Input) (Outcome, error) {
	t := &taking{World: w, signals: map[string]bool{}, dirty: map[string]bool{}}
	if in.Classified != nil {
		if err := t.check(in.Classified); err != nil {
			return Outcome{}, err
		}
	}
	w.position++
	t.out.Position = w.position
	switch {
	case in.Decision != nil:
		t.decide(*in.Decision)
	case in.Attached != nil:
		t.attached(in.Attached, in.Sequence)
	case in.Classified.Item != nil:
		t.item(in.Classified)
	case in.Classified.Account != nil:
		t.put[in.Classified.Account.ID] = in.Classified.ItemSequence
		t.account(*in.Classified.Account)
	default:
		t.erase(in.Classified.Erasure)
	}
	if in.Classified != nil {
		w.items = max(w.items, in.Classified.ItemSequence)
	}
	return t.finish(), nil
}

// taking is the work on one input.
type taking struct {
	*World
	out     Outcome
	signals map[string]bool
	dirty   map[string]bool
}

func (t *taking) check(c *event.Classified) error {
	for _, s := range c.Signals {
		if t.spaceID != "" && s.Space != t.spaceID {
			return fmt.Errorf("take signal of space %s into %s: %w", s.Space, t.spaceID, ErrSpace)
		}
		if c.Signals[0].Space != s.Space || len(c.Signals[0].Vector) != len(s.Vector) || len(s.Vector) == 0 {
			return fmt.Errorf("take signals of mixed vectors: %w", ErrSpace)
		}
	}
	return nil
}

// item replaces the signals of an item by those of its new revision. A signal that both
// have stays where it is.
func (t *taking) item(c *event.Classified) {
	head := c.Item
	known := t.byItem[head.ID]
	if known == nil {
		known = &item{}
		t.byItem[head.ID] = known
	}
	keep := map[string]bool{}
	for _, s := range c.Signals {
		keep[s.ID] = true
	}
	for _, id := range known.Signals {
		if !keep[id] {
			t.remove(id)
		}
	}
	at := head.CreatedAt
	if known.Revision > 0 {
		at = head.UpdatedAt
	}
	if accepted := c.Origin.AcceptedAt; !accepted.IsZero() && at.After(accepted) {
		at = accepted // a sender's clock that runs ahead does not move ours
	}
	known.Revision, known.Sequence, known.Signals = head.Revision, c.ItemSequence, nil
	if c.Deleted {
		return
	}
	t.meet(head)
	for _, s := range c.Signals {
		known.Signals = append(known.Signals, s.ID)
		t.insert(head, s, at)
	}
}

// meet remembers who speaks and which company they say they belong to.
func (t *taking) meet(head *event.ItemHead) {
	c := t.customers[head.Customer.ID]
	if c == nil {
		c = &customer{Signals: map[string]bool{}}
		t.customers[head.Customer.ID] = c
	}
	t.spoken[t.who(head.Customer.ID)] -= len(c.Signals)
	defer func() { t.spoken[t.who(head.Customer.ID)] += len(c.Signals) }()
	if head.Account.ID != "" || head.Account.Name != "" {
		c.Ref = head.Account
	}
	if _, domain, ok := strings.Cut(head.Customer.Email, "@"); ok {
		c.Domain = strings.ToLower(domain)
	}
}

func (t *taking) insert(head *event.ItemHead, s feedback.Signal, at time.Time) {
	if known := t.World.signals[s.ID]; known != nil {
		t.attribute(known, head.Customer.ID)
		t.judge(known, s)
		return
	}
	if t.space == nil {
		t.spaceID = s.Space
		t.space = space.New(len(s.Vector), t.options)
	}
	t.turn(at)
	quote := name.Anonymous(s.Quote, head.Customer.Name, head.Account.Name)
	t.World.signals[s.ID] = &signal{
		ID: s.ID, Item: head.ID, Customer: head.Customer.ID, Source: head.Source, Kind: s.Kind, Severity: s.Severity, At: at,
		Quote: quote, Leaving: rank.Leaving(quote), Copy: rank.Copy(quote),
		Weight: t.rhythm.Weight(at),
	}
	_, changes, err := t.space.Insert(space.Point{ID: s.ID, Vector: s.Vector})
	if err != nil {
		// A vector that the space refuses (zero, not finite) has no place among others.
		delete(t.World.signals, s.ID)
		return
	}
	t.rhythm.Observe(at)
	if t.begun.IsZero() || at.Before(t.begun) {
		t.begun = at
	}
	if at.After(t.asOf) {
		t.asOf = at
	}
	t.customers[head.Customer.ID].Signals[s.ID] = true
	t.spoken[t.who(head.Customer.ID)]++
	t.counts.Add(t.World.signals[s.ID].Quote)
	t.apply(changes)
	t.recall(t.World.signals[s.ID])
	t.watch(t.World.signals[s.ID])
}

// judge has a signal that stays where it is be of another kind or severity: somebody
// corrected it, or a better model read it again.
func (t *taking) judge(known *signal, s feedback.Signal) {
	if known.Kind == s.Kind && known.Severity == s.Severity {
		return
	}
	known.Kind, known.Severity = s.Kind, s.Severity
	t.touch(known.Cluster)
	t.changed(known.ID)
}

func (t *taking) remove(id string) {
	s := t.World.signals[id]
	if s == nil {
		return
	}
	changes, _ := t.space.Remove(id)
	t.apply(changes)
	if c := t.customers[s.Customer]; c != nil {
		delete(c.Signals, id)
		t.spoken[t.who(s.Customer)]--
	}
	t.counts.Remove(s.Quote)
	t.unrecall(s)
	delete(t.World.signals, id)
}

func (t *taking) erase(e *event.Erasure) {
	for _, id := range e.Items {
		if known := t.byItem[id]; known != nil {
			for _, s := range known.Signals {
				t.remove(s)
			}
			known.Signals = nil
		}
	}
	if c := t.customers[e.Customer]; c != nil {
		t.spoken[t.who(e.Customer)] -= len(c.Signals)
		delete(t.customers, e.Customer)
	}
}

// account changes what a company is worth, or which customers belong to it; every
// cluster in which one of them speaks is ranked anew.
func (t *taking) account(a feedback.Account) {
	before := map[string]string{}
	for id := range t.customers {
		before[id] = t.accountOf(id)
	}
	for _, d := range t.accounts[a.ID].Domains {
		delete(t.domains, strings.ToLower(d))
	}
	t.accounts[a.ID] = a
	for _, d := range a.Domains {
		t.domains[strings.ToLower(d)] = a.ID
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if now := t.accountOf(id); now != before[id] || now == a.ID {
			for _, s := range slices.Sorted(maps.Keys(t.customers[id].Signals)) {
				t.touch(t.World.signals[s].Cluster)
				t.changed(s)
			}
		}
	}
	t.recount()
}

// who is whom a customer speaks for: the account, or the person where none is known.
func (w *World) who(customerID string) string {
	if account := w.accountOf(customerID); account != "" {
		return account
	}
	return "\x00" + customerID
}

// recount counts anew how much everybody has said.
func (w *World) recount() {
	clear(w.spoken)
	for id, c := range w.customers {
		w.spoken[w.who(id)] += len(c.Signals)
	}
}

// accountOf joins a customer to an account: by the company id or name in a payload, else
// by the domain of the e-mail address. "" means that no company is known. A company that
// nobody has put yet counts as one, worth nothing.
func (w *World) accountOf(customerID string) string {
	c := w.customers[customerID]
	if c == nil {
		return ""
	}
	if c.Ref.ID != "" {
		return c.Ref.ID
	}
	if id, ok := w.domains[c.Domain]; ok {
		return id
	}
	if c.Ref.Name != "" {
		for _, id := range slices.Sorted(maps.Keys(w.accounts)) {
			if strings.EqualFold(w.accounts[id].Name, c.Ref.Name) {
				return id
			}
		}
	}
	return c.Ref.Name
}

// apply carries the space's changes over to the clusters' profiles.
func (t *taking) apply(changes []space.Change) {
	for _, c := range changes {
		switch c.Kind {
		case space.Created:
			t.open(c.To)
			t.event(Event{Cluster: c.To, Kind: "created", Decision: c.Decision})
		case space.Split:
			t.open(c.To)
			t.out.Split = append(t.out.Split, event.Pair{From: c.From, To: c.To})
			t.event(Event{Cluster: c.From, Kind: "split", Other: c.To, Decision: c.Decision})
			t.event(Event{Cluster: c.To, Kind: "created", Other: c.From, Decision: c.Decision})
			t.touch(c.From)
		case space.Assigned, space.Moved:
			s := t.World.signals[c.SignalID]
			if c.From != "" {
				t.leave(c.From, s)
			}
			s.Cluster = c.To
			t.enter(c.To, s)
			t.changed(c.SignalID)
		case space.Removed:
			t.leave(c.From, t.World.signals[c.SignalID])
			t.changed(c.SignalID)
		case space.Merged:
			t.close(c.From, c.To)
			t.out.Merged = append(t.out.Merged, event.Pair{From: c.From, To: c.To})
			t.event(Event{Cluster: c.From, Kind: "merged", Other: c.To, Decision: c.Decision})
		case space.Retired:
			t.close(c.From, "")
			t.event(Event{Cluster: c.From, Kind: "retired", Decision: c.Decision})
		}
	}
}

func (t *taking) changed(signal string) {
	if !t.signals[signal] {
		t.signals[signal] = true
		t.out.Signals = append(t.out.Signals, signal)
	}
}

func (t *taking) touch(cluster string) {
	if c := t.clusters[cluster]; c != nil {
		c.summed = nil
	}
	if !t.dirty[cluster] {
		t.dirty[cluster] = true
		t.out.Clusters = append(t.out.Clusters, cluster)
	}
}

func (t *taking) event(e Event) {
	e.At = t.asOf
	t.out.Events = append(t.out.Events, e)
}

func (t *taking) finish() Outcome {
	for _, id := range t.out.Clusters {
		t.rename(id)
		t.progress(id)
	}
	return t.out
}
