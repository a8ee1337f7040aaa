package publish

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// What is looked at to attach and to build a brief. Counts of people are of all signals.
const (
	nearClusters   = 40   // candidates by meaning
	evidencePer    = 12   // signals of a candidate, the most typical
	nearSignals    = 60   // evidence by meaning, whatever cluster it is in
	newestSignals  = 5000 // among which it is looked for
	freshSignals   = 1000 // of one round, the newest
	sampledPer     = 120  // signals of an attached cluster, the most typical
	sampledNewest  = 120  // and the newest of all attached ones
	maxVoices      = 20000
	maxNamingItems = 5000
)

// reading is what one round asks the store of a workspace. A round is about many tickets and
// clusters at once, because a question costs the engine about as much for a hundred of them
// as for one; what was asked before in the round is not asked again.
type reading struct {
	*shard
	workspace string
	position  uint64
	asOf      time.Time
	matcher   attach.Matcher

	clusters map[string]cluster
	typical  map[string][]place // by cluster, the most typical first
	signals  map[string]signal
	items    map[string]brief.Item
	accounts map[string]feedback.Account
}

// cluster is a standing cluster that may be attached.
type cluster struct {
	name string
	vector
}

// place is where a signal is.
type place struct {
	cluster, signal, item string
	similarity            float32
	position              uint64 // the input that brought it there
	fresh                 bool   // it came with what the round is about
}

// signal is a stored signal, without its place.
type signal struct {
	brief.Signal
	space string
}

// reading begins a round.
func (s *shard) reading(ctx context.Context, ws string) (*reading, error) {
	r := &reading{shard: s, workspace: ws, clusters: map[string]cluster{}, typical: map[string][]place{}, signals: map[string]signal{},
		items: map[string]brief.Item{}, accounts: map[string]feedback.Account{}}
	err := s.query(ctx, "load watermark", `SELECT position, as_of FROM watermarks FINAL WHERE workspace = ?`, []any{ws},
		func(scan func(...any) error) error { return scan(&r.position, &r.asOf) })
	if err != nil {
		return nil, err
	}
	r.asOf = r.asOf.UTC()
	r.matcher, err = s.matcher(ctx, ws, r.position)
	return r, err
}

// unseen are those of ids that are not in seen, in order and once each.
func unseen[V any](ids []string, seen map[string]V) []string {
	var out []string
	for _, id := range ids {
		if _, ok := seen[id]; !ok && id != "" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// candidates loads clusters that may be attached with their most typical signals, and returns
// the places of those of their signals that came with input from or later; 0 asks for none.
// Retired and ignored clusters are left out.
func (r *reading) candidates(ctx context.Context, ids []string, from uint64) (fresh []place, err error) {
	ids = unseen(ids, r.typical)
	if len(ids) == 0 {
		return nil, nil
	}
	for _, id := range ids {
		r.typical[id] = nil
	}
	err = r.query(ctx, "load candidate clusters", `SELECT id, name, space, centroid FROM clusters FINAL
		WHERE workspace = ? AND id IN ? AND retired = 0 AND status != 'ignored'`, []any{r.workspace, ids},
		func(scan func(...any) error) error {
			var id string
			var c cluster
			err := scan(&id, &c.name, &c.space, &c.values)
			r.clusters[id] = c
			return err
		})
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { _, ok := r.clusters[id]; return !ok })
	if len(ids) == 0 {
		return nil, nil
	}
	text := `SELECT cluster, signal, item, similarity, position, 0 AS fresh FROM (SELECT cluster, signal, item, similarity, position
		FROM assignments FINAL WHERE workspace = ? AND cluster IN ? ORDER BY similarity DESC, signal LIMIT %d BY cluster)`
	args := []any{r.workspace, ids}
	if from > 0 {
		text += ` UNION ALL SELECT cluster, signal, item, similarity, position, 1 AS fresh FROM (SELECT cluster, signal, item, similarity, position
			FROM assignments FINAL WHERE workspace = ? AND cluster IN ? AND position >= ? ORDER BY position DESC, signal LIMIT ` + fmt.Sprint(freshSignals) + `)`
		args = append(args, r.workspace, ids, from)
	}
	err = r.query(ctx, "load evidence", fmt.Sprintf(text, evidencePer), args, func(scan func(...any) error) error {
		var p place
		var isFresh uint8
		err := scan(&p.cluster, &p.signal, &p.item, &p.similarity, &p.position, &isFresh)
		if p.fresh = isFresh != 0; p.fresh {
			fresh = append(fresh, p)
		} else {
			r.typical[p.cluster] = append(r.typical[p.cluster], p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []place
	for _, id := range ids {
		slices.SortFunc(r.typical[id], moreTypical)
		all = append(all, r.typical[id]...)
	}
	slices.SortFunc(fresh, moreTypical)
	return fresh, r.words(ctx, append(all, fresh...))
}

func moreTypical(a, b place) int {
	return cmp.Or(cmp.Compare(b.similarity, a.similarity), cmp.Compare(a.signal, b.signal))
}

// places tells where signals are; those that are nowhere (any more) are left out.
func (r *reading) places(ctx context.Context, signals []string) (map[string]place, error) {
	out := map[string]place{}
	if len(signals) == 0 {
		return out, nil
	}
	var all []place
	err := r.query(ctx, "find clusters of signals", `SELECT cluster, signal, item, similarity, position FROM assignments FINAL WHERE workspace = ? AND signal IN ?`,
		[]any{r.workspace, signals}, func(scan func(...any) error) error {
			var p place
			err := scan(&p.cluster, &p.signal, &p.item, &p.similarity, &p.position)
			out[p.signal] = p
			all = append(all, p)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, r.words(ctx, all)
}

// candidate is a loaded cluster with its most typical signals and those of others that it
// holds; ok is false for one that cannot be attached.
func (r *reading) candidate(id string, others []place) (c attach.Candidate, ok bool) {
	known, ok := r.clusters[id]
	if !ok {
		return c, false
	}
	c = attach.Candidate{Cluster: id, Name: known.name, Space: known.space, Centroid: known.values}
	seen := map[string]bool{}
	add := func(p place, near bool) {
		g, said := r.signals[p.signal]
		i, whole := r.items[p.item]
		if said && whole && !seen[p.signal] {
			seen[p.signal] = true
			c.Evidence = append(c.Evidence, attach.Evidence{Signal: p.signal, Quote: g.Quote, Text: i.Text, Vector: g.Vector, Near: near})
		}
	}
	for _, p := range r.typical[id] {
		add(p, false)
	}
	for _, p := range others {
		if p.cluster == id {
			add(p, true)
		}
	}
	return c, true
}

// words loads the signals at places and their items.
func (r *reading) words(ctx context.Context, at []place) error {
	signals, items := make([]string, len(at)), make([]string, len(at))
	for n, p := range at {
		signals[n], items[n] = p.signal, p.item
	}
	if signals = unseen(signals, r.signals); len(signals) > 0 {
		err := r.query(ctx, "load signals", `SELECT id, item, kind, span_start, span_end, quote, severity, customer, said_at, space FROM signals FINAL
			WHERE workspace = ? AND id IN ?`, []any{r.workspace, signals},
			func(scan func(...any) error) error {
				var g signal
				var kind string
				var start, end uint32
				var severity float32
				err := scan(&g.ID, &g.Item, &kind, &start, &end, &g.Quote, &severity, &g.Customer, &g.SaidAt, &g.space)
				g.Kind, g.Span, g.Severity = feedback.Kind(kind), feedback.Span{Start: int(start), End: int(end)}, float64(severity)
				r.signals[g.ID] = g
				return err
			})
		if err != nil {
			return err
		}
		vectors, err := r.vectors(ctx, signals)
		if err != nil {
			return err
		}
		for id, v := range vectors {
			if g, ok := r.signals[id]; ok && v.space == g.space {
				g.Vector = v.values
				r.signals[id] = g
			}
		}
	}
	if items = unseen(items, r.items); len(items) == 0 {
		return nil
	}
	return r.query(ctx, "load items", `SELECT id, text, url, source, customer_name, account_name FROM items FINAL WHERE workspace = ? AND id IN ?`,
		[]any{r.workspace, items}, func(scan func(...any) error) error {
			var i brief.Item
			var source string
			err := scan(&i.ID, &i.Text, &i.URL, &source, &i.Name, &i.Account)
			i.Source = feedback.Source(source)
			r.items[i.ID] = i
			return err
		})
}

// vectors are those of signals. One that is withdrawn may have one still.
func (r *reading) vectors(ctx context.Context, signals []string) (map[string]vector, error) {
	known, missing := r.recall.of(signals)
	if len(missing) == 0 {
		return known, nil
	}
	read := map[string]vector{}
	err := r.query(ctx, "load vectors", `SELECT id, space, vector FROM signals FINAL WHERE workspace = ? AND id IN ? AND length(vector) > 0`,
		[]any{r.workspace, missing}, func(scan func(...any) error) error {
			var id string
			var v vector
			err := scan(&id, &v.space, &v.values)
			read[id] = v.measured()
			return err
		})
	if err != nil {
		return nil, err
	}
	r.recall.keep(read)
	maps.Copy(known, read)
	return known, nil
}

// near tells what is near to each of the tickets by meaning: clusters, and signals among the
// newest (a large cluster's typical quotes need not be those that are about the ticket).
func (r *reading) near(ctx context.Context, tickets []attach.Ticket) (clusters, signals [][]string, err error) {
	clusters, signals = make([][]string, len(tickets)), make([][]string, len(tickets))
	space := r.Embedder.Space().ID()
	versions := map[string]string{} // of a cluster, by what its vector is kept under
	err = r.query(ctx, "find clusters", `SELECT id, version FROM clusters FINAL WHERE workspace = ? AND retired = 0 AND status != 'ignored' AND space = ?`,
		[]any{r.workspace, space}, func(scan func(...any) error) error {
			var id string
			var version uint64
			err := scan(&id, &version)
			versions[fmt.Sprintf("%s@%d", id, version)] = id
			return err
		})
	if err != nil {
		return nil, nil, err
	}
	known, missing := r.recall.of(slices.Collect(maps.Keys(versions)))
	if len(missing) > 0 {
		ids := make([]string, len(missing))
		for n, of := range missing {
			ids[n] = versions[of]
		}
		read := map[string]vector{}
		err := r.query(ctx, "load centroids", `SELECT id, version, space, centroid FROM clusters FINAL WHERE workspace = ? AND id IN ?`,
			[]any{r.workspace, ids}, func(scan func(...any) error) error {
				var id string
				var version uint64
				var v vector
				err := scan(&id, &version, &v.space, &v.values)
				of := fmt.Sprintf("%s@%d", id, version)
				versions[of], read[of] = id, v.measured()
				return err
			})
		if err != nil {
			return nil, nil, err
		}
		r.recall.keep(read)
		maps.Copy(known, read)
	}
	centroids := make(map[string]vector, len(known))
	for of, v := range known {
		centroids[versions[of]] = v
	}
	var newest []string
	err = r.query(ctx, "find newest signals", `SELECT id FROM signals FINAL WHERE workspace = ? AND space = ? ORDER BY said_at DESC, id LIMIT `+fmt.Sprint(newestSignals),
		[]any{r.workspace, space}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			newest = append(newest, id)
			return err
		})
	if err != nil {
		return nil, nil, err
	}
	said, err := r.vectors(ctx, newest)
	if err != nil {
		return nil, nil, err
	}
	for n, t := range tickets {
		clusters[n], signals[n] = nearest(t, centroids, nearClusters), nearest(t, said, nearSignals)
	}
	return clusters, signals, nil
}

// nearest lists the vectors nearest to a ticket's, at most most.
func nearest(t attach.Ticket, among map[string]vector, most int) []string {
	type near struct {
		id string
		by float32
	}
	var all []near
	for id, v := range among {
		if v.space == t.Space && len(v.values) == len(t.Vector) && v.length > 0 {
			all = append(all, near{id, embed.Dot(t.Vector, v.values) / v.length})
		}
	}
	slices.SortFunc(all, func(a, b near) int { return cmp.Or(cmp.Compare(b.by, a.by), cmp.Compare(a.id, b.id)) })
	out := make([]string, 0, most)
	for _, n := range all[:min(len(all), most)] {
		out = append(out, n.id)
	}
	return out
}
