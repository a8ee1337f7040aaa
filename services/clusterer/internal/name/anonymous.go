package name

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// called is one to three capitalised words, which is how people write what they are
	// called, with the company they are from.
	called  = `\p{Lu}[\p{L}'’-]+(?:[ ]\p{Lu}[\p{L}'’-]+){0,2}`
	company = `(?:,?[ ](?:from|at|of|von|de|aus)[ ]` + called + `)?`
	saying  = `(?i:my name is|name's|i am|i'm|i’m|mein name ist|ich bin|ich heiße|je suis|je m'appelle|me llamo)[\s:]+`
	closing = `(?i:regards|cheers|thanks|thank you|sincerely|yours|best|grüße|gruß|cordialement|saludos|[-–—]{1,2}),?\s*`
	place   = `\b(?i:here|we) (?:at|from)[ ]`
)

// introduction finds somebody who says who they are: "Mara Lindqvist here", "my name is
// Mara", "Regards, Mara" at the end of a line, "here at Nordhaven".
var introduction = regexp.MustCompile(`(?m)\b` + saying + called + company + `|` + called + company + ` (?:here|hier)\b` + company +
	`|` + closing + called + company + `\s*$|` + place + called)

// Anonymous takes out of a text who says it, so that no cluster is named after a person or
// their company: the words of the customer's name, the names that account goes by, and
// names in introductions and signatures. Words that others are called stay.
func Anonymous(text, customer, account string) string {
	text = introduction.ReplaceAllString(text, " , ")
	who := strings.FieldsFunc(customer, func(r rune) bool { return !wordRune(r) && r != '\'' && r != '’' && r != '-' })
	if account = strings.TrimSpace(account); account != "" {
		who = append(who, account)
	}
	for _, w := range who {
		if utf8.RuneCountInString(w) >= 3 {
			text = without(text, w)
		}
	}
	return text
}

// without takes every occurrence of a word or phrase out of a text, in any case, where it
// stands between other words.
func without(text, phrase string) string {
	if !strings.Contains(strings.ToLower(text), strings.ToLower(phrase)) {
		return text
	}
	found := regexp.MustCompile(`(?i)(^|[^\p{L}\p{N}])` + regexp.QuoteMeta(phrase) + `((?:['’]s)?)($|[^\p{L}\p{N}])`)
	for i := 0; i < 3 && found.MatchString(text); i++ { // neighbours share the character between them
		text = found.ReplaceAllString(text, "$1 , $3")
	}
	return text
}
