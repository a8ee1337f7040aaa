package email

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

var (
	reply = regexp.MustCompile(`(?i)^\s*(re|aw|sv|antw|rép|ref|odp|vs|fwd?|wg|tr|rv)\s*(\[\d+\])?\s*:`)

	// separator starts the original below a reply, in the words of the usual clients.
	separator = regexp.MustCompile(`(?i)^\W*(-{2,}|_{2,})\s*(original message|ursprüngliche nachricht|originalnachricht|message d'origine|message original|mensaje original|messaggio originale|oorspronkelijk bericht|mensagem original|oryginalna wiadomość)\s*(-{2,}|_{2,})?\s*$|^##- .{0,80} -##$`)

	// attribution introduces a quotation: "On Monday, Ada wrote:".
	attribution = regexp.MustCompile(`(?i)^\s*(on|am|le|el|il|op|em|den|på|w dniu|dne|ons|tir|man|fre)\b.{4,300}\b(wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev|napisał\(?a?\)?|napsal\(?a?\)?)\b.{0,200}:\s*$|(写道|寫道)\s*[:：]\s*$|님이 작성\s*:\s*$`)

	// headerLine is a line of the header that Outlook copies above the original.
	headerLine = regexp.MustCompile(`(?i)^\W*(from|sent|date|to|cc|subject|von|gesendet|datum|an|betreff|de|envoyé|date|à|objet|enviado|fecha|para|asunto|da|inviato|data|a|oggetto|van|verzonden|aan|onderwerp)\s*:\W`)
	fromLine   = regexp.MustCompile(`(?i)^\W*(from|von|de|da|van|från|fra|od)\s*:\W*(.*)$`)

	forward = regexp.MustCompile(`(?i)^\W*(-{2,}\s*(forwarded message|weitergeleitete nachricht|message transféré|mensaje reenviado|messaggio inoltrato|doorgestuurd bericht)\s*-{0,}|begin forwarded message:|anfang der weitergeleiteten nachricht:|début du message transféré\s*:|inicio del mensaje reenviado:|inizio messaggio inoltrato:)\s*$`)

	footer     = regexp.MustCompile(`(?i)^\W*(sent from (my|mail|yahoo|outlook|proton|samsung)|sent (via|with) |get outlook for|von meinem .{1,40} gesendet|gesendet (von|mit) |envoyé (de|depuis|à partir) |enviado desde |enviado do |inviato da |verstuurd vanaf |diese nachricht wurde von meinem )`)
	disclaimer = regexp.MustCompile(`(?i)^\W*((confidentiality notice|disclaimer|legal notice)\b|(this|the information (contained )?in this) (e-?mail|message|communication)\b.{0,200}\b(confidential|privileged|intended|addressee)|diese e-?mail enthält vertrauliche)`)
	banner     = regexp.MustCompile(`(?i)^\W*(caution|warning|external( e-?mail| sender)?)\b.{0,200}(external|outside|originated|links)`)
	closing    = regexp.MustCompile(`(?i)^\W*((with )?(best|kind|kindest|warm|warmest|many|my best|very best)?\s*(regards|wishes|greetings)|all the best|best|thanks|thank you|many thanks|thanks (a lot|again|in advance|so much)|thank you (in advance|very much|so much)|thanks (and|&) (best |kind )?regards|cheers|sincerely|yours (sincerely|truly|faithfully)|mit freundlichen grüßen|mit freundlichem gruß|freundliche grüße|viele grüße|beste grüße|liebe grüße|vg|lg|mfg|gruß|cordialement|bien cordialement|bien à vous|merci( d'avance)?|saludos( cordiales)?|un saludo|gracias|cordiali saluti|distinti saluti|grazie|met vriendelijke groet(en)?|groeten|atenciosamente|abraços|obrigad[oa]|med vänlig hälsning|mvh)\W*$`)
)

// maxLine is how long a line is at most that clients write between, above or below what
// people write.
const maxLine = 500

func is(pattern *regexp.Regexp, line string) bool {
	return len(line) <= maxLine && pattern.MatchString(line)
}

// Own returns what the writer of a plain text wrote: without the history that is quoted
// in it, wherever that stands, and without signature, footer and disclaimer. Words are
// taken out or left as they are, never changed.
func Own(text string) string {
	lines := strings.Split(plain.Clean(text), "\n")
	return plain.Clean(strings.Join(withoutSignature(withoutHistory(lines)), "\n"))
}

func withoutHistory(lines []string) []string {
	var out []string
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case is(separator, line), is(forward, line), copiedHeader(lines[i:]):
			return out
		case len(out) == 0 && is(banner, line):
			continue
		case strings.HasPrefix(strings.TrimSpace(line), ">"):
			continue
		}
		n := attributed(lines[i:])
		if n == 0 {
			out = append(out, line)
			continue
		}
		i += n - 1
		if !quotes(lines[i+1:]) {
			return out // the quotation is not marked: it is all that follows
		}
	}
	return out
}

// attributed is the number of lines, at most three, that introduce a quotation.
func attributed(lines []string) int {
	joined := ""
	for n := 1; n <= min(3, len(lines)); n++ {
		line := strings.TrimSpace(lines[n-1])
		if line == "" || strings.HasPrefix(line, ">") {
			return 0
		}
		if joined += " " + line; is(attribution, joined) {
			return n
		}
	}
	return 0
}

func quotes(lines []string) bool {
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" {
			return strings.HasPrefix(l, ">")
		}
	}
	return false
}

// copiedHeader reports a From line with at least two more header lines right below.
func copiedHeader(lines []string) bool {
	if strings.HasPrefix(strings.TrimSpace(lines[0]), "____") {
		lines = lines[1:]
		for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
			lines = lines[1:]
		}
	}
	if len(lines) == 0 || !is(fromLine, lines[0]) {
		return false
	}
	n := 0
	for _, l := range lines[1:min(len(lines), 6)] {
		if is(headerLine, l+" ") {
			n++
		}
	}
	return n >= 2
}

// maxSignature is how many lines a signature has at most, after the closing words.
const maxSignature = 12

func withoutSignature(lines []string) []string {
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		if trimmed == "--" || trimmed == "—" || is(footer, line) && len(line) < 100 || is(disclaimer, line) {
			lines = lines[:i]
			break
		}
	}
	last := len(lines)
	for i := len(lines) - 1; i >= 0 && last-i <= maxSignature+1; i-- {
		if is(closing, lines[i]) && signs(lines[i+1:]) {
			return lines[:i]
		}
	}
	return lines
}

// signs reports lines as short as those of a signature: a name, a role, a number.
func signs(lines []string) bool {
	return !slices.ContainsFunc(lines, func(l string) bool {
		l = strings.TrimSpace(l)
		return len(l) > 70 || strings.HasSuffix(l, "?") || len(strings.Fields(l)) > 8 && strings.HasSuffix(l, ".")
	})
}

// forwarded finds the first mail in one that was forwarded by hand: who wrote it, and what.
func forwarded(text string) (Person, string, bool) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !is(forward, line) && !copiedHeader(lines[i:]) {
			continue
		}
		var who Person
		j := i
		if is(forward, line) {
			j++
		}
		for ; j < len(lines); j++ {
			l := strings.TrimLeft(lines[j], "> ")
			if m := fromLine.FindStringSubmatch(l[:min(len(l), maxLine)]); m != nil && who.Address == "" {
				who = person(strings.NewReplacer("[mailto:", "<", "]", ">", "*", "").Replace(m[2]))
				continue
			}
			if who.Address != "" && strings.TrimSpace(l) == "" {
				break
			}
		}
		if who.Address == "" {
			return Person{}, "", false
		}
		return who, unquote(lines[j:]), true
	}
	return Person{}, "", false
}

// unquote takes off the marks of a quotation in which every line is quoted.
func unquote(lines []string) string {
	marked := !slices.ContainsFunc(lines, func(l string) bool {
		l = strings.TrimSpace(l)
		return l != "" && !strings.HasPrefix(l, ">")
	})
	if marked {
		lines = slices.Clone(lines)
		for i, l := range lines {
			lines[i] = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(l), ">"), " ")
		}
	}
	return strings.Join(lines, "\n")
}

var quoting = regexp.MustCompile(`(^|\s)(gmail_quote|gmail_attr|gmail_signature|moz-cite-prefix|moz-signature|yahoo_quoted|protonmail_quote|protonmail_signature_block|zmail_extra|OutlookMessageHeader)`)

// withoutQuotes takes quotations and signatures that clients mark as such out of HTML.
func withoutQuotes(body string) string {
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return body
	}
	prune(root, 0)
	var out bytes.Buffer
	if err := html.Render(&out, root); err != nil {
		return body
	}
	return out.String()
}

func prune(n *html.Node, depth int) {
	if depth > 500 {
		return
	}
	for c := n.FirstChild; c != nil; {
		next := c.NextSibling
		switch quoted, rest := marks(c); {
		case rest: // and all after it
			for c != nil {
				next = c.NextSibling
				n.RemoveChild(c)
				c = next
			}
			return
		case quoted:
			n.RemoveChild(c)
		default:
			prune(c, depth+1)
		}
		c = next
	}
}

// marks reports an element that holds a quotation, and one that a quotation starts with.
func marks(n *html.Node) (quoted, rest bool) {
	if n.Type != html.ElementNode {
		return false, false
	}
	for _, a := range n.Attr {
		switch {
		case a.Key == "class" && quoting.MatchString(a.Val), n.Data == "blockquote" && a.Key == "type" && a.Val == "cite":
			quoted = true
		case a.Key == "id" && (a.Val == "divRplyFwdMsg" || a.Val == "appendonsend" || strings.HasPrefix(a.Val, "mail-editor-reference")):
			rest = true
		}
	}
	return quoted, rest
}
