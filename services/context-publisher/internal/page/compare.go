package page

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/difference"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

type compareView struct {
	read.TicketDetail
	From, To  uint64
	Sections  []compared
	Revisions []read.Revision
	Changes   int // lines that differ
}

// compared is one part of a brief in two revisions.
type compared struct {
	Title   string
	Lines   []difference.Line
	Changed int
}

// compare shows two revisions of a ticket's brief against each other: those that the address
// names, or the one that work began with (else the one before) and the newest.
func (p *Page) compare(req *request) error {
	ctx := req.r.Context()
	tracker, key := feedback.Tracker(req.r.PathValue("tracker")), req.r.PathValue("key")
	t, err := req.workspace.Ticket(ctx, tracker, key)
	if err != nil {
		return err
	}
	if t.Revision == 0 {
		return api.ErrNotFound
	}
	v := compareView{TicketDetail: t}
	if v.To, err = revision(req, "to", t.Revision); err != nil {
		return err
	}
	before := max(1, v.To-1)
	if t.PickedUp > 0 && t.PickedUp < v.To {
		before = t.PickedUp
	}
	if v.From, err = revision(req, "from", before); err != nil {
		return err
	}
	old, err := req.workspace.Brief(ctx, tracker, key, v.From)
	if err != nil {
		return err
	}
	now, err := req.workspace.Brief(ctx, tracker, key, v.To)
	if err != nil {
		return err
	}
	if v.Revisions, err = p.o.Desk.Revisions(ctx, req.who.Workspace, tracker, key); err != nil {
		return err
	}
	was, is := statements(old), statements(now)
	for i, s := range was {
		c := compared{Title: s.title, Lines: difference.Lines(s.lines, is[i].lines)}
		for _, l := range c.Lines {
			if l.Changed() {
				c.Changed++
			}
		}
		v.Changes += c.Changed
		if len(c.Lines) > 0 {
			v.Sections = append(v.Sections, c)
		}
	}
	return p.show(req, http.StatusOK, "compare", t.Key+", revisions "+strconv.FormatUint(v.From, 10)+" and "+strconv.FormatUint(v.To, 10), "tickets", v)
}

func revision(req *request, name string, otherwise uint64) (uint64, error) {
	s := req.r.URL.Query().Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 {
		return 0, invalid("A revision is a number from 1.")
	}
	return n, nil
}

// part is a part of a brief, a statement a line.
type part struct {
	title string
	lines []string
}

// statements writes a brief as lines that can be compared: always the same parts, in the same
// order, and without what moves by itself (how long ago, exact matches).
func statements(b brief.Brief) []part {
	line := func(s string) string { return strings.Join(strings.Fields(brief.Clean(s)), " ") }
	quotes := func(all []brief.Quote) []string {
		var out []string
		for _, q := range all {
			who := cmp.Or(q.Name, "a customer")
			if q.Account != "" {
				who += ", " + q.Account
			}
			out = append(out, line("“"+q.Text+"” "+who))
		}
		return out
	}
	need := part{"Who needs this", []string{line(brief.Sum(b)), line(fmt.Sprintf("Severity %s, %s.", b.Severity.Level, b.Trend.Word))}}
	if b.Status != "" {
		need.lines = append(need.lines, line("The ticket is "+b.Status+"."))
	}
	clusters := part{title: "Attached clusters"}
	for _, c := range b.Clusters {
		clusters.lines = append(clusters.lines, line(fmt.Sprintf("%s: %s, rank %d of %d, %s", c.Name, c.Mode, c.Rank, c.Of, count(c.Voices, "voice", "voices"))))
	}
	edges := part{title: "Edge cases"}
	for _, e := range b.EdgeCases {
		edges.lines = append(edges.lines, line(fmt.Sprintf("%s: %s, %s", e.Facet, e.Value, count(e.Voices, "voice", "voices"))))
	}
	people := part{title: "Who asks"}
	for _, p := range b.Asking.People {
		who := cmp.Or(p.Name, "a customer without a name")
		for _, s := range []string{p.Account, p.Plan} {
			if s != "" {
				who += ", " + s
			}
		}
		if p.Worth != nil {
			who += ", " + brief.Amount(*p.Worth) + " a year"
		}
		people.lines = append(people.lines, line(who+", last said something on "+p.LastSaid.UTC().Format(time.DateOnly)))
	}
	return []part{need, {"The need, in their words", quotes(b.Need)}, {"More of their words", quotes(b.Quotes)}, {"Who is content, or wants the opposite", quotes(b.Opposed)},
		edges, {"Not known", b.Unknown}, {"Asked and not answered", quotes(b.Questions)}, people, clusters}
}
