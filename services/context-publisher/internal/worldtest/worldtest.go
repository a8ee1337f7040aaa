// Package worldtest writes what the other services would have written (items, signals,
// assignments, clusters, watermarks, accounts) into a real store, so that a test of this
// service begins where this service begins.
package worldtest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
)

// World is one workspace's feedback.
type World struct {
	Workspace string
	DB        *store.DB
	Bus       *bus.Bus
	Embedder  embed.Embedder
	Position  uint64
	said      []said
	merged    map[string]string
	clusters  map[string]string // id to name
}

type said struct {
	Saying
	item, signal string
	vector       []float32
	deleted      bool
}

// Saying is one item with one signal. Quote is the part of Text that is the signal; empty
// means all of it.
type Saying struct {
	Cluster  string
	Customer string
	Account  string
	Text     string
	Quote    string
	Kind     feedback.Kind // empty means problem
	Severity float64
	At       time.Time
	URL      string
}

// New makes an empty world. b may be nil where nothing is published.
func New(workspace string, db *store.DB, b *bus.Bus) *World {
	return &World{Workspace: workspace, DB: db, Bus: b, Embedder: embed.Lexical(), merged: map[string]string{}, clusters: map[string]string{}}
}

// Account writes an account.
func (w *World) Account(t testing.TB, id, name string, value float64, plan string) {
	t.Helper()
	w.insert(t, "accounts", []string{"workspace", "id", "name", "domains", "value", "currency", "plan", "segment", "version", "deleted"},
		[]any{w.Workspace, id, name, []string{}, value, "EUR", plan, "", uint64(1), uint8(0)})
}

// ItemID is the id of the n-th saying's item, counted from 0.
func (w *World) ItemID(n int) string { return w.said[n].item }

// SignalID is the id of the n-th saying's signal.
func (w *World) SignalID(n int) string { return w.said[n].signal }

// Say writes sayings and the clusters they are in, as one input of the clusterer.
func (w *World) Say(t testing.TB, sayings ...Saying) {
	t.Helper()
	w.Position++
	changed := map[string]bool{}
	for _, s := range sayings {
		if s.Quote == "" {
			s.Quote = s.Text
		}
		if s.Kind == "" {
			s.Kind = feedback.Bug
		}
		start := strings.Index(s.Text, s.Quote)
		if start < 0 {
			t.Fatalf("the quote %q is not in the text", s.Quote)
		}
		vectors, err := w.Embedder.Embed(t.Context(), []string{s.Quote})
		if err != nil {
			t.Fatal(err)
		}
		n := len(w.said)
		x := said{Saying: s, vector: vectors[0], item: feedback.ID("itm", w.Workspace, fmt.Sprint(n))}
		x.signal = feedback.SignalID(x.item, s.Kind, s.Quote, 0)
		w.said = append(w.said, x)
		customer := feedback.ID("cus", w.Workspace, s.Customer)
		w.insert(t, "items", []string{"workspace", "id", "revision", "source", "connection", "conversation", "customer", "customer_name", "customer_email",
			"account_id", "account_name", "text", "messages", "url", "created_at", "updated_at", "accepted_at", "delivery", "sequence", "deleted"},
			[]any{w.Workspace, x.item, uint64(1), "zendesk", "acme-zendesk", "cnv_" + fmt.Sprint(n), customer, s.Customer, "",
				s.Account, "", s.Text, "[]", s.URL, s.At, s.At, s.At, "dlv_1", uint64(n + 1), uint8(0)})
		w.insert(t, "signals", []string{"workspace", "id", "item", "revision", "ordinal", "kind", "span_start", "span_end", "quote", "sentiment", "severity",
			"confidence", "area", "space", "vector", "source", "customer", "said_at", "version", "deleted"},
			[]any{w.Workspace, x.signal, x.item, uint64(1), uint32(0), string(s.Kind), uint32(start), uint32(start + len(s.Quote)), s.Quote,
				float32(-0.5), float32(s.Severity), float32(0.9), "", w.Embedder.Space().ID(), x.vector, "zendesk", customer, s.At, uint64(n + 1), uint8(0)})
		changed[s.Cluster] = true
	}
	w.write(t, changed)
}

// Withdraw deletes the n-th saying, as an erased or deleted item would be.
func (w *World) Withdraw(t testing.TB, n int) {
	t.Helper()
	w.Position++
	s := &w.said[n]
	s.deleted = true
	w.insert(t, "items", []string{"workspace", "id", "revision", "updated_at", "created_at", "accepted_at", "deleted"},
		[]any{w.Workspace, s.item, uint64(2), s.At, s.At, s.At, uint8(1)})
	w.insert(t, "signals", []string{"workspace", "id", "item", "said_at", "version", "deleted"},
		[]any{w.Workspace, s.signal, s.item, s.At, uint64(1 << 30), uint8(1)})
	w.insert(t, "assignments", []string{"workspace", "signal", "cluster", "said_at", "version", "deleted"},
		[]any{w.Workspace, s.signal, s.Cluster, s.At, w.Position, uint8(1)})
	w.write(t, map[string]bool{s.Cluster: true})
}

// Merge moves every signal of a cluster into another.
func (w *World) Merge(t testing.TB, from, into string) {
	t.Helper()
	w.Position++
	for i := range w.said {
		if w.said[i].Cluster == from {
			w.said[i].Cluster = into
		}
	}
	w.merged[from] = into
	w.write(t, map[string]bool{from: true, into: true})
}

// Name names a cluster from its next change on.
func (w *World) Name(cluster, name string) { w.clusters[cluster] = name }

// write writes the assignments and clusters that changed, and the watermark.
func (w *World) write(t testing.TB, changed map[string]bool) {
	t.Helper()
	var newest time.Time
	for _, s := range w.said {
		if s.At.After(newest) {
			newest = s.At
		}
	}
	var ids []string
	for id := range changed {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		w.cluster(t, id, newest)
	}
	w.insert(t, "watermarks", []string{"workspace", "position", "as_of", "version"},
		[]any{w.Workspace, w.Position, newest, w.Position})
	if w.Bus == nil {
		return
	}
	e, err := event.New(event.WorldChanged, "clusterer", w.Workspace, ids[0], feedback.ID("evt", "world", w.Workspace, fmt.Sprint(w.Position)), newest,
		event.World{Position: w.Position, Origin: event.Origin{Delivery: "dlv_1", Sequence: w.Position, AcceptedAt: time.Now()}, Clusters: ids})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Bus.Publish(t.Context(), bus.Subject("worlds", w.Workspace), e); err != nil {
		t.Fatal(err)
	}
}

func (w *World) cluster(t testing.TB, id string, now time.Time) {
	t.Helper()
	var first, last time.Time
	var severity float64
	var signals uint32
	var medoid, name string
	var sum []float32
	kinds, customers, accounts := map[string]uint32{}, map[string]bool{}, map[string]bool{}
	for _, s := range w.said {
		if s.Cluster != id || s.deleted {
			continue
		}
		if sum == nil {
			sum, first, medoid, name = make([]float32, len(s.vector)), s.At, s.signal, s.Quote
		}
		for i, x := range s.vector {
			sum[i] += x
		}
		signals++
		severity += s.Severity
		kinds[string(s.Kind)]++
		customers[s.Customer] = true
		if s.Account != "" {
			accounts[s.Account] = true
		}
		if s.At.After(last) {
			last = s.At
		}
		w.insert(t, "assignments", []string{"workspace", "signal", "cluster", "item", "customer", "account", "kind", "severity", "said_at", "similarity",
			"runner_up", "runner_up_id", "reason", "decided_by", "position", "version", "deleted"},
			[]any{w.Workspace, s.signal, id, s.item, feedback.ID("cus", w.Workspace, s.Customer), s.Account, string(s.Kind), float32(s.Severity), s.At,
				float32(0.8), float32(0), "", "near", "machine", w.Position, w.Position, uint8(0)})
	}
	length := 0.0
	for _, x := range sum {
		length += float64(x) * float64(x)
	}
	for i := range sum {
		sum[i] /= float32(math.Sqrt(length))
	}
	if named := w.clusters[id]; named != "" {
		name = named
	}
	retired := uint8(0)
	if signals == 0 {
		retired, sum, first, last = 1, []float32{}, now, now
	}
	kind := feedback.Bug
	for _, k := range feedback.Kinds {
		if kinds[string(k)] > kinds[string(kind)] {
			kind = k
		}
	}
	w.insert(t, "clusters", []string{"workspace", "id", "name", "name_pinned", "status", "merged_into", "retired", "kind", "kinds", "sources", "medoid",
		"signals", "items", "voices", "accounts", "reach", "worth", "severity_sum", "fast", "slow", "as_of", "first_seen", "last_seen", "space", "centroid", "position", "version"},
		[]any{w.Workspace, id, name, uint8(0), "open", w.merged[id], retired, string(kind), kinds, map[string]uint32{"zendesk": signals}, medoid,
			signals, signals, uint32(len(customers)), uint32(len(accounts)), float64(len(customers)), 0.0, severity, float64(signals), float64(signals),
			last, first, last, w.Embedder.Space().ID(), sum, w.Position, w.Position})
}

func (w *World) insert(t testing.TB, table string, columns []string, row []any) {
	t.Helper()
	if err := w.DB.Insert(context.Background(), table, columns, [][]any{row}, ""); err != nil {
		t.Fatal(err)
	}
}

// Row writes one row of any table, for what no method of World makes.
func (w *World) Row(t testing.TB, table string, columns []string, row ...any) {
	t.Helper()
	w.insert(t, table, columns, row)
}
