package feedback_test

import (
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

func TestTokensIsBytesOverFourRoundedUp(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 0, "a": 1, "abcd": 1, "abcde": 2, "é": 1, "日本": 2, strings.Repeat("x", 16000): 4000,
	} {
		if got := feedback.Tokens(text); got != want {
			t.Errorf("Tokens(%d bytes) = %d, want %d", len(text), got, want)
		}
	}
}
