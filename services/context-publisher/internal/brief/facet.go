package brief

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// The facets that edge cases are sorted into, in the order in which they are shown.
const (
	FacetVersion    = "version"
	FacetPlatform   = "platform"
	FacetPlan       = "plan"
	FacetAmount     = "amount"
	FacetDate       = "date"
	FacetCondition  = "condition"
	FacetWorkaround = "workaround"
)

var facetOrder = []string{FacetVersion, FacetPlatform, FacetCondition, FacetWorkaround, FacetAmount, FacetDate, FacetPlan}

const month = `(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|f[ée]vrier|mar(?:ch|s)|märz|apr(?:il)?|avril|may|mai|june?|juni|juin|july?|juli|juillet|aug(?:ust)?|ao[uû]t|sept?(?:ember|embre)?|o[ck]t(?:ober|obre)?|nov(?:ember|embre)?|de[cz](?:ember)?|d[ée]cembre)`

// families are the expressions that find a facet's values in a sentence. The first group
// is the value. They are hand-written from the kinds of facts that the hand-off fixtures
// and app reviews hold; English first, with the German and French words that are common
// in support mail.
var families = map[string]*regexp.Regexp{
	FacetVersion: regexp.MustCompile(`(?i)(?:\b(?:version|release|build|update|versión|v)\s?)(\d+(?:\.\d+)*)\b|\b(\d+\.\d+\.\d+)\b|(?:\b(?:on|since|after|from|hotfix|ab|seit|depuis)\s)v?(\d{1,3}\.\d{1,3})\b`),
	FacetPlatform: regexp.MustCompile(`(?i)\b((?:ios|ipados|android|windows|macos|mac os|os x|ubuntu|debian|linux|chrome ?os|chrome|chromium|safari|firefox|edge|opera|outlook|gmail|iphone|ipad|pixel|samsung|galaxy|huawei|xiaomi|oneplus|kindle|apple watch|carplay|web app|desktop app|mobile app|mobile widget|tablet)` +
		`(?:[ /]?(?:\d+(?:\.\d+)*|[a-z]\d{1,2}|se|pro|max|plus|ultra|galaxy|pixel|phone|app)\b){0,3})`),
	FacetPlan:       regexp.MustCompile(`(?i)\b((?:free|basic|starter|standard|pro|team|business|enterprise|enterprise plus|premium|plus|family|student)(?:[- ](?:plan|tier|account|subscription|licen[cs]e|version|user|customer)s?))\b`),
	FacetAmount:     regexp.MustCompile(`(?i)((?:[$€£]|\b(?:usd|eur|gbp|chf))\s?\d[\d.,\x{00a0} ]*\d|[$€£]\d|\d{1,3}(?:[.,\x{00a0}]\d{3})+(?:[.,]\d+)?(?:\s?(?:€|eur|euros?|usd|dollars?|gbp|pounds?|chf))?|\b\d+(?:[.,]\d+)?\s?(?:%|percent|per cent|prozent|€|eur(?:os?)?|dollars?|pounds?|kb|mb|gb|tb|ms|seconds?|secs?|minutes?|mins?|minuten|hours?|stunden|heures?|days?|tage|weeks?|months?|times|seats?|users?|rows?|items?|files?|records?|km/h|km|jobs?|pages?)(?:\b|$|\s))`),
	FacetDate:       regexp.MustCompile(`(?i)(\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}(?:st|nd|rd|th|\.)?\s(?:of\s)?` + month + `\b\.?(?:\s\d{4})?|\b` + month + `\.?\s\d{1,2}(?:st|nd|rd|th)?\b(?:,?\s\d{4})?|\b(?:since|by|before|until|from|seit|vor|depuis|avant)\s(?:last\s|this\s|next\s)?(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:since|before|after|until|vor|seit|depuis|in)\s20\d{2}\b)`),
	FacetCondition:  regexp.MustCompile(`(?i)\b((?:only (?:when|if|for|on|in|after|with)|only goes wrong|whenever|every time|each time|as soon as|right after|when|if|while|once|nur (?:wenn|bei|fahrzeuge)|wenn|sobald|sowie|dès que|lorsque|quand)\s[^.;!?\n]{6,})`),
	FacetWorkaround: regexp.MustCompile(`(?i)\b((?:work ?around|for the time being|for now|in the meantime|instead|by hand|manually|have to use|gone? back to|re-?creat\w*|re-?install\w*|log(?:ging)? out and|pauschal|einstweilen|en attendant)\b[^.;!?\n]{0,80})`),
}

// closing is a line after which a mail has nothing of its own: a sign-off, the mark of a
// signature, or what the mail answers to.
var closing = regexp.MustCompile(`(?i)^(?:--|>|(?:best|kind|warm|many)? ?(?:regards|wishes|thanks)[,.!]?$|sincerely|cheers,?$|mit freundlichen|viele grüße|cordialement|saludos|cordiali saluti|on .{4,60} wrote:|am .{4,60} schrieb)`)

// aside begins a sentence that its writer says is about something else.
var aside = regexp.MustCompile(`(?i)^(?:also,? )?(?:unrelated|on (?:a different|another) (?:note|topic)|second(?:ly)?, could you|separately|other topic|anderes thema|autre chose|otra cosa)\b`)

// own lists the sentences of an item that are about the attached clusters: those that no
// signal of another cluster overlaps, without sign-offs, quoted mail and what its writer calls
// unrelated.
func own(item Item) []feedback.Span {
	var out []feedback.Span
	for _, s := range Sentences(item.Text) {
		if closing.MatchString(item.Text[s.Start:s.End]) {
			break
		}
		if aside.MatchString(item.Text[s.Start:s.End]) {
			continue
		}
		foreign := func(f feedback.Span) bool { return f.Start < s.End && s.Start < f.End }
		if !slices.ContainsFunc(item.Foreign, foreign) {
			out = append(out, s)
		}
	}
	return out
}

// Sentences splits a text at line ends and after . ! ? followed by white space. The
// spans leave white space at both ends out and never cut a character.
func Sentences(text string) []feedback.Span {
	var out []feedback.Span
	start := 0
	end := func(to int) {
		s, e := start, to
		for s < e {
			r, n := utf8.DecodeRuneInString(text[s:e])
			if !unicode.IsSpace(r) {
				break
			}
			s += n
		}
		for s < e {
			r, n := utf8.DecodeLastRuneInString(text[s:e])
			if !unicode.IsSpace(r) {
				break
			}
			e -= n
		}
		if s < e {
			out = append(out, feedback.Span{Start: s, End: e})
		}
		start = to
	}
	for i, r := range text {
		switch r {
		case '\n':
			end(i)
		case '.', '!', '?', '。', '！', '？':
			next, n := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
			if r > unicode.MaxASCII || n == 0 || unicode.IsSpace(next) {
				end(i + utf8.RuneLen(r))
			}
		}
	}
	end(len(text))
	return out
}

// edgeCases finds the variations that customers hit in the sentences of the attached
// items that are about this need. The quote of each is the sentence, of the newest voice
// that named it.
func edgeCases(in Input, heard []Signal) []EdgeCase {
	type found struct {
		EdgeCase
		who map[string]bool
	}
	all := map[string]*found{}
	for _, s := range firstOfItem(heard) {
		item := in.Items[s.Item]
		for _, at := range own(item) {
			sentence := item.Text[at.Start:at.End]
			if len(sentence) > maxQuote {
				continue
			}
			for _, facet := range facetOrder {
				if facet == FacetCondition && strings.HasSuffix(sentence, "?") {
					continue // "when will it work?" asks and tells no condition
				}
				for _, m := range families[facet].FindAllStringSubmatchIndex(sentence, -1) {
					from, to := group(m)
					value := line(strings.TrimRight(sentence[from:to], " .,;:"), 60)
					key := facet + "\x00" + strings.ToLower(value)
					f := all[key]
					if f == nil {
						f = &found{EdgeCase: EdgeCase{Facet: facet, Value: value}, who: map[string]bool{}}
						all[key] = f
					}
					f.who[s.Customer] = true
					q := quoteOf(in, s, at)
					q.Signal = signalAt(heard, s.Item, at)
					if f.Quote.Item == "" || q.SaidAt.After(f.Quote.SaidAt) {
						f.Quote = q
					}
				}
			}
		}
	}
	out := []EdgeCase{}
	for _, f := range all {
		f.Voices = len(f.who)
		out = append(out, f.EdgeCase)
	}
	slices.SortFunc(out, func(a, b EdgeCase) int {
		return cmp.Or(cmp.Compare(b.Voices, a.Voices),
			cmp.Compare(slices.Index(facetOrder, a.Facet), slices.Index(facetOrder, b.Facet)),
			cmp.Compare(strings.ToLower(a.Value), strings.ToLower(b.Value)))
	})
	return out
}

// opposing are the words with which customers say that they want it left as it is, or the
// other way round.
var opposing = regexp.MustCompile(`(?i)\b(?:please (?:don['’]?t|do not|keep|leave)|(?:don['’]?t|do not|never) (?:change|remove|touch|roll|take (?:it|this|that) away)|leave (?:it|this|that) (?:as|alone)|works? (?:fine|perfectly|great|well) for (?:us|me)|(?:more|better) \w+ than (?:ever|before)|we (?:actually |rather |much )?(?:like|love|prefer|rely on|depend on)|would rather|the opposite|on the contrary|bitte (?:nicht|so lassen)|nicht (?:ändern|entfernen|abschaffen)|lieber nicht|im gegenteil|gar nicht (?:ändern|wollen)|surtout pas|ne (?:changez|touchez|supprimez) (?:pas|rien)|au contraire|nous préférons|por favor,? no|no (?:lo )?(?:cambien|quiten)|al contrario|preferimos|liever niet|per favore non|non (?:cambiate|togliete))\b`)

// opposes reports whether a signal wants the opposite of what most of its clusters do: it
// says so, or it praises where they complain.
func opposes(in Input, s Signal, clusters []Cluster) bool {
	if opposing.MatchString(s.Quote) {
		return true
	}
	return s.Kind == feedback.Praise && slices.ContainsFunc(clusters, func(c Cluster) bool {
		return c.ID == s.Cluster && c.Kind != feedback.Praise && c.Kind != feedback.Other
	}) && len(strings.Fields(s.Quote)) >= 8
}

// venting are questions that want no answer.
var venting = regexp.MustCompile(`(?i)^\W*(?:why (?:did|do|does|would|should|is|are|am|can['’]?t|don['’]?t|the|on earth)|what (?:the|happened|is (?:wrong|going on)|kind of)|who (?:thought|the)|how (?:hard|dare|many times|can you)|really|seriously|are you|do you (?:even|really|guys)|is it (?:just|so)|what['’]?s (?:wrong|up|the point)|isn['’]?t|wtf|hello|anyone|right|ok|warum (?:nur|zum)|soll das)\b`)

// open reports whether a question is one that somebody could answer.
func open(question string) bool {
	q := strings.TrimSpace(question)
	return strings.ContainsAny(q, "?？") && len(q) >= 20 && !venting.MatchString(q)
}

// group returns the bounds of the first group that matched.
func group(m []int) (int, int) {
	for i := 2; i+1 < len(m); i += 2 {
		if m[i] >= 0 {
			return m[i], m[i+1]
		}
	}
	return m[0], m[1]
}

// firstOfItem keeps the first signal of each item: the item's sentences are read once.
func firstOfItem(signals []Signal) []Signal {
	seen := map[string]bool{}
	var out []Signal
	for _, s := range signals {
		if !seen[s.Item] {
			seen[s.Item] = true
			out = append(out, s)
		}
	}
	return out
}

// signalAt is the heard signal of an item that a span overlaps, "" for none.
func signalAt(heard []Signal, item string, at feedback.Span) string {
	for _, s := range heard {
		if s.Item == item && s.Span.Start < at.End && at.Start < s.Span.End {
			return s.ID
		}
	}
	return ""
}
