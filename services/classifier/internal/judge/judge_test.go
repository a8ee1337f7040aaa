package judge_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
)

func shipped(t *testing.T) *judge.Judge {
	t.Helper()
	j, err := judge.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Plain cases of each kind, in words that the seed does not have like this, from the words
// alone. The sets of `make eval` say how good the heads are; this says that they are there.
func TestShippedHeadsTellPlainCasesApart(t *testing.T) {
	t.Parallel()
	j := shipped(t)
	for text, want := range map[string]feedback.Kind{
		"The calendar crashes whenever I open an invitation":             feedback.Bug,
		"Uploading a spreadsheet fails with error 500 since last week":   feedback.Bug,
		"Please add an option to group invoices by project":              feedback.FeatureRequest,
		"I love the planner, but I wish it could repeat tasks every day": feedback.FeatureRequest,
		"Support for nested tags in the exporter":                        feedback.FeatureRequest,
		"How do I change the address on my account?":                     feedback.Question,
		"I absolutely love this planner, it is easy and fast":            feedback.Praise,
		"The new menu is confusing and hard to use":                      feedback.Usability,
		"Way too expensive and full of ads":                              feedback.Complaint,
		"see you on Thursday":                                            feedback.Other,
	} {
		if got := j.Judge("", nil, judge.Part{Text: text, Weight: 1}); got.Kind != want {
			t.Errorf("%q is %s (%.2f), want %s", text, got.Kind, got.Confidence, want)
		}
	}
}

func TestJudgementsAreInBounds(t *testing.T) {
	t.Parallel()
	j := shipped(t)
	for _, text := range []string{"", "\x00\xff", "👍", "crash", "love", string(bytes.Repeat([]byte("not working and "), 5000)), "데이터가 사라졌어요"} {
		v := j.Whole("", nil, text, text)
		for name, p := range map[string]float64{"severity": v.Severity, "confidence": v.Confidence, "sentiment": math.Abs(v.Sentiment)} {
			if math.IsNaN(p) || p < 0 || p > 1 {
				t.Errorf("%s of %.20q is %v", name, text, p)
			}
		}
	}
	good, bad := j.Whole("", nil, "wonderful, I love it", ""), j.Whole("", nil, "terrible, I hate it", "")
	if good.Sentiment < 0.2 || bad.Sentiment > -0.2 {
		t.Errorf("sentiments %v and %v", good.Sentiment, bad.Sentiment)
	}
}

func TestWhatWorksCostsLessThanWhatDoesNot(t *testing.T) {
	t.Parallel()
	j := shipped(t)
	text := "it keeps failing and we lost all our data"
	was := j.Whole("", nil, text, "")
	bug, complaint, praise := j.As(feedback.Bug, was, text), j.As(feedback.Complaint, was, text), j.As(feedback.Praise, was, text)
	if bug.Severity <= complaint.Severity || complaint.Severity <= praise.Severity || praise.Severity != 0 {
		t.Errorf("severities %v, %v, %v", bug.Severity, complaint.Severity, praise.Severity)
	}
}

func TestHeadsThatAreCutOffAreRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{nil, {200, 200, 200}, []byte("\x05space"), []byte("\x05spacethis is no head")} {
		if _, err := judge.ReadHeads(bytes.NewReader(raw)); err == nil {
			t.Errorf("%q was read", raw)
		}
	}
}
