package page

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/picture"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// Desk answers what only people at the page ask of a workspace: what waits for them, how
// things flow, and what is drawn.
type Desk interface {
	Facets(ctx context.Context, workspace string) (read.Facets, error)
	Similar(ctx context.Context, workspace, cluster string, limit int) ([]read.Similar, error)
	Facts(ctx context.Context, workspace, cluster string) ([]read.Fact, error)
	Revisions(ctx context.Context, workspace string, tracker feedback.Tracker, key string) ([]read.Revision, error)
	Suggestions(ctx context.Context, workspace string, limit int) ([]read.Suggestion, error)
	Alike(ctx context.Context, workspace string, limit int) ([]read.Pair, error)
	Parts(ctx context.Context, workspace string, limit int) ([]read.Part, error)
	Unsure(ctx context.Context, workspace string, limit int) ([]read.Signal, error)
	Quarrels(ctx context.Context, workspace string, limit int) ([]read.Quarrel, error)
	Delivery(ctx context.Context, workspace, item string) (read.Delivery, error)
	Quality(ctx context.Context, workspace string, now time.Time) (read.Quality, error)
	Decisions(ctx context.Context, workspace string, limit int, cursor string) (read.Page[read.Decision], error)
	Flow(ctx context.Context, workspace string, now time.Time) ([]read.Stage, error)
	Days(ctx context.Context, workspace string, clusters []string, now time.Time, days int) (map[string][]int, error)
	Points(ctx context.Context, workspace, cluster string) ([]read.Point, error)
}

// How much a person is asked at a time, and how many days are drawn.
const (
	askedSuggestions = 50
	askedPairs       = 5
	askedParts       = 5
	askedUnsure      = 10
	askedQuarrels    = 10
	askedSimilar     = 40
	drawnDays        = 60
)

// The kinds of questions in the inbox.
const (
	aboutTickets  = "tickets"
	aboutMerges   = "merges"
	aboutSplits   = "splits"
	aboutKinds    = "kinds"
	aboutQuarrels = "contradictions"
)

type inboxView struct {
	Asks   []ask
	About  string // the kind that is asked for, "" for all
	Counts []tally
}

// tally is how many questions of a kind there are.
type tally struct {
	About, Says string
	Many        int
}

// ask is one question to a person; the field that is set is what it is about. Worth orders
// them: about how many people's words the decision moves, times how sure the machine is that
// something has to be decided. Work that is under way counts twice.
type ask struct {
	About      string
	Worth      float64
	Suggestion *read.Suggestion
	Pair       *read.Pair
	Part       *read.Part
	Signal     *read.Signal
	Quarrel    *read.Quarrel
}

func (p *Page) inbox(req *request) error {
	v := inboxView{About: req.r.URL.Query().Get("about"), Counts: []tally{{aboutTickets, "Tickets", 0}, {aboutMerges, "Merges", 0}, {aboutSplits, "Splits", 0}, {aboutKinds, "Kinds", 0}, {aboutQuarrels, "Contradictions", 0}}}
	if v.About != "" && !slices.ContainsFunc(v.Counts, func(t tally) bool { return t.About == v.About }) {
		return invalid("There are no such questions.")
	}
	all, err := p.asks(req.r.Context(), req.who.Workspace)
	if err != nil {
		return err
	}
	for i := range v.Counts {
		for _, a := range all {
			if a.About == v.Counts[i].About {
				v.Counts[i].Many++
			}
		}
	}
	for _, a := range all {
		if v.About == "" || v.About == a.About {
			v.Asks = append(v.Asks, a)
		}
	}
	return p.show(req, http.StatusOK, "inbox", "Inbox", "inbox", v)
}

func (p *Page) asks(ctx context.Context, workspace string) ([]ask, error) {
	var all []ask
	suggestions, err := p.o.Desk.Suggestions(ctx, workspace, askedSuggestions)
	if err != nil {
		return nil, err
	}
	for _, s := range suggestions {
		worth := float64(s.Voices) * s.Attachment.Score
		if s.Ticket.Category == feedback.InProgress {
			worth *= 2
		}
		all = append(all, ask{About: aboutTickets, Worth: worth, Suggestion: &s})
	}
	pairs, err := p.o.Desk.Alike(ctx, workspace, askedPairs)
	if err != nil {
		return nil, err
	}
	for _, x := range pairs {
		all = append(all, ask{About: aboutMerges, Worth: float64(min(x.One.Voices, x.Other.Voices)) * x.Similarity, Pair: &x})
	}
	parts, err := p.o.Desk.Parts(ctx, workspace, askedParts)
	if err != nil {
		return nil, err
	}
	for _, x := range parts {
		all = append(all, ask{About: aboutSplits, Worth: float64(len(x.Signals)) * x.Apart, Part: &x})
	}
	unsure, err := p.o.Desk.Unsure(ctx, workspace, askedUnsure)
	if err != nil {
		return nil, err
	}
	for _, x := range unsure {
		all = append(all, ask{About: aboutKinds, Worth: 1 - float64(x.Confidence), Signal: &x})
	}
	quarrels, err := p.o.Desk.Quarrels(ctx, workspace, askedQuarrels)
	if err != nil {
		return nil, err
	}
	for _, x := range quarrels { // two people's time was spent on it already
		all = append(all, ask{About: aboutQuarrels, Worth: 2, Quarrel: &x})
	}
	slices.SortStableFunc(all, func(a, b ask) int { return cmp.Compare(b.Worth, a.Worth) })
	return all, nil
}

type qualityView struct {
	read.Quality
	Corrections read.Corrections
	Figures     []evaluated
}

// evaluated is a figure that ships with the product.
type evaluated struct{ What, Figure, Set string }

// evaluations are the figures of the models that ship with this version, as make eval prints
// them; README.md has the same.
func evaluations() []evaluated {
	return []evaluated{
		{"Signals found in items: F1 of their spans", "0.88", "220 labelled items"},
		{"Quotes that are verbatim spans of what was said", "100 %", "220 labelled items, and checked of every quote shown"},
		{"Planted facts that a brief of 1,000 tokens tells, with the right conversations attached", "174 of 174", "22 handoff scenarios"},
	}
}

func (p *Page) quality(req *request) error {
	q, err := p.o.Desk.Quality(req.r.Context(), req.who.Workspace, p.o.Now())
	if err != nil {
		return err
	}
	c, err := req.workspace.Corrections(req.r.Context())
	if err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "quality", "Quality", "quality", qualityView{q, c, evaluations()})
}

type decisionsView struct {
	Decisions []read.Decision
	Next      string
}

func (p *Page) decisions(req *request) error {
	page, err := p.o.Desk.Decisions(req.r.Context(), req.who.Workspace, perPage, req.r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "decisions", "Decisions", "decisions", decisionsView{page.Items, onward(req.r, page.NextCursor)})
}

type auditView struct {
	Deeds []read.Deed
	Next  string
}

func (p *Page) audit(req *request) error {
	page, err := req.workspace.Audit(req.r.Context(), perPage, req.r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "audit", "Audit log", "audit", auditView{page.Items, onward(req.r, page.NextCursor)})
}

// connections and dead letters are the ingestor's to tell: the page's script asks /v1.
func (p *Page) connections(req *request) error {
	return p.show(req, http.StatusOK, "connections", "Connections", "connections", nil)
}

func (p *Page) operations(req *request) error {
	flow, err := p.o.Desk.Flow(req.r.Context(), req.who.Workspace, p.o.Now())
	if err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "operations", "Operations", "operations", flow)
}

// column is one day of a timeline as it is drawn, in a box of 100 by 100 from the top left.
type column struct {
	X, Y, Width, Height float64
	Voices              int
	Day                 time.Time
}

// timeline draws voices by day, the busiest day filling the height.
func timeline(voices []int, now time.Time) []column {
	most := 1
	for _, n := range voices {
		most = max(most, n)
	}
	width := 100 / float64(max(1, len(voices)))
	last := now.UTC().Truncate(24 * time.Hour)
	out := make([]column, len(voices))
	for i, n := range voices {
		height := 100 * float64(n) / float64(most)
		out[i] = column{float64(i) * width, 100 - height, width * 0.8, height, n, last.AddDate(0, 0, i+1-len(voices))}
	}
	return out
}

// dot is a signal on the map of a cluster, in a box of 100 by 100.
type dot struct {
	Signal, Quote string
	X, Y          float64
}

// least is how many signals make a map worth looking at.
const least = 6

func dots(points []read.Point) []dot {
	if len(points) < least {
		return nil
	}
	vectors := make([][]float32, len(points))
	for i, p := range points {
		vectors[i] = p.Vector
	}
	out := make([]dot, len(points))
	for i, s := range picture.Plane(vectors) {
		out[i] = dot{points[i].Signal, points[i].Quote, 3 + 94*round(s.X), 3 + 94*round(s.Y)}
	}
	return out
}

func round(x float64) float64 { return math.Round(1000*x) / 1000 }
