package evaluation_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/evaluation"
)

const tickets = `{"id":"t1","title":"CSV export stops on large boards","body":"Exports of big boards stop after 10,000 rows."}
{"id":"t2","title":"Two factor codes arrive too late","body":"The SMS comes after ten minutes."}
{"id":"t3","title":"Legend missing in PDF","body":"A4 landscape cuts the legend off."}
`

func attached(t *testing.T, input string) (evaluation.AttachReport, []map[string]any, error) {
	t.Helper()
	clock := time.Unix(0, 0)
	var out bytes.Buffer
	r, err := evaluation.Attach(t.Context(), strings.NewReader(tickets), strings.NewReader(input), embed.Lexical(), &out,
		func() time.Time { clock = clock.Add(time.Second); return clock })
	var answers []map[string]any
	for l := range strings.Lines(out.String()) {
		var a map[string]any
		if json.Unmarshal([]byte(l), &a) != nil {
			t.Fatalf("not JSON: %s", l)
		}
		answers = append(answers, a)
	}
	return r, answers, err
}

func TestAttachMeasuresWhatItAnswers(t *testing.T) {
	t.Parallel()
	r, answers, err := attached(t, `{"id":"a","text":"CSV export stops on large boards\nafter 10,000 rows, every time","ticket":"t1"}
{"id":"b","text":"the legend of my PDF is missing","ticket":"t2"}

{"id":"c","text":"two factor codes arrive too late"}`)
	if err != nil {
		t.Fatal(err)
	}
	if r.Tickets != 3 || r.Items != 3 || r.Labeled != 2 || r.Recall1 != 0.5 || r.PerSecond != 3 {
		t.Errorf("got %+v", r)
	}
	if len(answers) != 3 || answers[0]["id"] != "a" || answers[0]["automatic"] != true || r.Coverage == 0 || r.PrecisionLower >= r.Precision {
		t.Errorf("answers %v, report %+v", answers, r)
	}
	if r.Unasked != 1 || r.PrecisionWithUnasked >= r.Precision {
		t.Errorf("feedback without a ticket was attached and not told: %+v", r)
	}
}

func TestFeedbackDoesNotAnswerToItself(t *testing.T) {
	t.Parallel()
	_, answers, err := attached(t, `{"id":"t1","text":"CSV export stops on large boards"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers[0]["tickets"].([]any) {
		if a.(map[string]any)["id"] == "t1" {
			t.Error("a text was matched to itself")
		}
	}
}

func TestAnErrorNamesTheLineAndNotItsText(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`{"id":"a","text":"x"}` + "\n" + `{"secret words`: "line 2",
		`{"id":"","text":"secret words"}`:                 "line 1",
	} {
		_, _, err := attached(t, input)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", input, err)
		}
	}
}
