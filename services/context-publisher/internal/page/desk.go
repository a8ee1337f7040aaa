package page

import (
	"context"
	"math"
	"net/http"
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
	Decisions(ctx context.Context, workspace string, limit int, cursor string) (read.Page[read.Decision], error)
	Flow(ctx context.Context, workspace string, now time.Time) ([]read.Stage, error)
	Days(ctx context.Context, workspace string, clusters []string, now time.Time, days int) (map[string][]int, error)
	Points(ctx context.Context, workspace, cluster string) ([]read.Point, error)
}

// How much a person is asked at a time, and how many days are drawn.
const (
	askedSuggestions = 50
	askedPairs       = 5
	askedSimilar     = 40
	drawnDays        = 60
)

type inboxView struct {
	Suggestions []read.Suggestion
	Pairs       []read.Pair
}

func (p *Page) inbox(req *request) error {
	ctx := req.r.Context()
	suggestions, err := p.o.Desk.Suggestions(ctx, req.who.Workspace, askedSuggestions)
	if err != nil {
		return err
	}
	pairs, err := p.o.Desk.Alike(ctx, req.who.Workspace, askedPairs)
	if err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "inbox", "Inbox", "inbox", inboxView{suggestions, pairs})
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
