package rank

import (
	"hash/fnv"
	"regexp"
	"strings"
	"unicode"
)

// copied is how many words a text needs so that two people do not say it word for word by
// chance.
const copied = 8

// Copy is a number that is equal for texts of eight words or more that are equal but for
// case, space and punctuation, and 0 for shorter ones.
func Copy(text string) uint64 {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(words) < copied {
		return 0
	}
	h := fnv.New64a()
	for _, w := range words {
		_, _ = h.Write([]byte(w + " "))
	}
	return max(h.Sum64(), 1)
}

// leaving are the ways in which customers say that they go. Phrases, because "cancel" alone
// is as often about an order.
var leaving = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	`cancel(l?ed|l?ing)? (my|our|the|this|all) ?(premium |paid |whole )?(subscriptions?|contracts?|plans?|accounts?|memberships?|licen[cs]es?)`,
	`(will|'ll|going to|gonna|about to|have to|ready to) (cancel|leave|switch|unsubscribe|uninstall|churn)`,
	`unsubscrib(e|ed|ing)`, `uninstall(ed|ing)`,
	`(not|won't|wont|will not|don't|never) (be )?(going to )?renew(ing)?`, `(moving|switching|switched|going back|migrating) (over |back )?to (?-i:[A-Z])`,
	`looking (for|at) (an? |other )?(alternatives?|competitors?)`, `delet(e|ed|ing) (my|our|the|this) (account|app)`,
	`(last|final) (month|year) (with|as) `, `(stop|stopped|quit) (using|paying)`, `(want|need|get) (my|our) money back`,
}, "|") + `)`)

// Leaving says whether a customer speaks of going: cancelling, not renewing, changing to
// another product. It reads English.
func Leaving(text string) bool { return leaving.MatchString(text) }
