// Package attribute finds, by rule, what a signal says besides its kind: how severe it is
// and why, whether the customer may leave, whether it is about security or billing, which
// platform and version, which amounts, the way round that was found, what was expected and
// what happened, and the job that the customer wants done.
//
// Every text that it gives is the customer's own, masked (package mask) and cut to a line; a
// rule that does not match gives nothing. It is pure, reads at most MaxContext bytes, and
// fails on no text.
package attribute

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/mask"
)

// MaxContext is how many bytes of the words around a signal are read.
const MaxContext = 1200

// maxLine is how many bytes a text of ours has at most.
const maxLine = 200

var (
	// risks are ways of saying that one leaves, from certain to thought of.
	risks = []struct {
		risk float64
		re   *regexp.Regexp
	}{
		{0.9, regexp.MustCompile(`(?i)\b(?:(?:have |has |i |we )?(?:cancell?ed|uninstalled|switched|left|moved)\b.{0,30}\b(?:subscription|account|plan|contract|app|to (?:a |an |another )?\w+|competitor|good)|cancell?ed my|uninstall(?:ed|ing)\b|(?:will|won['’]?t|not going to|do not|don['’]?t want to) (?:not )?(?:be )?renew(?:ing)?|(?:we're|we are|i'm|i am) (?:leaving|moving|switching|cancell?ing)|taking (?:it|this) off my)\b`)},
		{0.6, regexp.MustCompile(`(?i)\b(?:cancel (?:my|our|the) (?:subscription|account|plan|contract|membership)|delete (?:my|our) account|switch(?:ing)? to (?:another|a different|your|\p{Lu})|looking for (?:an? )?(?:alternative|another|different|decent|better)|deal ?breaker|last straw|close my account|money back|moving to another|going back to|stop (?:using|paying))`)},
		{0.35, regexp.MustCompile(`(?i)\b(?:evaluating|considering|thinking (?:about|of) (?:leaving|switching|cancell?ing)|competitors?|alternatives?|worth (?:it|the money)|can['’]?t (?:buy|roll|use) .{0,20}without)\b`)},
	}
	security = regexp.MustCompile(`(?i)\b(?:security|vulnerab\w+|hack(?:ed|er|ers|ing)|breach\w*|phishing|malware|compromised|exploit\w*|xss|sql injection|leak(?:s|ed|ing)? (?:of )?(?:data|passwords?|credentials|personal)|data leak|unauthori[sz]ed|gdpr|privacy|permissions?|encrypt\w*|audit log|penetration test|salaries)\b`)
	billing  = regexp.MustCompile(`(?i)\b(?:bill(?:s|ed|ing)?|invoices?|invoiced|payments?|charg(?:e|es|ed|ing) (?:me|us|my|our|twice|for|again|double)|(?:was|were|been|got|over|double)[ -]?charged|refunds?|subscription|pric(?:e|es|ing|ey)|vat|receipts?|credit card|premium|money back|cost(?:s|ly)?|expensive|discount|coupon|quote for)\b`)

	platforms = []struct {
		name string
		re   *regexp.Regexp
	}{
		{"ios", regexp.MustCompile(`\b(?i:iphone|ipad|ios|ipod)\b`)},
		{"android", regexp.MustCompile(`\b(?i:android|galaxy|pixel \d|kitkat|lollipop|kindle(?: fire)?|xiaomi|huawei|oneplus)\b`)},
		{"windows", regexp.MustCompile(`\b(?:Windows|(?i:win(?:dows)? ?(?:xp|7|8|10|11)|surface pro))\b`)},
		{"macos", regexp.MustCompile(`\b(?i:mac ?os|os ?x|macbook|imac|sonoma|ventura|sequoia|monterey)\b|\bMac\b`)},
		{"linux", regexp.MustCompile(`\b(?i:linux|ubuntu|debian|fedora|arch linux)\b`)},
		{"blackberry", regexp.MustCompile(`\b(?i:blackberry)\b`)},
		{"web", regexp.MustCompile(`\b(?i:chrome|firefox|safari|edge browser|microsoft edge|web ?(?:site|app|version|client)|browser)\b`)},
		{"api", regexp.MustCompile(`\b(?:API|REST|GraphQL|SDK|(?i:webhooks?))\b`)},
	}
	version = regexp.MustCompile(`(?i)\b(?:version|ver\.?|v|release|build|app version|ios|android|ipados|macos|windows|sonoma|firefox|chrome|on)\s?(\d{1,4}(?:\.\d{1,5}){1,3}(?:[-+]?(?:beta|rc|alpha)\.?\d*)?)\b|\b(?:version|ver\.?|release|build|ios|android|ipados|macos|windows)\s(\d{1,6})\b|\bv(\d{1,3}(?:\.\d{1,5}){0,3})\b`)

	money     = regexp.MustCompile(`(?i)([$€£¥₹])\s?(\d{1,3}(?:[,. ]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?)\s?(k|m)?\b|\b(\d{1,3}(?:[, ]\d{3})+(?:\.\d{1,2})?|\d+(?:\.\d{1,2})?)\s?(k|m)?\s?(usd|eur|gbp|chf|inr|jpy|dollars?|euros?|pounds?|cents?|bucks|€|£)(?:\b|$|\s)`)
	currency  = map[string]string{"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "usd": "USD", "eur": "EUR", "gbp": "GBP", "chf": "CHF", "inr": "INR", "jpy": "JPY", "dollar": "USD", "bucks": "USD", "euro": "EUR", "pound": "GBP", "cent": "USD"}
	around    = regexp.MustCompile(`(?i)(?:work(?:ed)?[ -]?around(?: (?:is|was))?:? *(?:it by |this by |that by |is to )?|as a workaround,? *(?:we |i )?|for now (?:we|i)(?:['’]re| are| have to)? *|(?:the only way (?:to \w+ (?:it|this) )?is to )|if (?:you|i|we) (?:uninstall|restart|reinstall|log out|clear|switch|turn off)\b)`)
	expected  = regexp.MustCompile(`(?i)(?:expected(?: behaviou?r| result)?\s?: *|(?:i|we) (?:would(?:['’]ve| have)? expect(?:ed)?|expected|thought) (?:that )?|(?:it )?should(?:n['’]t| not| have)? |instead of |where it should say |supposed to )`)
	actual    = regexp.MustCompile(`(?i)(?:actual(?: behaviou?r| result)?\s?: *|but (?:instead )?(?:it |i |we )|instead,? (?:it |i |we )|what happens is )`)
	job       = regexp.MustCompile(`(?i)(?:\bso (?:that )?(?:i|we|our team|my team|users|people|customers) (?:can|could|don['’]t have to) |\bin order to |\b(?:i|we)(?:['’]m|['’]re| am| are)? (?:trying|want|need|looking|have|['’]d like|would like|wish)(?: it| there)? (?:was|were|to be able|to) |\b(?:i|we) use (?:it|this|the app|\w+) (?:to|for) |\bto be able to |\blets? (?:me|us) |\bwhen (?:i|we) (?:try|want|need) to |\bfor my |\bso i can )`)
	sentences = regexp.MustCompile(`[.!?\n;]`)
)

// Of finds the attributes of a signal. quote are its words, context those of its item from
// its beginning to the next signal; both are unmasked. severity is what a judge gave it.
func Of(kind feedback.Kind, quote, context string, severity float64) feedback.Attributes {
	context = clip(context, MaxContext)
	quote = clip(quote, MaxContext)
	var a feedback.Attributes
	a.SeverityReason = reason(kind, quote, severity)
	for _, r := range risks {
		if r.re.MatchString(context) && kind != feedback.Praise {
			a.Churn = r.risk
			break
		}
	}
	a.Security = security.MatchString(quote)
	a.Billing = billing.MatchString(quote)
	for _, p := range platforms {
		if p.re.MatchString(context) {
			a.Platform = p.name
			break
		}
	}
	if m := version.FindStringSubmatch(context); m != nil {
		a.Version = first(m[1:])
	}
	a.Amounts = amounts(quote)
	if kind != feedback.Praise {
		a.Workaround = following(context, around, true)
		a.Expected = following(context, expected, false)
	}
	if kind == feedback.Bug || kind == feedback.Usability {
		if a.Actual = following(context, actual, false); a.Actual == "" && a.Expected != "" {
			a.Actual = line(sentenceAt(quote, 0))
		}
	} else {
		a.Expected = ""
	}
	a.Job = following(quote, job, false)
	return a
}

// causes are words that make a problem severe, in the order that they are looked for.
var causes = regexp.MustCompile(`(?i)\b(?:data (?:loss|breach|leak)|lost (?:all|everything|my \w+)|outage|(?:site|system|service|everything|production) (?:is )?down|(?:charged|billed) (?:me |us )?(?:twice|double)|security|vulnerab\w+|hacked|compromised|locked out|all (?:of )?(?:our|my) (?:users|customers|agents)|whole (?:team|company|class)|urgent\w*|blank|crash\w*|can(?:['’]t|not)? (?:even )?(?:log ?in|sign in|open|access|pay|use)|unusable|useless|stopped working|not working|doesn['’]?t work|broken|fail(?:s|ed|ing)?|error|froze?\w*|freez\w*|stuck|wrong|missing|disappear\w*|every (?:time|day|morning)|always|slow|lag\w*|annoy\w*|frustrat\w*|sometimes|confus\w*|typo|cosmetic)\b`)

// reason is why a signal is as severe as it is: the words that say so.
func reason(kind feedback.Kind, quote string, severity float64) string {
	if kind == feedback.Praise || severity == 0 {
		return ""
	}
	return strings.ToLower(mask.Mask(causes.FindString(quote)).Text)
}

func first(groups []string) string {
	for _, g := range groups {
		if g != "" {
			return g
		}
	}
	return ""
}

// maxAmounts is how many amounts of money a signal has at most.
const maxAmounts = 8

func amounts(text string) []feedback.Amount {
	var out []feedback.Amount
	for _, m := range money.FindAllStringSubmatch(text, maxAmounts) {
		number, unit, scale := m[2], m[1], m[3]
		if number == "" {
			number, unit, scale = m[4], strings.TrimSuffix(strings.ToLower(m[6]), "s"), m[5]
			if unit == "buck" {
				unit = "bucks"
			}
		}
		v, ok := parse(number)
		if !ok {
			continue
		}
		switch strings.ToLower(scale) {
		case "k":
			v *= 1e3
		case "m":
			v *= 1e6
		}
		if unit == "cent" {
			v /= 100
		}
		out = append(out, feedback.Amount{Value: v, Currency: currency[unit]})
	}
	return out
}

// parse reads a number with either mark as the decimal one: a mark before exactly three
// digits groups thousands.
func parse(s string) (float64, bool) {
	s = strings.ReplaceAll(s, " ", "")
	decimal := -1
	if i := strings.LastIndexAny(s, ".,"); i >= 0 && len(s)-i-1 != 3 {
		decimal = i
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case i == decimal:
			b.WriteByte('.')
		case r != '.' && r != ',':
			b.WriteRune(r)
		}
	}
	v, err := strconv.ParseFloat(b.String(), 64)
	return v, err == nil
}

// following is what stands after a phrase, to the end of its sentence; with it, where whole.
func following(text string, phrase *regexp.Regexp, whole bool) string {
	at := phrase.FindStringIndex(text)
	if at == nil {
		return ""
	}
	from := at[1]
	if whole && !strings.Contains(strings.ToLower(text[at[0]:at[1]]), "around") {
		from = at[0]
	}
	return line(sentenceAt(text, from))
}

// sentenceAt is the text from an offset to the end of its sentence. A mark between digits
// ends none.
func sentenceAt(text string, from int) string {
	rest := text[from:]
	for at := 0; at < len(rest); {
		m := sentences.FindStringIndex(rest[at:])
		if m == nil {
			break
		}
		end := at + m[0]
		if rest[end] == '.' && end+1 < len(rest) && rest[end+1] != ' ' && rest[end+1] != '\n' && rest[end+1] != '"' {
			at = end + 1
			continue
		}
		return rest[:end]
	}
	return rest
}

// line is a text masked, on one line, of bounded length.
func line(s string) string {
	s = strings.Join(strings.Fields(mask.Mask(s).Text), " ")
	s = strings.TrimRight(clip(s, maxLine), " ,;:-")
	if utf8.RuneCountInString(s) < 3 {
		return ""
	}
	return s
}

// clip cuts between characters, and between words where there are any.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	s = s[:limit]
	if i := strings.LastIndexByte(s, ' '); i > limit/2 {
		s = s[:i]
	}
	return s
}
