package page_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api/apitest"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// desk holds one of everything for acme, with hostile words, and nothing for others.
type desk struct{ cluster string }

func (d desk) Facets(_ context.Context, ws string) (read.Facets, error) {
	if ws != "acme" {
		return read.Facets{}, nil
	}
	return read.Facets{Areas: []string{"export", "<b>"}, Segments: []string{"enterprise"}}, nil
}

func (d desk) Similar(context.Context, string, string, int) ([]read.Similar, error) {
	return []read.Similar{{End: read.End{ID: feedback.ID("clu", "acme", "Dark mode for night shifts"), Name: apitest.Hostile, Voices: 2}, Similarity: 0.5}}, nil
}

func (d desk) Facts(context.Context, string, string) ([]read.Fact, error) {
	return []read.Fact{{Facet: "platform", Value: apitest.Hostile, Item: "itm_1", Voices: 2}}, nil
}

func (d desk) Revisions(_ context.Context, ws string, _ feedback.Tracker, key string) ([]read.Revision, error) {
	if ws != "acme" {
		return nil, nil
	}
	return []read.Revision{{Revision: 2, Material: true, Lines: []string{"2 new voices"}, At: apitest.Now}, {Revision: 1, At: apitest.Now}}, nil
}

func (d desk) Suggestions(_ context.Context, ws string, _ int) ([]read.Suggestion, error) {
	if ws != "acme" {
		return nil, nil
	}
	return []read.Suggestion{{Ticket: read.TicketHead{Tracker: feedback.Jira, Key: "PROJ-142", Title: "CSV export", Status: "Doing", Category: feedback.InProgress},
		Attachment: read.Attachment{Cluster: d.cluster, Name: export, Mode: feedback.Suggested, Score: 0.4}, Quote: apitest.Hostile, Voices: 3}}, nil
}

func (d desk) Alike(_ context.Context, ws string, _ int) ([]read.Pair, error) {
	if ws != "acme" {
		return nil, nil
	}
	return []read.Pair{{One: read.End{ID: d.cluster, Name: export, Voices: 3}, Other: read.End{ID: "clu_other", Name: "Exports lose rows", Quote: apitest.Hostile}, Similarity: 0.9}}, nil
}

func (d desk) Parts(_ context.Context, ws string, _ int) ([]read.Part, error) {
	if ws != "acme" {
		return nil, nil
	}
	return []read.Part{{Cluster: read.End{ID: d.cluster, Name: export, Voices: 9}, Apart: 0.5, Signals: []string{"sig_1", "sig_2", "sig_3"}, Out: []string{apitest.Hostile}, Staying: []string{"rows"}}}, nil
}

func (d desk) Unsure(_ context.Context, ws string, _ int) ([]read.Signal, error) {
	if ws != "acme" {
		return nil, nil
	}
	return []read.Signal{{ID: "sig_9", Item: "itm_9", Kind: feedback.Question, Quote: apitest.Hostile, Confidence: 0.4, SaidAt: apitest.Now}}, nil
}

func (d desk) Quarrels(_ context.Context, ws string, _ int) ([]read.Quarrel, error) {
	if ws != "acme" {
		return nil, nil
	}
	return []read.Quarrel{{About: "attachment", Cluster: d.cluster, Name: export, Tracker: feedback.Jira, Ticket: "PROJ-142",
		Earlier: read.Ruling{ID: "dec_1", Action: "pin", By: "maya", At: apitest.Now}, Later: read.Ruling{ID: "dec_2", Action: "reject", By: "ben", Reason: apitest.Hostile, At: apitest.Now}}}, nil
}

func (d desk) Delivery(_ context.Context, ws, _ string) (read.Delivery, error) {
	if ws != "acme" {
		return read.Delivery{}, read.ErrNotFound
	}
	return read.Delivery{Kind: "slack", Connection: "acme-slack", ReceivedAt: apitest.Now, Body: `{"text":"` + apitest.Hostile + `"}`, Bytes: 30_000}, nil
}

func (d desk) Quality(_ context.Context, ws string, _ time.Time) (read.Quality, error) {
	if ws != "acme" {
		return read.Quality{}, nil
	}
	return read.Quality{Weeks: []read.Week{{From: apitest.Now, Signals: 40, Confidence: 0.8, Kinds: map[string]uint64{"bug": 30, "praise": 10}}}, Drifted: []string{"less of it is question than before"}}, nil
}

func (d desk) Decisions(_ context.Context, ws string, _ int, _ string) (read.Page[read.Decision], error) {
	page := read.Page[read.Decision]{Items: []read.Decision{}}
	if ws == "acme" {
		page.Items = []read.Decision{{ID: "dec_1", Action: "rename", Cluster: d.cluster, Name: export, NewName: "Exports", By: "maya", Reason: "shorter", At: apitest.Now},
			{ID: "dec_2", Action: "pin", Cluster: d.cluster, Tracker: feedback.GitHub, Ticket: "acme/scanner#31", By: "maya", Undone: "dec_3", At: apitest.Now}}
	}
	return page, nil
}

func (d desk) Flow(context.Context, string, time.Time) ([]read.Stage, error) {
	return []read.Stage{{Name: "deliveries", Hour: 1, Day: 20, Stored: 300, Newest: apitest.Now}, {Name: "briefs"}}, nil
}

func (d desk) Days(_ context.Context, ws string, clusters []string, _ time.Time, days int) (map[string][]int, error) {
	voices := make([]int, days)
	voices[0], voices[days-1] = 1, 4
	return map[string][]int{d.cluster: voices}, nil
}

func (d desk) Points(context.Context, string, string) ([]read.Point, error) {
	var out []read.Point
	for i := range 8 {
		out = append(out, read.Point{Signal: "sig", Quote: apitest.Hostile, Vector: []float32{float32(i % 2), float32(i), 1}})
	}
	return out, nil
}

func TestWhatWaitsForAPersonIsDecidedFromTheInbox(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, body := s.browser(t, apitest.Token("acme")).get("/inbox")
	for _, holds := range []string{`action="/tickets/jira/PROJ-142/attachments"`, `value="pin"`, `value="reject"`, `action="/clusters/clu_other/decisions"`, `name="into" value="` + s.cluster() + `"`, `value="split">Split 3 quotes off`, `action="/signals/sig_9/correction"`, `name="kind" value="complaint"`,
		`action="/decisions/dec_1/undo"`, "confirmed it here", "rejected it here", `href="/inbox?about=splits"`} {
		if !strings.Contains(body, holds) {
			t.Errorf("the inbox lacks %s", holds)
		}
	}
	if _, body := s.browser(t, apitest.Token("acme")).get("/inbox?about=kinds"); !strings.Contains(body, "/signals/sig_9/correction") || strings.Contains(body, "PROJ-142") {
		t.Error("one kind of questions is not shown by itself")
	}
	b := s.browser(t, apitest.Token("acme"))
	if resp, _ := b.get("/inbox?about=weather"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("no such questions: %d", resp.StatusCode)
	}
	resp, _ := b.post("/signals/sig_9/correction", url.Values{"kind": {"complaint"}, "back": {"/inbox?about=kinds"}})
	all := s.world.Workspace("acme").Decisions()
	if d := all[len(all)-1]; resp.Header.Get("Location") != "/inbox?about=kinds&decided="+d.ID || d.Action != feedback.Correct || d.Kind != feedback.Complaint || d.Signals[0] != "sig_9" {
		t.Errorf("%d to %s, %+v", resp.StatusCode, resp.Header.Get("Location"), d)
	}
	if resp, _ := b.post("/signals/sig_9/correction", url.Values{"kind": {"weather"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("no such kind: %d", resp.StatusCode)
	}
	if _, body := s.browser(t, apitest.ReaderToken("acme")).get("/inbox"); strings.Contains(body, `name="action"`) {
		t.Error("a reader is offered a decision")
	}
	if _, body := s.browser(t, apitest.Token("globex")).get("/inbox"); !strings.Contains(body, "Nothing waits for you") || strings.Contains(body, export) {
		t.Error("another workspace's inbox is not empty")
	}
}

func TestDecisionsAreListedAndCanBeTakenBack(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, apitest.Token("acme"))
	_, body := b.get("/decisions")
	for text, want := range map[string]bool{"/decisions/dec_1/undo": true, "/decisions/dec_2/undo": false, "because <bdi>shorter": true, "/tickets/github/acme%2Fscanner%2331": true, "taken back": true} {
		if strings.Contains(body, text) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}

// The ingestor owns these lists; the page brings the script that asks for them.
func TestTheIngestorsListsAreAsked(t *testing.T) {
	t.Parallel()
	b := serve(t).browser(t, apitest.Token("acme"))
	for path, from := range map[string]string{"/connections": `data-from="/v1/connections"`, "/operations": `data-from="/v1/dead-letters"`} {
		if resp, body := b.get(path); resp.StatusCode != http.StatusOK || !strings.Contains(body, from) || !strings.Contains(body, "/assets/ingest.js") {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// What the page says of the models that ship is what README.md says of them.
func TestTheFiguresAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, body := serve(t).browser(t, apitest.Token("acme")).get("/quality")
	shown := regexp.MustCompile(`<td><b>([^<]*)</b></td>`).FindAllStringSubmatch(body, -1)
	if len(shown) == 0 {
		t.Fatal("no figure is shown")
	}
	for _, m := range shown {
		if figure, _, _ := strings.Cut(m[1], " of "); !strings.Contains(string(readme), figure) {
			t.Errorf("README.md has no figure %s: change evaluations in desk.go with it", figure)
		}
	}
}
