package extract

import (
	"regexp"
	"strings"
)

// The reasons why a text says nothing.
const (
	Empty     = "empty"     // no words
	Automatic = "automatic" // an out-of-office note, a bounce, a bot's message
	Thanks    = "thanks"    // thanks and nothing else
	Courtesy  = "courtesy"  // greetings, farewells, small talk, "ok"
	Quoted    = "quoted"    // quoted history, an agent's words, code: nothing of the customer's own
	Neutral   = "neutral"   // words of the customer's own that ask for nothing and complain of nothing
)

var (
	automatic = regexp.MustCompile(`(?i)^\s*(?:(?:this is an )?auto(?:mated|matic)(?: |-)?(?:reply|response|message|e-?mail)\b|out of (?:the )?office\b|i am (?:currently )?(?:out of (?:the )?office|away|on (?:leave|vacation|holiday))\b|thank you for (?:contacting|reaching out to) \S+|delivery (?:status notification|has failed)|undeliverable\b|mail delivery (?:failed|subsystem)|do not reply to this|\S+ (?:has )?(?:joined|left|added) (?:the|this) (?:channel|conversation|group)\b|set the channel (?:topic|purpose)|reminder: |/\w+\s)`)
	gratitude = regexp.MustCompile(`(?i)\b(?:thank\w*|thx|ty|tnx|cheers|gracias|danke|merci|obrigado|appreciated?)\b`)
)

// Machine reports whether a text was written by no person: an out-of-office note, a bounce,
// a bot.
func Machine(text string) bool { return automatic.MatchString(text[:cutAt(text, lookBack)]) }

// Reason says why a text without clauses has none. Being short is no reason: only words of
// politeness are, and what is not the customer's own.
func Reason(text string) string {
	text = text[:cutAt(text, MaxText)]
	own := ""
	for _, b := range blocks(text) {
		own += text[b.Start:b.End] + " "
	}
	switch {
	case !hasWords(text, 1) && !strings.ContainsFunc(text, speaks):
		return Empty
	case Machine(text):
		return Automatic
	case strings.TrimSpace(own) == "" && !gratitude.MatchString(text):
		return Quoted
	case gratitude.MatchString(text):
		return Thanks
	case len(Clauses(text)) == 0:
		return Courtesy
	}
	return Neutral
}
