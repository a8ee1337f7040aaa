package evaluation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/evaluation"
)

// sentences takes every line for a signal.
func sentences(_ context.Context, texts []string) ([][]evaluation.Found, error) {
	out := make([][]evaluation.Found, len(texts))
	for i, text := range texts {
		at := 0
		for l := range strings.Lines(text) {
			out[i] = append(out[i], evaluation.Found{Kind: feedback.Complaint, Start: at, End: at + len(strings.TrimRight(l, "\n"))})
			at += len(l)
		}
	}
	return out, nil
}

func TestEveryScenarioIsHandedOverAmongFiveThousandOthers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, err := evaluation.Handoff(t.Context(), os.DirFS("scenarios"), embed.Lexical(), sentences, &out)
	if err != nil {
		t.Fatal(err)
	}
	if r.Others < 5000 || r.Scenarios != strings.Count(out.String(), "\n") {
		t.Errorf("%d scenarios in %d lines among %d others", r.Scenarios, strings.Count(out.String(), "\n"), r.Others)
	}
	for name, h := range map[string]evaluation.Handed{"machine": r.Machine, "reviewed": r.Reviewed, "confirmed": r.Confirmed} {
		if h.Invented > 0 || h.Escaped > 0 || h.Unchanged > 0 {
			t.Errorf("%s: %d invented, %d escaped, %d old things told as changes", name, h.Invented, h.Escaped, h.Unchanged)
		}
	}
	// What the brief makes of the right conversations is what it promises; how many of them
	// the machine finds is printed by `throughline eval handoff`.
	if got := r.Confirmed.Brief; got["1000"].Recall < 0.85 || got["4000"].Recall < 0.95 || got["4000"].Trespasses > 0 {
		t.Errorf("facts told: %+v", got)
	}
	if m, p, c := r.Machine.Brief["4000"], r.Reviewed.Brief["4000"], r.Confirmed.Brief["4000"]; p.Recalled < m.Recalled || p.Recalled > c.Recalled || p.Trespasses > 0 || r.SuggestedPrecision >= 1 {
		t.Errorf("a person who confirms suggestions has %+v, the machine %+v, and all the right conversations %+v", p, m, c)
	}
	if r.Confirmed.Brief["4000"].Recall <= r.Confirmed.Ticket["4000"].Recall {
		t.Error("the ticket's own text tells as much as the brief")
	}
}

const small = `{"id":"x","ticket":{"tracker":"jira","key":"P-1","title":"CSV export stops on large boards","body":"stops after 10,000 rows"},
"accounts":[{"id":"a1","name":"Northwind","value_eur_year":100}],
"conversations":[{"id":"c1","source":"slack","account":"a1","customer":{"id":"u1","name":"Ann"},"messages":[{"at":"2026-11-03T07:42:00Z","from":"customer","text":"The CSV export stops on version 8.1 of large boards, after 10,000 rows"},{"at":"2026-11-03T08:42:00Z","from":"agent","text":"We use Lisbon"}]},
{"id":"c2","source":"slack","account":"a1","customer":{"id":"u1","name":"Ann"},"messages":[{"at":"2026-11-04T07:42:00Z","from":"customer","text":"Dark mode please, for the office TV 42"}]}],
"about_ticket":["c1"],"questions":[{"q":"version?","kind":"version","answer_regex":"(?<![\\d.])8\\.1(?!\\d)","conversation":"c1"},{"q":"where?","kind":"who","answer_regex":"Lisbon","conversation":"c1"},{"q":"rows?","kind":"amount","answer_regex":"10,000","in_ticket":true,"conversation":"c1"}],"must_not":["dark mode"]}`

func TestAHandoffIsScoredByQuotesOfTheRightConversation(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := evaluation.Handoff(t.Context(), fstest.MapFS{"x.json": {Data: []byte(small)}}, embed.Lexical(), sentences, &out)
	if err != nil {
		t.Fatal(err)
	}
	var a evaluation.HandoffAnswer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Right != 1 || len(a.Joined) != 1 || a.Outside != 0 {
		t.Errorf("joined %v", a.Joined)
	}
	if got := a.Machine.Brief["1000"]; got.Asked != 2 || got.Recalled != 1 || got.Trespasses != 0 {
		t.Errorf("an agent's words count as a customer's, or a look-around was misread: %+v", got)
	}
	for _, folder := range []fstest.MapFS{{}, {"x.json": {Data: []byte(`{"id":`)}}} {
		if _, err := evaluation.Handoff(t.Context(), folder, embed.Lexical(), sentences, &out); err == nil {
			t.Error("a folder without readable scenarios was accepted")
		}
	}
}
