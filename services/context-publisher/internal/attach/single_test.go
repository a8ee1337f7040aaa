package attach_test

import (
	"fmt"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
)

// crowd is a workspace in which many say unrelated things, and one what the ticket is about.
func crowd(t *testing.T, of attach.Ticket) ([]attach.Single, attach.Around) {
	t.Helper()
	quotes := []string{"Exporting to CSV stops on large boards"}
	for i := range 80 {
		quotes = append(quotes, fmt.Sprintf("item%d colour%d shape%d", i, i, i))
	}
	var said []attach.Single
	var cosines []float64
	for i, q := range quotes {
		v := vector(t, q)
		said = append(said, attach.Single{Evidence: attach.Evidence{Signal: fmt.Sprintf("sig_%d", i), Quote: q, Text: q, Vector: v}, Space: "lexical"})
		cosines = append(cosines, float64(embed.Dot(of.Vector, v)))
	}
	return said, attach.AroundOf(cosines)
}

func TestASignalThatStandsOutIsSuggestedByItself(t *testing.T) {
	t.Parallel()
	of := ticket(t, "CSV export stops on large boards", "")
	said, around := crowd(t, of)
	got := attach.Matcher{Corpus: &attach.Corpus{}}.Singles(of, said, around, nil)
	if len(got) != 1 || got[0].Signal != "sig_0" || got[0].Cluster != "" || got[0].ID() != "sig_0" || got[0].Mode == "" {
		t.Fatalf("got %+v", got)
	}
	if got[0].Terms["chance"] < attach.SingleBar || len(got[0].Reasons) != 2 || got[0].DecidedBy != "machine" {
		t.Errorf("got %+v", got[0])
	}
	if !around.StandsOut(of, "lexical", said[0].Vector) || around.StandsOut(of, "another space", said[0].Vector) || around.StandsOut(of, "lexical", said[1].Vector) {
		t.Error("what stands out is another signal, or one of another space")
	}
	if few := attach.AroundOf([]float64{1, 0, 0}); few.StandsOut(of, "lexical", said[0].Vector) {
		t.Error("one stood out among three")
	}
}

func TestAPersonRulesOnASingleSignalForGood(t *testing.T) {
	t.Parallel()
	of := ticket(t, "CSV export stops on large boards", "")
	said, around := crowd(t, of)
	got := attach.Matcher{Corpus: &attach.Corpus{}}.Singles(of, said, around, map[string]attach.Ruling{
		"sig_0": {Mode: feedback.Rejected, Decision: "dec_1", By: "ann"}, "sig_7": {Mode: feedback.Pinned, Decision: "dec_2", By: "ann"},
		"sig_gone": {Mode: feedback.Pinned, Decision: "dec_3", By: "ann"},
	})
	modes := map[string]feedback.Mode{}
	for _, m := range got {
		modes[m.Signal] = m.Mode
		if m.DecidedBy != "ann" || m.Decision == "" {
			t.Errorf("%s was decided by %q", m.Signal, m.DecidedBy)
		}
	}
	if len(got) != 3 || modes["sig_0"] != feedback.Rejected || modes["sig_7"] != feedback.Pinned || modes["sig_gone"] != feedback.Pinned {
		t.Errorf("got %v", modes)
	}
}

func TestACustomerWhoNamesTheTicketIsAttachedAloneToo(t *testing.T) {
	t.Parallel()
	of := ticket(t, "Something else", "")
	said, around := crowd(t, of)
	said[3].Text = "as PROJ-7 says"
	got := attach.Matcher{Corpus: &attach.Corpus{}}.Singles(of, append(said, said[3]), around, nil)
	if len(got) != 1 || got[0].Signal != "sig_3" || got[0].Mode != feedback.Automatic {
		t.Errorf("got %+v", got)
	}
}

func TestNobodyIsAskedAboutMoreThanAPageOfSignals(t *testing.T) {
	t.Parallel()
	of := ticket(t, "CSV export stops on large boards", "")
	said, around := crowd(t, of)
	for i := range 20 {
		again := said[0]
		again.Signal = fmt.Sprintf("sig_again_%d", i)
		said = append(said, again)
	}
	board := attach.NewBoard(&attach.Corpus{})
	board.Put(of)
	twin := of
	twin.Key = "PROJ-8"
	board.Put(twin) // so that no lead makes any of them automatic
	if got := (attach.Matcher{Corpus: &attach.Corpus{}, Board: board}).Singles(of, said, around, nil); len(got) != attach.MostSingles {
		t.Errorf("%d signals wait for a person", len(got))
	}
}
