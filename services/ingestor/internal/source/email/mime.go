package email

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
)

// Person is a name with an address.
type Person struct{ Name, Address string }

// Mail is one e-mail, as far as it matters here. Identifiers are without angle brackets.
// Text and HTML are UTF-8 and of bounded size; attachments are not kept.
type Mail struct {
	ID      string
	Parent  string // what it answers, "" if it opens a thread
	Root    string // what opened the thread; its own ID if it does
	From    Person
	Date    time.Time // zero where it is missing or absurd
	Subject string
	Text    string
	HTML    string
	Forged  bool // the receiving server found that From is not who sent it
	Spam    bool

	header textproto.MIMEHeader
}

// verdicts are what the receiving server found, in its own words.
type verdicts struct {
	spf, dkim, dmarc string
	bad              bool
}

// Bounds of one mail.
const (
	maxDepth = 8
	maxParts = 200
	maxText  = 1 << 20 // bytes of text, and of HTML
)

// parse reads raw MIME. It is lenient: what cannot be decoded is left out, and only a text
// without any header is no mail.
func parse(raw []byte, v verdicts) (Mail, error) {
	h, rest := readHeader(raw)
	if h.Get("From") == "" && h.Get("Message-Id") == "" {
		return Mail{}, ErrForeign
	}
	var b bodies
	b.read(h, rest, 0)
	return assemble(h, b.text.String(), b.html.String(), v), nil
}

// readHeader reads as many header lines as there are, and returns what comes after them.
func readHeader(raw []byte) (textproto.MIMEHeader, []byte) {
	raw = bytes.TrimLeft(raw, "\r\n \t")
	if bytes.HasPrefix(raw, []byte("From ")) { // mbox
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	block, rest := raw, []byte(nil)
	if at := blank.FindIndex(raw); at != nil {
		block, rest = raw[:at[0]], raw[at[1]:]
	}
	h := textproto.MIMEHeader{}
	name, value := "", ""
	keep := func() {
		if name != "" {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(block))
	lines.Buffer(nil, len(block)+1)
	for lines.Scan() {
		line := lines.Text()
		if name != "" && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			value += " " + strings.TrimSpace(line)
			continue
		}
		keep()
		var ok bool
		if name, value, ok = strings.Cut(line, ":"); !ok || strings.ContainsAny(name, " \t") {
			name = ""
		}
	}
	keep()
	return h, rest
}

var blank = regexp.MustCompile(`\r?\n\r?\n`)

// bodies gathers the readable parts of a mail.
type bodies struct {
	text, html strings.Builder
	parts      int
}

func (b *bodies) read(h textproto.MIMEHeader, body []byte, depth int) {
	if b.parts++; b.parts > maxParts || depth > maxDepth {
		return
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && media == "" {
		media, params = "text/plain", nil
	}
	disposition, _, _ := strings.Cut(h.Get("Content-Disposition"), ";")
	switch {
	case strings.EqualFold(strings.TrimSpace(disposition), "attachment"):
	case strings.HasPrefix(media, "multipart/"):
		b.split(body, params["boundary"], depth)
	case media == "message/rfc822":
		inner, rest := readHeader(decoded(h, body))
		b.read(inner, rest, depth+1)
	case media == "text/plain":
		text := utf8Of(decoded(h, body), params["charset"])
		if strings.EqualFold(params["format"], "flowed") {
			text = unflow(text, strings.EqualFold(params["delsp"], "yes"))
		}
		add(&b.text, text)
	case media == "text/html":
		add(&b.html, utf8Of(decoded(h, body), params["charset"]))
	}
}

func add(out *strings.Builder, text string) {
	if out.Len() > 0 {
		out.WriteString("\n")
	}
	if room := maxText - out.Len(); len(text) > room {
		text = strings.ToValidUTF8(text[:max(room, 0)], "")
	}
	out.WriteString(text)
}

func (b *bodies) split(body []byte, boundary string, depth int) {
	if boundary == "" {
		return
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		p, err := r.NextRawPart()
		if err != nil {
			return
		}
		// A cut-off last part is read as far as it goes.
		part, err := io.ReadAll(p)
		b.read(p.Header, part, depth+1)
		if err != nil || b.parts > maxParts {
			return
		}
	}
}

// decoded undoes the transfer encoding, as far as it is sound.
func decoded(h textproto.MIMEHeader, body []byte) []byte {
	var r io.Reader = bytes.NewReader(body)
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, &alphabet{body})
	}
	out, _ := io.ReadAll(r)
	return out
}

// alphabet yields only what base64 is made of: senders wrap and indent it as they like.
type alphabet struct{ left []byte }

func (a *alphabet) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && len(a.left) > 0 {
		c := a.left[0]
		a.left = a.left[1:]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' {
			p[n] = c
			n++
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// utf8Of decodes a charset; without one, or with one that nobody knows, what is valid
// UTF-8 is taken as that, and all else as Windows-1252.
func utf8Of(b []byte, label string) string {
	enc, name := charset.Lookup(label)
	if enc == nil || name == "utf-8" {
		if text := string(b); strings.ToValidUTF8(text, "") == text {
			return text
		}
		enc, _ = charset.Lookup("windows-1252")
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// unflow joins the lines of format=flowed (RFC 3676): one that ends in a space goes on in
// the next, as far as both are quoted alike.
func unflow(text string, deleteSpace bool) string {
	var out []string
	open := false
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		flows := strings.HasSuffix(line, " ") && line != "-- "
		if open && !strings.HasPrefix(line, ">") && line != "-- " {
			last := out[len(out)-1]
			if deleteSpace {
				last = strings.TrimSuffix(last, " ")
			}
			out[len(out)-1] = last + strings.TrimPrefix(line, " ")
		} else {
			out = append(out, strings.TrimPrefix(line, " "))
		}
		open = flows && !strings.HasPrefix(line, ">")
	}
	return strings.Join(out, "\n")
}

// assemble makes a mail of a header and its texts.
func assemble(h textproto.MIMEHeader, text, html string, v verdicts) Mail {
	m := Mail{
		ID: first(ids(h.Get("Message-Id"))), From: person(h.Get("From")), Date: dateOf(h.Get("Date")),
		Subject: word(h.Get("Subject")), Text: text, HTML: html, header: h,
	}
	references := ids(h.Get("References"))
	m.Parent = first(ids(h.Get("In-Reply-To")))
	if m.Parent == "" && len(references) > 0 {
		m.Parent = references[len(references)-1]
	}
	if m.ID == "" { // the same mail has the same id all the same
		sum := sha256.Sum256([]byte(h.Get("From") + "\n" + h.Get("Date") + "\n" + m.Subject + "\n" + text + "\n" + html))
		m.ID = "made." + hex.EncodeToString(sum[:16])
	}
	m.Root = first(append(references, m.Parent, m.ID))
	m.judge(v)
	return m
}

func first(of []string) string {
	for _, s := range of {
		if s != "" {
			return s
		}
	}
	return ""
}

var messageID = regexp.MustCompile(`<\s*([^<>\s]{1,512})\s*>`)

func ids(s string) []string {
	var out []string
	for _, m := range messageID.FindAllStringSubmatch(s, 500) {
		out = append(out, strings.ToValidUTF8(m[1], ""))
	}
	if s = strings.TrimSpace(s); out == nil && s != "" && !strings.ContainsAny(s, " <>") {
		out = append(out, strings.ToValidUTF8(s[:min(len(s), 512)], ""))
	}
	return out
}

// word decodes the encoded words of a header.
func word(s string) string {
	d := mime.WordDecoder{CharsetReader: charset.NewReaderLabel}
	if out, err := d.DecodeHeader(s); err == nil {
		s = out
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

var address = regexp.MustCompile(`[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?`)

// person reads the first address of a header, however badly it is written.
func person(s string) Person {
	p := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: charset.NewReaderLabel}}
	if all, err := p.ParseList(s); err == nil && len(all) > 0 {
		return Person{strings.ToValidUTF8(all[0].Name, ""), strings.ToValidUTF8(all[0].Address, "")}
	}
	s = word(s)
	found := address.FindString(s)
	name, _, _ := strings.Cut(s, found)
	if found == "" {
		name = ""
	}
	return Person{strings.Trim(name, " \t\"'<("), found}
}

func dateOf(s string) time.Time {
	if at, err := mail.ParseDate(s); err == nil && at.Year() > 1990 && at.Year() < 2200 {
		return at.UTC().Truncate(time.Microsecond)
	}
	return payload.ParseTime(s)
}

var method = regexp.MustCompile(`(?i)\b(spf|dkim|dmarc)\s*=\s*([a-z]+)`)

// judge reads the verdicts; where the provider tells none, those of the topmost
// Authentication-Results, which the server that received the mail wrote.
func (m *Mail) judge(v verdicts) {
	if v.spf+v.dkim+v.dmarc == "" {
		for _, found := range method.FindAllStringSubmatch(m.header.Get("Authentication-Results"), 20) {
			switch result := strings.ToLower(found[2]); strings.ToLower(found[1]) {
			case "spf":
				v.spf = result
			case "dkim":
				if v.dkim != "pass" { // one signature that holds is enough
					v.dkim = result
				}
			case "dmarc":
				v.dmarc = result
			}
		}
	}
	failed := func(s string) bool { return strings.EqualFold(s, "fail") }
	m.Forged = failed(v.dmarc) || failed(v.spf) && !strings.EqualFold(v.dkim, "pass")
	m.Spam = v.bad || strings.EqualFold(strings.TrimSpace(m.header.Get("X-Spam-Flag")), "yes")
}

var (
	robots     = regexp.MustCompile(`(?i)^(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|notifications?|auto-?reply)([+.-][^@]*)?@`)
	absences   = regexp.MustCompile(`(?i)^\s*(automatic reply|auto(matic)?[ -]?(response|reply)|out of (the )?office|abwesenheits|automatische antwort|r[ée]ponse automatique|absence du bureau|respuesta autom[áa]tica|fuera de la oficina|risposta automatica|automatisch antwoord|undeliverable|undelivered mail|delivery status notification|mail delivery (failed|subsystem)|returned mail|read:|gelesen:)`)
	precedence = []string{"auto_reply", "auto-reply", "bulk", "junk", "list"}
)

// automatic reports mail that no person wrote: absences, bounces, receipts, lists. It
// follows RFC 3834, and the headers that older systems use instead.
func (m Mail) automatic() bool {
	h := m.header
	value := func(name string) string { return strings.ToLower(strings.TrimSpace(h.Get(name))) }
	submitted, _, _ := strings.Cut(value("Auto-Submitted"), ";")
	switch {
	case submitted != "" && submitted != "no",
		slices.Contains(precedence, value("Precedence")),
		h.Get("X-Autoreply") != "", h.Get("X-Autorespond") != "", h.Get("X-Auto-Response-Suppress") != "",
		h.Get("List-Id") != "", h.Get("List-Unsubscribe") != "", h.Get("Feedback-Id") != "",
		h.Get("X-Failed-Recipients") != "",
		value("Return-Path") == "<>",
		strings.HasPrefix(value("Content-Type"), "multipart/report"),
		robots.MatchString(m.From.Address),
		absences.MatchString(m.Subject):
		return true
	}
	return false
}
