package page

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	Clusters        []row
	Kind, Status, Q string
	Kinds           []feedback.Kind
	Statuses        []string
	Filtered        bool
	Next            string
}

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
	v := roadmapView{Kind: q.Get("kind"), Status: q.Get("status"), Q: q.Get("q"), Kinds: feedback.Kinds[:6], Statuses: api.Statuses}
	v.Filtered = v.Kind+v.Status+v.Q != ""
	if v.Kind != "" && !slices.Contains(v.Kinds, feedback.Kind(v.Kind)) || v.Status != "" && !slices.Contains(v.Statuses, v.Status) {
		return invalid("This filter does not exist.")
	}
	page, err := req.workspace.Clusters(req.r.Context(), read.ClusterQuery{Kind: v.Kind, Status: v.Status, Q: v.Q, Limit: perPage, Cursor: q.Get("cursor")})
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
	Others  []read.Cluster
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
	others, err := req.workspace.Clusters(ctx, read.ClusterQuery{Limit: api.MaxLimit})
	if err != nil {
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
	v.Others = slices.DeleteFunc(others.Items, func(o read.Cluster) bool { return o.ID == c.ID })
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
	Revisions []uint64
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
	for r := t.Revision; r > 0 && len(v.Revisions) < 12; r-- {
		v.Revisions = append(v.Revisions, r)
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
	v := feedbackView{Q: q.Get("q"), Source: q.Get("source"), Sources: []feedback.Source{feedback.Slack, feedback.Intercom, feedback.Zendesk, feedback.Webhook, feedback.Email, feedback.Import}}
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

func (p *Page) feedbackItem(req *request) error {
	item, err := req.workspace.FeedbackItem(req.r.Context(), req.r.PathValue("id"))
	if err != nil {
		return err
	}
	return p.show(req, http.StatusOK, "item", "Feedback item", "feedback", item)
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
