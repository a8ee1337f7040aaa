package judge

import (
	"math"
	"regexp"
	"strings"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// grade is what a matched pattern makes a trouble at least worth.
type grade struct {
	at float64
	re *regexp.Regexp
}

// grades go from "cannot be borne" to "could be nicer". The scale is that of issue trackers:
// 1 blocker, 0.75 critical, 0.5 major, 0.25 minor.
var grades = []grade{
	{1, regexp.MustCompile(`\b(?:data (?:loss|breach|leak)|lost (?:all|everything|my (?:data|files|work|notes|photos|messages))|all my \w+ (?:are|is|were|was)? ?(?:gone|deleted|lost|disappeared)|security|vulnerab\w+|hacked|breach|gdpr|lawsuit|outage|production (?:is )?down|(?:site|system|service|everything) (?:is )?down|charged (?:me )?(?:twice|double|multiple)|double charged|unauthori[sz]ed charge)\b`)},
	{0.8, regexp.MustCompile(`\b(?:crash(?:es|ed|ing)?|can(?:'t|not|t)? (?:even )?(?:log ?in|sign in|open|access)|won'?t (?:open|start|load|install)|not (?:open|start)ing|locked out|unusable|useless|urgent(?:ly)?|asap|blocker|blocking|critical|emergency|lost|refund|losing (?:money|customers|data)|whole team|entire (?:team|company)|all (?:our|of our) (?:users|customers|agents))\b`)},
	{0.6, regexp.MustCompile(`\b(?:does ?n[o']?t work|do ?n[o']?t work|is ?n[o']?t working|not working|stopped working|broken|fail(?:s|ed|ing|ure)?|errors?|freez\w+|hangs?|stuck|wrong|incorrect|missing|disappear\w*|keeps?|every ?time|always|can(?:'t|not|t))\b`)},
	{0.45, regexp.MustCompile(`\b(?:slow|lag(?:s|gy|ging)?|annoy\w+|frustrat\w+|sometimes|glitch\w*|bugs?|confus\w+|difficult|hard to)\b`)},
	{0.2, regexp.MustCompile(`\b(?:typo|cosmetic|misspell\w*|minor|nitpick|colou?r|font|alignment|icon)\b`)},
}

var churn = regexp.MustCompile(`\b(?:cancel(?:l?ing|l?ed)?(?: my| our| the)?|switch(?:ing|ed)? to|uninstall(?:ed|ing)?|leaving|moving to|competitor|deal ?breaker|last straw|churn|not renew(?:ing)?)\b`)

// borne is what a trouble that breaks nothing counts for beside one that does.
const borne = 0.7

// severity is what a statement costs the customer, by rule: the highest grade that matches a
// bug (0.4 where none does), and 0.7 of that for what is hard to use or disliked and still
// works; up to 0.1 more for anger; and a sixth of the way further to 1 where leaving is
// spoken of. Feature requests and questions are worth at most 0.4, praise nothing.
func severity(kind feedback.Kind, text string, sentiment float64) float64 {
	s := 0.0
	switch kind {
	case feedback.Bug, feedback.Usability, feedback.Complaint:
		s = 0.4
		for _, g := range grades {
			if g.re.MatchString(text) {
				s = g.at
				break
			}
		}
		if kind != feedback.Bug {
			s *= borne
		}
		s += 0.1 * math.Max(0, -sentiment-0.5)
	case feedback.FeatureRequest:
		s = 0.25
		if grades[0].re.MatchString(text) || grades[1].re.MatchString(text) {
			s = 0.4
		}
	case feedback.Question:
		s = 0.15
	default:
		return 0
	}
	if churn.MatchString(text) {
		s += (1 - s) / 6
	}
	return math.Min(s, 1)
}

// areas are the words that name a part of almost any product, by the area they point to.
// The first that matches most often wins; ties go to the earlier.
var areas = []struct {
	name  string
	words []string
}{
	{"billing", []string{"billing", "invoice", "payment", "charge", "charged", "refund", "price", "pricing", "subscription", "premium", "credit card", "vat", "receipt", "plan"}},
	{"login", []string{"login", "log in", "sign in", "signin", "password", "sso", "saml", "2fa", "two-factor", "verification", "authenticat", "locked out", "log out", "logged out"}},
	{"notifications", []string{"notification", "notify", "alert", "reminder", "email digest", "push"}},
	{"search", []string{"search", "filter", "find results"}},
	{"export and import", []string{"export", "import", "csv", "download report", "pdf"}},
	{"sync", []string{"sync", "offline", "out of date", "refresh"}},
	{"integrations", []string{"integration", "slack", "jira", "zapier", "webhook", "api", "salesforce", "hubspot", "github"}},
	{"performance", []string{"slow", "lag", "timeout", "times out", "takes forever", "loading", "battery", "memory"}},
	{"mobile", []string{"mobile app", "iphone", "ipad", "android", "tablet", "ios"}},
	{"reporting", []string{"report", "dashboard", "analytics", "chart", "metric"}},
	{"permissions", []string{"permission", "role", "admin", "access control", "privacy"}},
	{"messages", []string{"message", "chat", "call", "inbox", "conversation"}},
	{"media", []string{"video", "photo", "picture", "image", "audio", "music", "song", "camera"}},
	{"installation", []string{"install", "upgrade", "build", "setup", "set up"}},
	{"appearance", []string{"dark mode", "theme", "font", "layout", "colour", "color", "interface", "design"}},
	{"documents", []string{"file", "document", "folder", "attachment", "upload", "note"}},
	{"settings", []string{"setting", "preference", "option to", "profile", "language"}},
}

func area(text string) string {
	best, name := 0, ""
	for _, a := range areas {
		n := 0
		for _, w := range a.words {
			n += countWords(text, w)
		}
		if n > best {
			best, name = n, a.name
		}
	}
	return name
}

// countWords counts where w begins a word of text.
func countWords(text, w string) int {
	n := 0
	for at := 0; ; {
		i := strings.Index(text[at:], w)
		if i < 0 {
			return n
		}
		at += i
		if at == 0 || !isLetter(text[at-1]) {
			n++
		}
		at += len(w)
	}
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= utf8RuneSelf }

const utf8RuneSelf = 0x80
