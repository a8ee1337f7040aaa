package classifier_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/services/classifier"
)

func TestEvalExtractAnswersEveryLineByteForByte(t *testing.T) {
	t.Parallel()
	in, err := os.ReadFile("gold/dev.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for line := range strings.Lines(string(in)) {
		var item struct{ ID, Text string }
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatal(err)
		}
		texts[item.ID] = item.Text
	}
	var out bytes.Buffer
	r, err := classifier.EvalExtract(t.Context(), bytes.NewReader(in), embed.Lexical(), &out)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(out.String()) {
		var answer struct {
			ID      string
			Signals []struct {
				Kind, Quote string
				Start, End  int
			}
		}
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatal(err)
		}
		lines++
		last := 0
		for _, s := range answer.Signals {
			if s.Start < last || texts[answer.ID][s.Start:s.End] != s.Quote || s.Kind == "" {
				t.Errorf("%s: a quote at %d is not its text", answer.ID, s.Start)
			}
			last = s.End
		}
	}
	if lines != len(texts) || r.Items != lines || r.Exact != 1 {
		t.Errorf("%d answers of %d lines, report %+v", lines, len(texts), r)
	}
	if r.All == nil || r.All.F1 < 0.75 || r.All.PerItem < 0.85 || r.All.PerItem > 1.2 || len(r.Origins) != 3 {
		t.Errorf("agreement %+v", r.All)
	}
}

func TestEvalExtractWithoutLabelsAndWithBadLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, err := classifier.EvalExtract(t.Context(), strings.NewReader(`{"id":"1","text":"Grüße, the export fails."}`+"\n\n"), embed.Lexical(), &out)
	if err != nil || r.All != nil || r.Items != 1 || r.Signals != 1 {
		t.Errorf("report %+v, %v", r, err)
	}
	for name, line := range map[string]string{
		"no JSON": "export", "no id": `{"text":"the export fails"}`, "a label beyond the text": `{"id":"1","text":"abc","signals":[{"kind":"bug","start":1,"end":9}]}`,
		"a label that is another text": `{"id":"1","text":"the export fails","signals":[{"kind":"bug","start":0,"end":3,"quote":"abc"}]}`,
	} {
		_, err := classifier.EvalExtract(t.Context(), strings.NewReader(`{"id":"0","text":"x"}`+"\n"+line), embed.Lexical(), &out)
		if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "export") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
