// Package feedbackapi reads what programs post to /v1: feedback, accounts, deletions and
// erasures. Feedback states a whole conversation at once: what a later statement no
// longer names is gone.
package feedbackapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/plain"
)

// Kinds of deliveries that our own API makes, on the reserved connection Connection.
const (
	Connection = "api"

	Feedback = "feedback" // body: array of entries
	Accounts = "accounts" // body: array of accounts
	Deletion = "deletion" // body: {"item": ID}
	Erasure  = "erasure"  // body: {"customer": ID}
	Expiry   = "expiry"   // body: {"items": [ID], "until": TIME}
)

// Limits of one entry.
const (
	MaxID       = 512     // bytes
	MaxText     = 200_000 // bytes, of all messages together
	MaxMessages = 1000
)

// Entry is one piece of feedback as it is posted. Either Text or Messages is given.
type Entry struct {
	ID        payload.Text `json:"id"`
	Text      string       `json:"text"`
	Messages  []Message    `json:"messages"`
	Source    string       `json:"source"`
	Author    Author       `json:"author"`
	Account   Account      `json:"account"`
	URL       string       `json:"url"`
	CreatedAt string       `json:"created_at"`
}

// Message is one turn of a conversation. From says whose: the author's id, name or
// address, "customer", or nothing for the author; anybody else's turns are left out.
type Message struct {
	At   string `json:"at"`
	From string `json:"from"`
	Text string `json:"text"`
}

// Author is the customer.
type Author struct {
	ID    payload.Text `json:"id"`
	Name  string       `json:"name"`
	Email string       `json:"email"`
}

// Account is the customer's company, as an object or as its id alone. What it tells of the
// company besides its name replaces what was known of that; what it does not tell stays.
// Value is a year's.
type Account struct {
	ID       payload.Text `json:"id"`
	Name     string       `json:"name"`
	Domains  []string     `json:"domains"`
	Value    payload.Text `json:"value"`
	Currency string       `json:"currency"`
	Plan     string       `json:"plan"`
	Segment  string       `json:"segment"`
}

// told is what the account tells; ok is false where that is no more than who it is.
func (a Account) told() (told feedback.Account, ok bool, err error) {
	told = feedback.Account{ID: string(a.ID), Name: a.Name, Currency: a.Currency, Plan: a.Plan, Segment: a.Segment}
	if told.ID == "" {
		told.ID = a.Name
	}
	if a.Value != "" {
		if told.Value, err = strconv.ParseFloat(string(a.Value), 64); err != nil || !(told.Value >= 0 && told.Value <= 1e15) {
			return told, false, errors.New("account.value is not a number, or out of range")
		}
	}
	if !currency.MatchString(a.Currency) {
		return told, false, errors.New("account.currency is not an ISO 4217 code")
	}
	for _, d := range a.Domains {
		if d = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(d, "@"))); d != "" {
			told.Domains = append(told.Domains, d)
		}
	}
	more := told.Value > 0 || told.Plan != "" || told.Segment != "" || len(told.Domains) > 0
	switch {
	case more && told.ID == "":
		return told, false, errors.New("account.id is required")
	case len(told.ID) > MaxID:
		return told, false, fmt.Errorf("account.id is longer than %d bytes", MaxID)
	}
	return told, more, nil
}

// UnmarshalJSON takes an object or a string.
func (a *Account) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '{' {
		a.Name = ""
		return a.ID.UnmarshalJSON(b)
	}
	type bare Account
	return json.Unmarshal(b, (*bare)(a))
}

// Read reads and validates one entry. Its errors are for the sender and name fields, not
// values. An entry without an id gets one made from its content, so that sending it twice
// is sending it once.
func Read(raw []byte) (Entry, error) {
	var e Entry
	if err := payload.Decode(raw, &e); err != nil {
		return Entry{}, err
	}
	size := len(e.Text)
	for _, m := range e.Messages {
		size += len(m.Text)
		if m.At != "" && payload.ParseTime(m.At).IsZero() {
			return Entry{}, errors.New("messages[].at is not an RFC 3339 time")
		}
	}
	switch {
	case len(e.ID) > MaxID:
		return Entry{}, fmt.Errorf("id is longer than %d bytes", MaxID)
	case e.Text != "" && len(e.Messages) > 0:
		return Entry{}, errors.New("give either text or messages")
	case size > MaxText || len(e.Messages) > MaxMessages:
		return Entry{}, fmt.Errorf("text is longer than %d bytes, or there are more than %d messages", MaxText, MaxMessages)
	case e.CreatedAt != "" && payload.ParseTime(e.CreatedAt).IsZero():
		return Entry{}, errors.New("created_at is not an RFC 3339 time")
	case e.URL != "" && !strings.HasPrefix(e.URL, "https://") && !strings.HasPrefix(e.URL, "http://"):
		return Entry{}, errors.New("url is not an http or https URL")
	case e.Source != "" && !sources[feedback.Source(e.Source)]:
		return Entry{}, errors.New("source is none of slack, intercom, zendesk, webhook, email, import")
	}
	if _, _, err := e.Account.told(); err != nil {
		return Entry{}, err
	}
	if e.ID == "" {
		e.ID = payload.Text(feedback.ID("own", string(raw)))
	}
	if len(e.said(time.Time{})) == 0 {
		return Entry{}, errors.New("text or messages with words of the customer are required")
	}
	return e, nil
}

var sources = map[feedback.Source]bool{feedback.Slack: true, feedback.Intercom: true, feedback.Zendesk: true, feedback.Webhook: true, feedback.Email: true, feedback.Import: true}

// Place is the conversation that an entry states, on the connection it came through.
func (e Entry) Place(connection string) change.Place {
	source := feedback.Source(e.Source)
	if source == "" {
		source = feedback.Webhook
	}
	return change.Place{Source: source, External: connection + ":" + string(e.ID)}
}

// Change states the conversation. Without created_at the time of receipt orders
// statements.
func (e Entry) Change(connection string, received time.Time) change.ConversationStated {
	at := payload.First(payload.ParseTime(e.CreatedAt), received.UTC().Truncate(time.Microsecond))
	s := change.ConversationStated{Place: e.Place(connection), Version: payload.Version(at), Messages: e.said(at)}
	for i := range s.Messages {
		s.Messages[i].Place = s.Place
		s.Messages[i].Version = s.Version
	}
	return s
}

// Changes states the conversation, and what the entry tells of the customer's company.
func (e Entry) Changes(connection string, received time.Time) []change.Change {
	out := []change.Change{e.Change(connection, received)}
	if account, more, err := e.Account.told(); more && err == nil {
		out = append(out, change.AccountTold{Account: account})
	}
	return out
}

// said lists the customer's own words.
func (e Entry) said(at time.Time) []change.MessageUpserted {
	turns := e.Messages
	if len(turns) == 0 {
		turns = []Message{{Text: e.Text}}
	}
	var out []change.MessageUpserted
	for i, m := range turns {
		who, ok := e.author(m.From)
		text := plain.Clean(m.Text)
		if !ok || text == "" {
			continue
		}
		said := payload.First(payload.ParseTime(m.At), at)
		id := "text"
		if len(e.Messages) > 0 {
			id = fmt.Sprintf("%04d", i)
		}
		out = append(out, change.MessageUpserted{
			ID: id, Author: who, Account: feedback.AccountRef{ID: string(e.Account.ID), Name: e.Account.Name},
			At: said, Changed: said, Text: text, URL: e.URL,
		})
	}
	return out
}

// author says who a turn is by, and whether that is a customer. Where the entry names no
// author, each speaker who is not one of ours is a customer of their own.
func (e Entry) author(from string) (change.Author, bool) {
	a := change.Author{ID: string(e.Author.ID), Name: e.Author.Name, Email: e.Author.Email}
	if a.ID == "" {
		a.ID = a.Email
	}
	named := a.ID != "" || a.Name != ""
	f := strings.ToLower(strings.TrimSpace(from))
	switch {
	case ours.MatchString(f):
		return change.Author{}, false
	case named && f != "" && !theirs.MatchString(f) && f != strings.ToLower(a.ID) && f != strings.ToLower(a.Name) && f != strings.ToLower(a.Email):
		return change.Author{}, false
	case !named && f != "" && !theirs.MatchString(f):
		a.Name = strings.TrimSpace(from)
	}
	if a.ID == "" {
		a.ID = "entry " + string(e.ID) + " " + strings.ToLower(a.Name)
	}
	return a, true
}

var (
	ours   = regexp.MustCompile(`^(agent|admin|bot|operator|staff|support|system|teammate|assistant)\b`)
	theirs = regexp.MustCompile(`^(customer|user|end[-_ ]?user|contact|client|lead|requester|author|caller)\b`)
)

// Items lists the feedback items that the entry becomes.
func (e Entry) Items(workspace, connection string) []string {
	p := e.Place(connection)
	conversation := feedback.ConversationID(workspace, p.Source, p.External)
	var out []string
	seen := map[string]bool{}
	for _, m := range e.said(time.Time{}) {
		customer := feedback.CustomerID(workspace, p.Source, m.Author.ID, m.Author.Email)
		if !seen[customer] {
			seen[customer] = true
			out = append(out, feedback.ItemID(workspace, conversation, customer))
		}
	}
	return out
}

// Decode says what a delivery of one of this package's kinds means.
func Decode(in event.Delivery) ([]change.Change, error) {
	switch in.Kind {
	case Feedback:
		return entries(in)
	case Accounts:
		return accounts(in)
	case Deletion:
		var v struct{ Item string }
		if err := payload.Decode(in.Body, &v); err != nil || v.Item == "" {
			return nil, fmt.Errorf("decode deletion: it names no item")
		}
		return []change.Change{change.ItemWithdrawn{Item: v.Item, At: in.ReceivedAt}}, nil
	case Erasure:
		var v struct{ Customer string }
		if err := payload.Decode(in.Body, &v); err != nil || v.Customer == "" {
			return nil, fmt.Errorf("decode erasure: it names no customer")
		}
		return []change.Change{change.CustomerErased{Customer: v.Customer, At: in.ReceivedAt}}, nil
	case Expiry:
		var v struct {
			Items []string  `json:"items"`
			Until time.Time `json:"until"`
		}
		if err := payload.Decode(in.Body, &v); err != nil || len(v.Items) == 0 || v.Until.IsZero() {
			return nil, fmt.Errorf("decode expiry: it names no items or no time")
		}
		return []change.Change{change.Expired{Items: v.Items, Until: v.Until}}, nil
	}
	return nil, fmt.Errorf("decode delivery: unknown kind")
}

func entries(in event.Delivery) ([]change.Change, error) {
	var raws []json.RawMessage
	if err := payload.Decode(in.Body, &raws); err != nil {
		return nil, fmt.Errorf("decode feedback: %w", err)
	}
	var out []change.Change
	for i, raw := range raws {
		e, err := Read(raw)
		if err != nil {
			return nil, fmt.Errorf("decode feedback: entry %d: %w", i, err)
		}
		out = append(out, e.Changes(in.Connection, in.ReceivedAt)...)
	}
	if out == nil {
		return change.None("no entries"), nil
	}
	return out, nil
}

var currency = regexp.MustCompile(`^([A-Z]{3})?$`)

// ReadAccounts reads and validates an array of accounts. The error names the first that
// is wrong, by its index.
func ReadAccounts(body []byte) ([]feedback.Account, error) {
	var all []feedback.Account
	if err := payload.Decode(body, &all); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i, a := range all {
		var what string
		switch {
		case a.ID == "" || len(a.ID) > MaxID:
			what = "id is required, at most 512 bytes"
		case seen[a.ID]:
			what = "id occurs twice"
		case a.Value < 0 || a.Value > 1e15:
			what = "value is out of range"
		case !currency.MatchString(a.Currency):
			what = "currency is not an ISO 4217 code"
		}
		if what != "" {
			return nil, fmt.Errorf("account %d: %s", i, what)
		}
		seen[a.ID] = true
		for j, d := range a.Domains {
			if all[i].Domains[j] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(d, "@"))); all[i].Domains[j] == "" {
				return nil, fmt.Errorf("account %d: a domain is empty", i)
			}
		}
	}
	return all, nil
}

func accounts(in event.Delivery) ([]change.Change, error) {
	all, err := ReadAccounts(in.Body)
	if err != nil {
		return nil, fmt.Errorf("decode accounts: %w", err)
	}
	var out []change.Change
	for _, a := range all {
		out = append(out, change.AccountChanged{Account: a})
	}
	if out == nil {
		return change.None("no entries"), nil
	}
	return out, nil
}
