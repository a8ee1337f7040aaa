package attribute_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/attribute"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind feedback.Kind
		text string
		want string
	}{
		{feedback.Bug, "The app crashes when I open the calendar. I'm on Android 14, app version 5.2.1.", `{"severity_reason":"crashes","platform":"android","version":"14"}`},
		{feedback.Bug, "Cmd+K opens the wrong window on Sonoma 14.2", `{"severity_reason":"wrong","platform":"macos","version":"14.2"}`},
		{feedback.Complaint, "Too expensive for what it does. We're moving to another vendor in March.", `{"churn":0.9,"billing":true}`},
		{feedback.Question, "I want to cancel my subscription", `{"churn":0.6,"billing":true,"job":"cancel my subscription"}`},
		{feedback.Bug, "I was charged twice: $1,249.00 and 49 EUR", `{"severity_reason":"charged twice","billing":true,"amounts":[{"value":1249,"currency":"USD"},{"value":49,"currency":"EUR"}]}`},
		{feedback.Complaint, "It costs €12,50 a month or 3k USD", `{"billing":true,"amounts":[{"value":12.5,"currency":"EUR"},{"value":3000,"currency":"USD"}]}`},
		{feedback.Bug, "SMS codes never arrive. Workaround: we use the authenticator app.", `{"workaround":"we use the authenticator app"}`},
		{feedback.Bug, "Expected: the filter stays. Actual: it resets every time.", `{"severity_reason":"every time","expected":"the filter stays","actual":"it resets every time"}`},
		{feedback.FeatureRequest, "Please add bulk edit so that I can close a month in one go.", `{"job":"close a month in one go"}`},
		{feedback.Bug, "My account was hacked, write to jo@fjord.example", `{"severity_reason":"hacked","security":true}`},
		{feedback.Praise, "Love it on my iPad!", `{"platform":"ios"}`},
		{feedback.Praise, "", `{}`},
	} {
		got, err := json.Marshal(attribute.Of(c.kind, c.text, c.text, 0.5))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%q\nhas  %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestTextsAreMasked(t *testing.T) {
	t.Parallel()
	a := attribute.Of(feedback.Bug, "The mail fails.", "The mail fails. Workaround: send it to jo@fjord.example by hand.", 0.6)
	if a.Workaround != "send it to [email] by hand" {
		t.Errorf("workaround = %q", a.Workaround)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("I expected 5 but got $5.5k.", "Workaround: \xff")
	f.Fuzz(func(t *testing.T, quote, context string) {
		a := attribute.Of(feedback.Bug, quote, context, 1)
		for _, s := range []string{a.SeverityReason, a.Workaround, a.Expected, a.Actual, a.Job} {
			if len(s) > 400 || utf8.ValidString(quote+context) && !utf8.ValidString(s) {
				t.Fatalf("%q", s)
			}
		}
	})
}
