package agreement_test

import (
	"math"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/agreement"
)

const text = "The export fails. Please add folders. Thanks!"

// at is a signal over the words given.
func at(t *testing.T, kind feedback.Kind, words string) agreement.Signal {
	t.Helper()
	i := strings.Index(text, words)
	if i < 0 {
		t.Fatalf("%q is not in the text", words)
	}
	return agreement.Signal{Kind: kind, Span: feedback.Span{Start: i, End: i + len(words)}}
}

func TestScores(t *testing.T) {
	t.Parallel()
	fails, add := at(t, "bug", "The export fails."), at(t, "feature_request", "Please add folders")
	for _, c := range []struct {
		name            string
		found, labelled []agreement.Signal
		want            agreement.Scores
	}{
		{"the same", []agreement.Signal{fails, add}, []agreement.Signal{fails, add},
			agreement.Scores{Precision: 1, Recall: 1, F1: 1, Exact: 1, Words: 1, PerItem: 1, Kind: 1, Family: 1}},
		{"marks at the ends", []agreement.Signal{at(t, "bug", "The export fails. ")}, []agreement.Signal{at(t, "bug", "The export fails")},
			agreement.Scores{Precision: 1, Recall: 1, F1: 1, Exact: 1, Words: 1, PerItem: 1, Kind: 1, Family: 1}},
		{"another kind", []agreement.Signal{at(t, "usability", "The export fails"), at(t, "praise", "Please add folders")}, []agreement.Signal{fails, add},
			agreement.Scores{Precision: 1, Recall: 1, F1: 1, Exact: 1, Words: 1, PerItem: 1, Kind: 0, Family: 0.5}},
		{"a part", []agreement.Signal{at(t, "bug", "export fails")}, []agreement.Signal{fails, add},
			agreement.Scores{Precision: 1, Recall: 0.5, F1: 2. / 3, Exact: 0, Words: 2 * 2. / 8, PerItem: 0.5, Kind: 1, Family: 1}},
		{"two as one", []agreement.Signal{at(t, "bug", "The export fails. Please add folders.")}, []agreement.Signal{fails, add},
			agreement.Scores{Precision: 1, Recall: 0.5, F1: 2. / 3, Exact: 0, Words: 1, PerItem: 0.5, Kind: 0, Family: 0}},
		{"one as two", []agreement.Signal{at(t, "bug", "The export"), at(t, "bug", "fails")}, []agreement.Signal{fails},
			agreement.Scores{Precision: 0.5, Recall: 1, F1: 2. / 3, Exact: 0, Words: 1, PerItem: 2, Kind: 1, Family: 1}},
		{"nothing found", nil, []agreement.Signal{fails}, agreement.Scores{}},
		{"nothing there", []agreement.Signal{fails}, nil, agreement.Scores{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var tally agreement.Tally
			tally.Add(text, c.found, c.labelled)
			got := tally.Scores()
			if got.Items != 1 || got.Found != len(c.found) || got.Labelled != len(c.labelled) {
				t.Errorf("counted %+v", got)
			}
			for _, f := range []struct {
				name      string
				got, want float64
			}{
				{"precision", got.Precision, c.want.Precision}, {"recall", got.Recall, c.want.Recall}, {"f1", got.F1, c.want.F1}, {"exact", got.Exact, c.want.Exact},
				{"words", got.Words, c.want.Words}, {"per item", got.PerItem, c.want.PerItem}, {"kind", got.Kind, c.want.Kind}, {"family", got.Family, c.want.Family},
			} {
				if math.Abs(f.got-f.want) > 1e-9 {
					t.Errorf("%s = %v, want %v", f.name, f.got, f.want)
				}
			}
		})
	}
}

func TestTallySumsItems(t *testing.T) {
	t.Parallel()
	var tally agreement.Tally
	fails := at(t, "bug", "The export fails.")
	for range 3 {
		tally.Add(text, []agreement.Signal{fails}, []agreement.Signal{fails})
	}
	tally.Add(text, nil, []agreement.Signal{fails})
	if got := tally.Scores(); got.Items != 4 || got.Precision != 1 || got.Recall != 0.75 {
		t.Errorf("scores = %+v", got)
	}
}
