package classifier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/services/classifier"
)

const reviews = `{"id":"a","text":"It crashes every time I open it, please fix","set":"BUG REPORT","stars":-1}
{"id":"b","text":"Please add a dark mode","set":"wish","stars":"neutral"}

{"text":"I love it, best app ever","set":"rating","stars":0.9}
{"id":7,"text":"Crash on start","body":"Steps to reproduce: open it.\nIt crashes with an exception.","set":"BUG REPORT","stars":null}
`

func classify(t *testing.T, input string, o classifier.ClassifyOptions) (answers []map[string]any, report classifier.ClassifyReport) {
	t.Helper()
	var out bytes.Buffer
	report, err := classifier.EvalClassify(context.Background(), strings.NewReader(input), embed.Lexical(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	return answers, report
}

func labelsOf(t *testing.T, entries map[string]any) classifier.Labels {
	t.Helper()
	l, err := classifier.NewLabels(entries)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestClassifyAnswersEveryLineAndScoresTheLabelled(t *testing.T) {
	t.Parallel()
	answers, report := classify(t, reviews, classifier.ClassifyOptions{
		Fields: []string{"set"}, Labels: labelsOf(t, map[string]any{"bug": []any{"BUG REPORT"}, "wish": "Feature request", "rating": nil}),
	})
	if len(answers) != 4 || report.Items != 4 {
		t.Fatalf("%d answers to 4 lines", len(answers))
	}
	for i, want := range []any{"a", "b", "4", 7.0} {
		a := answers[i]
		if a["id"] != want || len(a) != 4 {
			t.Errorf("answer %d is %v, want one with id %v, kind, sentiment and confidence", i, a, want)
		}
	}
	kind := report.Fields["kind"]
	if kind.Items != 3 || kind.MacroF1 != 1 || kind.Calibration == nil || len(report.Fields) != 1 {
		t.Errorf("kind was measured as %+v", kind)
	}
	if v := answers[2]["sentiment"].(float64); v < 0.2 {
		t.Errorf("love has a sentiment of %v", v)
	}
}

func TestClassifyScoresOurOwnLabelsWithoutAMap(t *testing.T) {
	t.Parallel()
	_, report := classify(t, reviews, classifier.ClassifyOptions{Fields: []string{"stars"}})
	if got := report.Fields["sentiment"]; got.Items != 3 || got.Confusion["positive"]["positive"] != 1 {
		t.Errorf("sentiment was measured as %+v", got)
	}
}

func TestClassifyFitsAHeadOnTheSetsOwnLabels(t *testing.T) {
	t.Parallel()
	var train strings.Builder
	for range 6 {
		train.WriteString(`{"text":"red apple and a ripe pear","set":"fruit"}` + "\n" + `{"text":"hammer, nails and a saw","set":"tools"}` + "\n")
	}
	answers, report := classify(t, `{"id":"x","text":"a ripe apple","set":"fruit"}`+"\n"+`{"id":"y","text":"one more hammer","set":"tools"}`, classifier.ClassifyOptions{
		Fields: []string{"set"}, Fit: strings.NewReader(train.String()),
	})
	if answers[0]["kind"] != "fruit" || answers[1]["kind"] != "tools" || report.FittedOn != 12 || report.Fields["kind"].MacroF1 != 1 {
		t.Errorf("answers %v, report %+v", answers, report)
	}
}

func TestClassifyComparesTwoConfigurations(t *testing.T) {
	t.Parallel()
	input := `{"id":"a","text":"It crashes every time I open it","kind":"bug"}`
	_, report := classify(t, input, classifier.ClassifyOptions{Against: strings.NewReader(`{"id":"a","kind":"praise","sentiment":0}`)})
	if c := report.Against["kind"]; c.FirstAlone != 1 || c.Gain != 1 || c.P != 1 {
		t.Errorf("compared as %+v", c)
	}
	_, err := classifier.EvalClassify(context.Background(), strings.NewReader(input), embed.Lexical(), &bytes.Buffer{}, classifier.ClassifyOptions{Against: strings.NewReader(`{"id":"b"}`)})
	if err == nil {
		t.Error("answers to another input were compared")
	}
}

func TestClassifyNamesTheLineItCannotRead(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"not JSON":       `{"id":"a","text":"fine"}` + "\n" + `secret words`,
		"no text":        `{"id":"a","text":"fine"}` + "\n" + `{"id":"b"}`,
		"strange label":  `{"id":"a","text":"fine"}` + "\n" + `{"id":"b","text":"secret words","kind":"gripe"}`,
		"body no string": `{"id":"a","text":"fine"}` + "\n" + `{"id":"b","text":"secret words","body":1}`,
	} {
		_, err := classifier.EvalClassify(context.Background(), strings.NewReader(input), embed.Lexical(), &bytes.Buffer{}, classifier.ClassifyOptions{})
		if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := classifier.NewLabels(map[string]any{"kind": map[string]any{"bug report": "gripe"}}); err == nil {
		t.Error("a map to what is no label of ours was read")
	}
}
