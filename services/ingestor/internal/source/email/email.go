// Package email reads mail that a provider of inbound mail posts, or that any mail server
// posts as it is: raw MIME, or the fields that the provider made of it. A conversation is
// a thread of mail. What counts is what a customer wrote in this mail: quoted history,
// signatures and footers are left out, and so is mail that no person wrote.
//
// An address in a From line is a claim. Where the receiving server found it to be forged,
// the words are kept, but as those of a stranger: they join nobody's voice or account.
package email

import (
	"errors"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

// Decoder reads one connection's deliveries. Address is where customers write to, such as
// feedback@acme.example; mail from its domain is by our own people. What they forward
// counts as its first author's words.
type Decoder struct{ Address string }

// Decode says what a delivery means. It fails on a body that holds no mail, and on mail
// without a sender.
func (d Decoder) Decode(in event.Delivery) ([]change.Change, error) {
	m, err := Open(in.Headers["content-type"], in.Body)
	switch {
	case errors.Is(err, ErrSubscription):
		return change.None("subscription to confirm"), nil
	case err != nil:
		return nil, fmt.Errorf("decode e-mail: %w", err)
	case m.From.Address == "":
		return nil, fmt.Errorf("decode e-mail: no sender")
	case m.Spam:
		return change.None("spam"), nil
	case m.automatic():
		return change.None("automatic mail"), nil
	}
	from, text := m.From, m.words()
	if d.ours(from.Address) {
		author, said, ok := forwarded(m.whole())
		if !ok || d.ours(author.Address) {
			return change.None("mail of our own"), nil
		}
		from, text = author, Own(said)
	}
	if text == "" {
		return change.None("mail without words of its own"), nil
	}
	at := m.Date
	if at.IsZero() || at.After(in.ReceivedAt) {
		at = in.ReceivedAt.UTC()
	}
	who := change.Author{ID: strings.ToLower(from.Address), Name: from.Name, Email: from.Address}
	if m.Forged {
		who = change.Author{ID: "unverified " + who.ID, Name: from.Name}
	}
	return []change.Change{change.MessageUpserted{
		Place: change.Place{Source: feedback.Email, External: in.Connection + ":" + m.Root}, ID: m.ID, Version: payload.Version(at),
		Author: who, At: at, Changed: at, Text: text,
	}}, nil
}

// words are what the sender wrote. Mail that opens a thread says it in its subject too.
func (m Mail) words() string {
	own := Own(m.visible())
	subject := plain.Clean(m.Subject)
	if m.Parent != "" || subject == "" || reply.MatchString(subject) || strings.Contains(strings.ToLower(own), strings.ToLower(subject)) {
		return own
	}
	return plain.Clean(subject + "\n\n" + own)
}

// visible is the mail's text, of its HTML only where there is no other.
func (m Mail) visible() string {
	if text := plain.Clean(m.Text); text != "" {
		return text
	}
	return plain.FromHTML(withoutQuotes(m.HTML))
}

// whole is the mail's text with all that it quotes.
func (m Mail) whole() string {
	if text := plain.Clean(m.Text); text != "" {
		return text
	}
	return plain.FromHTML(m.HTML)
}

// ours reports an address of our own people.
func (d Decoder) ours(address string) bool {
	own, address := strings.ToLower(d.Address), strings.ToLower(address)
	if own == "" {
		return false
	}
	_, domain, _ := strings.Cut(own, "@")
	return own == address || !shared[domain] && strings.HasSuffix(address, "@"+domain)
}

// shared are domains that belong to no company.
var shared = map[string]bool{
	"gmail.com": true, "googlemail.com": true, "outlook.com": true, "hotmail.com": true, "live.com": true, "yahoo.com": true, "icloud.com": true,
	"me.com": true, "aol.com": true, "gmx.de": true, "gmx.net": true, "web.de": true, "proton.me": true, "protonmail.com": true, "mail.ru": true, "qq.com": true, "163.com": true,
}
