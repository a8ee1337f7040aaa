package page

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/digest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// perPage is how many rows a list shows.
const perPage = 50

type roadmapView struct {
	filter
	read.Facets
	Clusters []row
	Kinds    []feedback.Kind
	Statuses []string
	Sources  []feedback.Source
	Spans    []span
	Chips    []chip
	Next     string
}

// filter is what the address of the roadmap asks for.
type filter struct{ Kind, Status, Source, Segment, Area, Since, Q string }

// span is a stretch of time before now that can be asked for.
type span struct {
	Value, Says string
	days        int
}

func spans() []span {
	return []span{{"7d", "the last 7 days", 7}, {"30d", "the last 30 days", 30}, {"90d", "the last 90 days", 90}}
}

// chip is one condition that is in force, and the address without it.
type chip struct{ Says, Without string }

// row is a cluster in the ranking: Top is the best score on the page, which bars are
// drawn against, Short what it lacks to the cluster above it, and Days how many people
// spoke on each.
type row struct {
	read.Cluster
	Top, Short float64
	Above      string
	Days       []column
}

func (p *Page) roadmap(req *request) error {
	q := req.r.URL.Query()
	v := roadmapView{filter: filter{q.Get("kind"), q.Get("status"), q.Get("source"), q.Get("segment"), q.Get("area"), q.Get("since"), strings.TrimSpace(q.Get("q"))},
		Kinds: feedback.Kinds[:6], Statuses: api.Statuses, Sources: api.Sources, Spans: spans()}
	ask := read.ClusterQuery{Kind: v.Kind, Status: v.Status, Q: v.Q, Source: v.Source, Segment: v.Segment, Area: v.Area, Limit: perPage, Cursor: q.Get("cursor")}
	if v.Kind != "" && !slices.Contains(v.Kinds, feedback.Kind(v.Kind)) || v.Status != "" && !slices.Contains(v.Statuses, v.Status) || v.Source != "" && !slices.Contains(v.Sources, feedback.Source(v.Source)) {
		return invalid("This filter does not exist.")
	}
	if v.Since != "" {
		i := slices.IndexFunc(v.Spans, func(s span) bool { return s.Value == v.Since })
		if i < 0 {
			return invalid("This filter does not exist.")
		}
		ask.Since = p.o.Now().UTC().Truncate(time.Hour).AddDate(0, 0, -v.Spans[i].days)
	}
	v.Chips = v.filter.chips(req.r.URL)
	var err error
	if v.Facets, err = p.o.Desk.Facets(req.r.Context(), req.who.Workspace); err != nil {
		return err
	}
	page, err := req.workspace.Clusters(req.r.Context(), ask)
	if err != nil {
		return err
	}
	top := 0.01
	var ids []string
	for _, c := range page.Items {
		top = max(top, c.Score)
		ids = append(ids, c.ID)
	}
	days, err := p.o.Desk.Days(req.r.Context(), req.who.Workspace, ids, p.o.Now(), drawnDays)
	if err != nil {
		return err
	}
	for i, c := range page.Items {
		r := row{Cluster: c, Top: top, Days: timeline(days[c.ID], p.o.Now())}
		if i > 0 && c.Rank > 1 && page.Items[i-1].Rank == c.Rank-1 {
			r.Short, r.Above = page.Items[i-1].Score-c.Score, page.Items[i-1].Name
		}
		v.Clusters = append(v.Clusters, r)
	}
	v.Next = onward(req.r, page.NextCursor)
	return p.show(req, http.StatusOK, "roadmap", "Roadmap", "roadmap", v)
}

// chips names the conditions in force, each with the address that lacks it.
func (f filter) chips(at *url.URL) []chip {
	var all []chip
	add := func(name, value, says string) {
		if value == "" {
			return
		}
		q := at.Query()
		q.Del(name)
		q.Del("cursor")
		q.Del("decided")
		to := "/"
		if len(q) > 0 {
			to += "?" + q.Encode()
		}
		all = append(all, chip{says, to})
	}
	add("q", f.Q, "“"+f.Q+"”")
	add("kind", f.Kind, kinds[feedback.Kind(f.Kind)])
	add("status", f.Status, strings.ReplaceAll(f.Status, "_", " "))
	add("source", f.Source, "heard in "+f.Source)
	add("segment", f.Segment, "segment "+f.Segment)
	add("area", f.Area, "area "+f.Area)
	for _, s := range spans() {
		if s.Value == f.Since {
			add("since", f.Since, s.Says)
		}
	}
	return all
}

// why answers the part of a cluster's page that says what would change its rank, for the
// roadmap to show in place.
func (p *Page) why(req *request) error {
	e, err := req.workspace.Explain(req.r.Context(), req.r.PathValue("id"))
	if err != nil {
		return err
	}
	return p.render(req.w, http.StatusOK, "why", frame{View: e})
}

// onward is the address of the next page of a list, "" after the last.
func onward(r *http.Request, cursor string) string {
	if cursor == "" {
		return ""
	}
	q := r.URL.Query()
	q.Set("cursor", cursor)
	q.Del("decided")
	return r.URL.EscapedPath() + "?" + q.Encode()
}

type clusterView struct {
	row
	Signals []read.Signal
	Next    string
	Asking  []asking
	History []read.Event
	Similar []read.Similar
	Facts   []read.Fact
	Why     *read.Explanation
	Map     []dot
}

// asking is an account, or a customer without one, and how often it spoke.
type asking struct {
	Name   string
	People []string
	Said   int
	Last   time.Time
}

func (p *Page) cluster(req *request) error {
	ctx, id := req.r.Context(), req.r.PathValue("id")
	c, err := req.workspace.Cluster(ctx, id)
	if err != nil {
		return err
	}
	if c.ID != id { // it was merged
		http.Redirect(req.w, req.r, "/clusters/"+url.PathEscape(c.ID), http.StatusSeeOther)
		return nil
	}
	signals, err := req.workspace.Signals(ctx, c.ID, perPage, req.r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	history, err := req.workspace.History(ctx, c.ID)
	if err != nil {
		return err
	}
	v := clusterView{row: row{Cluster: c, Top: max(.01, c.Score)}, Signals: signals.Items, Next: onward(req.r, signals.NextCursor), History: slices.Clone(history), Asking: whoAsks(signals.Items)}
	slices.SortStableFunc(v.History, func(a, b read.Event) int { return b.At.Compare(a.At) })
	if v.Similar, err = p.o.Desk.Similar(ctx, req.who.Workspace, c.ID, askedSimilar); err != nil {
		return err
	}
	if v.Facts, err = p.o.Desk.Facts(ctx, req.who.Workspace, c.ID); err != nil {
		return err
	}
	if why, err := req.workspace.Explain(ctx, c.ID); err == nil {
		v.Why = &why
	} else if !errors.Is(err, api.ErrNotFound) {
		return err
	}
	days, err := p.o.Desk.Days(ctx, req.who.Workspace, []string{c.ID}, p.o.Now(), drawnDays)
	if err != nil {
		return err
	}
	v.Days = timeline(days[c.ID], p.o.Now())
	points, err := p.o.Desk.Points(ctx, req.who.Workspace, c.ID)
	if err != nil {
		return err
	}
	v.Map = dots(points)
	return p.show(req, http.StatusOK, "cluster", c.Name, "roadmap", v)
}

func whoAsks(signals []read.Signal) []asking {
	var all []asking
	for _, s := range signals {
		name, person := cmp.Or(s.Account.Name, s.Customer.Name, "A customer without a name"), ""
		if s.Account.Name != "" {
			person = s.Customer.Name
		}
		i := slices.IndexFunc(all, func(a asking) bool { return a.Name == name })
		if i < 0 {
			i = len(all)
			all = append(all, asking{Name: name})
		}
		all[i].Said++
		if s.SaidAt.After(all[i].Last) {
			all[i].Last = s.SaidAt
		}
		if person != "" && !slices.Contains(all[i].People, person) {
			all[i].People = append(all[i].People, person)
		}
	}
	slices.SortStableFunc(all, func(a, b asking) int { return cmp.Compare(b.Said, a.Said) })
	return all
}

type ticketsView struct {
	Tickets []read.TicketHead
	Next    string
}

func (p *Page) tickets(req *request) error {
	page, err := req.workspace.Tickets(req.r.Context(), perPage, req.r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "tickets", "Tickets", "tickets", ticketsView{page.Items, onward(req.r, page.NextCursor)})
}

type ticketView struct {
	read.TicketDetail
	Brief     *brief.Brief
	Asked     uint64 // the revision that was asked for, 0 for the newest
	Changes   *brief.Changes
	Revisions []read.Revision
}

func (p *Page) ticket(req *request) error {
	ctx := req.r.Context()
	tracker, key := feedback.Tracker(req.r.PathValue("tracker")), req.r.PathValue("key")
	t, err := req.workspace.Ticket(ctx, tracker, key)
	if err != nil {
		return err
	}
	v := ticketView{TicketDetail: t}
	if s := req.r.URL.Query().Get("revision"); s != "" {
		if v.Asked, err = strconv.ParseUint(s, 10, 63); err != nil || v.Asked == 0 {
			return invalid("A revision is a number from 1.")
		}
	}
	b, err := req.workspace.Brief(ctx, tracker, key, v.Asked)
	switch {
	case errors.Is(err, api.ErrNotFound) && v.Asked == 0:
		// no brief yet
	case err != nil:
		return err
	default:
		v.Brief = &b
	}
	// What is compared: an older revision with the newest, or else the pick-up with it.
	since := cmp.Or(v.Asked, t.PickedUp)
	if v.Brief != nil && since > 0 && since != t.Revision {
		c, err := req.workspace.Changes(ctx, tracker, key, read.Since{Revision: since})
		if err != nil && !errors.Is(err, api.ErrNotFound) {
			return err
		} else if err == nil {
			v.Changes = &c.Changes
		}
	}
	if v.Revisions, err = p.o.Desk.Revisions(ctx, req.who.Workspace, tracker, key); err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "ticket", t.Key, "tickets", v)
}

type feedbackView struct {
	Items     []read.Item
	Q, Source string
	Sources   []feedback.Source
	Filtered  bool
	Next      string
}

func (p *Page) feedback(req *request) error {
	q := req.r.URL.Query()
	v := feedbackView{Q: q.Get("q"), Source: q.Get("source"), Sources: api.Sources}
	v.Filtered = v.Q+v.Source != "" || q.Get("customer") != ""
	if v.Source != "" && !slices.Contains(v.Sources, feedback.Source(v.Source)) {
		return invalid("This source does not exist.")
	}
	page, err := req.workspace.Feedback(req.r.Context(), read.FeedbackQuery{Q: v.Q, Source: v.Source, Customer: q.Get("customer"), Limit: perPage, Cursor: q.Get("cursor")})
	if err != nil {
		return err
	}
	v.Items, v.Next = page.Items, onward(req.r, page.NextCursor)
	return p.show(req, http.StatusOK, "feedback", "Feedback", "feedback", v)
}

type itemView struct {
	read.Item
	Raw *read.Delivery
}

func (p *Page) feedbackItem(req *request) error {
	item, err := req.workspace.FeedbackItem(req.r.Context(), req.r.PathValue("id"))
	if err != nil {
		return err
	}
	v := itemView{Item: item}
	raw, err := p.o.Desk.Delivery(req.r.Context(), req.who.Workspace, item.ID)
	if err == nil {
		v.Raw = &raw
	} else if !errors.Is(err, api.ErrNotFound) {
		return err
	}
	return p.show(req, http.StatusOK, "item", "Feedback item", "feedback", v)
}

func (p *Page) digestToday(req *request) error {
	date := p.o.Now().UTC().Format(time.DateOnly)
	if d, err := req.workspace.Digest(req.r.Context(), time.Time{}); err == nil {
		date = d.Date
	}
	if d := req.r.URL.Query().Get("date"); d != "" {
		date = d
	}
	http.Redirect(req.w, req.r, "/digest/"+url.PathEscape(date), http.StatusSeeOther)
	return nil
}

type digestView struct {
	Date, Before, After string
	Digest              *digest.Digest
}

func (p *Page) digest(req *request) error {
	date, err := time.Parse(time.DateOnly, req.r.PathValue("date"))
	if err != nil {
		return invalid("A date is written 2026-11-22.")
	}
	v := digestView{Date: date.Format(time.DateOnly), Before: date.AddDate(0, 0, -1).Format(time.DateOnly)}
	if after := date.AddDate(0, 0, 1); !after.After(p.o.Now()) {
		v.After = after.Format(time.DateOnly)
	}
	d, err := req.workspace.Digest(req.r.Context(), date)
	if err == nil {
		v.Digest = &d
	} else if !errors.Is(err, api.ErrNotFound) {
		return err
	}
	return p.show(req, http.StatusOK, "digest", "Digest of "+v.Date, "digest", v)
}
