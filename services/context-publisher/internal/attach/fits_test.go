package attach_test

import (
	"testing"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
)

func TestFitsSaysWhatMatchSays(t *testing.T) {
	t.Parallel()
	m, candidates := world(t)
	tickets := []attach.Ticket{
		ticket(t, "CSV export stops on large boards", "Exports of big boards stop half way."),
		ticket(t, "PDF export cuts the legend off", ""),
		ticket(t, "Something else", "See clu_login for who asks."),
		ticket(t, "Upgrade the build", "Nobody asked."),
		{Key: "OPS-9", Title: "Rotate the certificates"},
	}
	m.Board = attach.NewBoard(m.Corpus)
	for _, of := range tickets {
		m.Board.Put(of)
	}
	found := 0
	for _, c := range candidates {
		fit := map[string]bool{}
		for _, of := range m.Fits(c, tickets) {
			fit[of.Title] = true
			found++
		}
		for _, of := range tickets {
			if got := m.Match(of, []attach.Candidate{c}, nil); fit[of.Title] != (len(got) > 0) {
				t.Errorf("%s and %q: fits %v, matches %+v", c.Cluster, of.Title, fit[of.Title], got)
			}
			relevant := m.Relevant(of)
			for _, e := range c.Evidence {
				if got, want := relevant(e.Quote, c.Space, e.Vector), m.Relevance(of, e.Quote, c.Space, e.Vector); got != want {
					t.Errorf("%q is relevant to %q by %v, want %v", e.Quote, of.Title, got, want)
				}
			}
		}
	}
	if found == 0 {
		t.Error("nothing fits anything")
	}
}

func TestTextsThatNameATicketHoldARunOfItsKeyOrURL(t *testing.T) {
	t.Parallel()
	for _, of := range []attach.Ticket{
		{Key: "PROJ-12", URL: "https://jira.example/browse/PROJ-12"},
		{Key: "acme/web#7", URL: "https://github.example/acme/web/issues/7"},
	} {
		key, url := attach.Runs(of.Key)[0], attach.Runs(of.URL)
		for text, want := range map[string]bool{
			"see " + of.Key + ".": true, "(" + of.URL + ")": true, "x" + of.Key: false, of.Key + "3": false, "nothing": false,
		} {
			if got := attach.Refers(of, attach.Candidate{Evidence: []attach.Evidence{{Text: text}}}); got != want {
				t.Errorf("%q names %s: %v, want %v", text, of.Key, got, want)
			}
			held := false
			for _, w := range attach.Runs(text) {
				held = held || w == key || w == url[len(url)-1]
			}
			if want && !held {
				t.Errorf("%q names %s and holds neither %q nor %q", text, of.Key, key, url[len(url)-1])
			}
		}
	}
}
