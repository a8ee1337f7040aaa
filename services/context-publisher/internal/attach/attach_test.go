package attach_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
)

var clusters = map[string][]string{
	"clu_exports": {"The CSV export stops half way on large boards", "Exporting to CSV stops after 10,000 rows", "CSV exports of big boards are cut off"},
	"clu_pdf":     {"The PDF export cuts off the legend on A4", "Legend is missing in the PDF I exported"},
	"clu_login":   {"Two factor codes arrive too late to sign in", "I cannot sign in because the code comes after ten minutes"},
	"clu_named":   {"Any news on PROJ-7? My boss keeps asking"},
	"clu_thanks":  {"Thank you so much for the quick help"},
}

func vector(t testing.TB, text string) []float32 {
	t.Helper()
	v, err := embed.Lexical().Embed(t.Context(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	return v[0]
}

func world(t testing.TB) (attach.Matcher, []attach.Candidate) {
	t.Helper()
	corpus := &attach.Corpus{}
	var out []attach.Candidate
	for id, quotes := range clusters {
		c := attach.Candidate{Cluster: id, Name: quotes[0], Space: "lexical", Centroid: make([]float32, len(vector(t, "x")))}
		for _, q := range quotes {
			corpus.Add(q)
			v := vector(t, q)
			for i := range v {
				c.Centroid[i] += v[i]
			}
			c.Evidence = append(c.Evidence, attach.Evidence{Signal: q, Quote: q, Text: q, Vector: v})
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b attach.Candidate) int { return strings.Compare(a.Cluster, b.Cluster) })
	return attach.Matcher{Corpus: corpus}, out
}

func ticket(t testing.TB, title, body string) attach.Ticket {
	return attach.Ticket{Key: "PROJ-7", URL: "https://jira.example/browse/PROJ-7", Title: title, Body: body, Space: "lexical", Vector: vector(t, title+"\n"+body)}
}

func mode(matches []attach.Match, cluster string) feedback.Mode {
	for _, m := range matches {
		if m.Cluster == cluster {
			return m.Mode
		}
	}
	return ""
}

func TestTheRightClusterIsAttachedAndItSaysWhy(t *testing.T) {
	t.Parallel()
	m, candidates := world(t)
	got := m.Match(ticket(t, "CSV export stops on large boards", "Exports of big boards stop half way. Logs are attached."), candidates, nil)
	if mode(got, "clu_exports") != feedback.Automatic || mode(got, "clu_login") != "" || mode(got, "clu_thanks") != "" || mode(got, "clu_pdf") == feedback.Automatic {
		t.Fatalf("got %+v", got)
	}
	i := slices.IndexFunc(got, func(m attach.Match) bool { return m.Cluster == "clu_exports" })
	best := got[i]
	if best.Score != attach.Score(best.Terms["meaning"], best.Terms["words"], best.Terms["reference"]) {
		t.Errorf("the score %v is not what its terms %v give", best.Score, best.Terms)
	}
	if len(best.Reasons) != 3 || !slices.Contains(clusters["clu_exports"], best.Reasons[1]) || best.DecidedBy != "machine" {
		t.Errorf("reasons are %q, decided by %q", best.Reasons, best.DecidedBy)
	}
}

func TestTheBodyMatters(t *testing.T) {
	t.Parallel()
	m, candidates := world(t)
	without := m.Match(ticket(t, "Investigate customer report", ""), candidates, nil)
	with := m.Match(ticket(t, "Investigate customer report", "Two factor codes arrive too late to sign in, ten minutes after."), candidates, nil)
	if mode(without, "clu_login") != "" || mode(with, "clu_login") == "" {
		t.Errorf("without its body %v, with it %v", without, with)
	}
}

func TestAReferenceIsCertainAndNeverAnAccident(t *testing.T) {
	t.Parallel()
	m, candidates := world(t)
	got := m.Match(ticket(t, "Unrelated title", ""), candidates, nil)
	if mode(got, "clu_named") != feedback.Automatic || got[0].Score != 1 {
		t.Errorf("a customer named the ticket: %+v", got)
	}
	for text, want := range map[string]bool{
		"see PROJ-7": true, "proj-7!": true, "(PROJ-7)": true, "PROJ-71": false, "XPROJ-7": false, "A-PROJ-7": false,
		"https://jira.example/browse/PROJ-7": true, "https://jira.example/browse/PROJ-7/x": true, "": false,
	} {
		c := attach.Candidate{Cluster: "clu_x", Evidence: []attach.Evidence{{Text: text}}}
		if got := attach.Refers(ticket(t, "a", "b"), c); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !attach.Refers(ticket(t, "a", "from https://throughline.example/clusters/clu_exports"), attach.Candidate{Cluster: "clu_exports"}) {
		t.Error("the ticket names the cluster")
	}
}

func TestAPersonsRulingIsFinal(t *testing.T) {
	t.Parallel()
	m, candidates := world(t)
	got := m.Match(ticket(t, "CSV export stops half way on large boards", ""), candidates, map[string]attach.Ruling{
		"clu_exports": {Mode: feedback.Rejected, Decision: "dec_1", By: "pm"},
		"clu_thanks":  {Mode: feedback.Pinned, Decision: "dec_2", By: "pm"},
		"clu_gone":    {Mode: feedback.Pinned, Decision: "dec_3", By: "pm"},
	})
	for cluster, want := range map[string]feedback.Mode{"clu_exports": feedback.Rejected, "clu_thanks": feedback.Pinned, "clu_gone": feedback.Pinned} {
		if mode(got, cluster) != want {
			t.Errorf("%s is %q, want %q", cluster, mode(got, cluster), want)
		}
	}
	for _, x := range got {
		if x.Decision != "" && x.DecidedBy != "pm" {
			t.Errorf("%s was decided by %q", x.Cluster, x.DecidedBy)
		}
	}
}

func TestTheSameInputsHaveTheSameMatches(t *testing.T) {
	t.Parallel()
	m, candidates := world(t)
	at := ticket(t, "CSV and PDF export stop", "codes arrive late, the legend of the export is cut off")
	first := m.Match(at, candidates, nil)
	for range 20 {
		if again := m.Match(at, candidates, nil); !reflect.DeepEqual(first, again) {
			t.Fatalf("%+v and %+v", first, again)
		}
	}
}

func TestVectorsOfAnotherSpaceMeanNothing(t *testing.T) {
	t.Parallel()
	m, candidates := world(t)
	at := ticket(t, "CSV export stops half way on large boards", "")
	at.Space = "another"
	for _, c := range candidates {
		if attach.Meaning(at, c) != 0 {
			t.Errorf("%s has a meaning across spaces", c.Cluster)
		}
	}
	if got := m.Match(at, candidates, nil); mode(got, "clu_exports") == "" {
		t.Error("words alone found nothing")
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	got := attach.Words("The exports exported, exporting v8.14.2 don't 10,000 FILTERS — Größe!")
	if want := []string{"export", "export", "export", "v8.14.2", "10,000", "filter", "größ"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// judged is what becomes of feedback among open tickets, the first of which is asked about.
func judged(t *testing.T, feedbackText string, titles ...string) feedback.Mode {
	t.Helper()
	corpus := &attach.Corpus{}
	for _, title := range titles {
		corpus.Add(title)
	}
	board := attach.NewBoard(corpus)
	var first attach.Ticket
	for i, title := range titles {
		at := attach.Ticket{Tracker: feedback.Jira, Key: "PROJ-" + strings.Repeat("1", i+1), Title: title, Space: "lexical", Vector: vector(t, title)}
		if i == 0 {
			first = at
		}
		board.Put(at)
	}
	c := attach.Candidate{Cluster: "clu_1", Space: "lexical", Evidence: []attach.Evidence{{Quote: feedbackText, Text: feedbackText, Vector: vector(t, feedbackText)}}}
	return mode(attach.Matcher{Corpus: corpus, Board: board}.Match(first, []attach.Candidate{c}, nil), "clu_1")
}

func TestWhatAnotherTicketFitsAsWellIsLeftToAPerson(t *testing.T) {
	t.Parallel()
	others := []string{"Legend missing in PDF", "Codes arrive too late", "Dark mode for the office TV", "Bulk import of viewers"}
	said := "the csv export stops half way on large boards"
	if got := judged(t, said, append([]string{"CSV export stops on large boards"}, others...)...); got != feedback.Automatic {
		t.Errorf("alone it is %q", got)
	}
	twins := append([]string{"CSV export stops on large boards", "Large boards: CSV export stops"}, others...)
	if got := judged(t, said, twins...); got != feedback.Suggested {
		t.Errorf("beside a twin it is %q", got)
	}
	if got := judged(t, "please upgrade netty, 4.1.89 fixes our scanner's alarm", append([]string{"Upgrade netty to 4.1.77"}, others...)...); got == feedback.Automatic {
		t.Errorf("another version is %q", got)
	}
}

func TestABoardForgets(t *testing.T) {
	t.Parallel()
	corpus := &attach.Corpus{}
	board := attach.NewBoard(corpus)
	c := attach.Candidate{Evidence: []attach.Evidence{{Quote: "legend missing"}}}
	board.Put(attach.Ticket{Key: "PROJ-1", Title: "Legend missing"})
	board.Put(attach.Ticket{Key: "PROJ-1", Title: "Another title"})
	if got := board.Rank(c, 5); len(got) != 0 {
		t.Errorf("what a ticket said before is still found: %v", got)
	}
	board.Put(attach.Ticket{Key: "PROJ-2", Title: "Legend missing"})
	board.Remove("", "PROJ-2")
	if got := board.Rank(c, 5); len(got) != 0 {
		t.Errorf("a removed ticket is still found: %v", got)
	}
}

func TestFramesOfStackTracesAreNoWords(t *testing.T) {
	t.Parallel()
	if got := attach.Words("timed out\n\tat java.lang.Throwable.getStackTrace(Throwable.java:817)\n at sun.reflect.Method.invoke(Unknown Source)"); !slices.Equal(got, []string{"timed"}) {
		t.Errorf("got %q", got)
	}
}
