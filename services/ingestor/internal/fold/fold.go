// Package fold turns what deliveries say about a conversation into feedback items: one
// item for each customer in it, revisioned. It is pure.
//
// It promises that the order of arrival does not matter: of every message the newest
// version counts, and what is deleted stays deleted, also when the message itself arrives
// later. Folding a change twice is folding it once, so a state that already holds a
// delivery is not changed by it again. A revision is made only when what the item says,
// or who says it, has changed.
package fold

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
)

// Limits of one conversation: its state is one value in the event log.
const (
	MaxMessages = 5000
	MaxText     = 2 << 20 // bytes of all its messages
)

// ErrTooLarge is returned for a change that would grow a conversation beyond the limits.
var ErrTooLarge = errors.New("conversation is too large")

// State is all that is known of one conversation. Its zero value is a conversation that
// nothing is known of; New gives it its identity.
type State struct {
	Workspace    string               `json:"workspace"`
	Source       feedback.Source      `json:"source"`
	Connection   string               `json:"connection"`
	Conversation string               `json:"conversation"`
	Messages     map[string]Message   `json:"messages"`            // by the vendor's id
	Items        map[string]Revision  `json:"items"`               // by customer
	Withdrawn    map[string]time.Time `json:"withdrawn,omitempty"` // customer → all that was said until then is withdrawn
	Stated       int64                `json:"stated,omitempty"`    // version of the newest statement of the whole
	StatedBy     uint64               `json:"stated_by,omitempty"` // sequence of its delivery
	Deleted      bool                 `json:"deleted,omitempty"`
	DeletedAt    time.Time            `json:"deleted_at,omitzero"`  // the newest deletion,
	RestoredAt   time.Time            `json:"restored_at,omitzero"` // and the newest restoration
	Voices       map[string]string    `json:"voices,omitempty"`     // customer → whose voice that is, where it is another's
}

// Message is one message. Gone ones keep their id, so that they stay gone.
type Message struct {
	Version  int64               `json:"version,omitempty"`
	Sequence uint64              `json:"sequence,omitempty"` // of the delivery that said it; decides between equal versions
	Customer feedback.Customer   `json:"customer,omitzero"`
	Ref      string              `json:"ref,omitempty"` // the customer's id without regard to the address
	Account  feedback.AccountRef `json:"account,omitzero"`
	At       time.Time           `json:"at,omitzero"`
	Changed  time.Time           `json:"changed,omitzero"`
	Text     string              `json:"text,omitempty"`
	URL      string              `json:"url,omitempty"`
	Gone     bool                `json:"gone,omitempty"`
	With     bool                `json:"with,omitempty"` // gone with its conversation only, and back once that is
}

// Revision is what was last published of an item.
type Revision struct {
	Number  int64     `json:"number"`
	Hash    string    `json:"hash"`
	Created time.Time `json:"created"`
	Deleted bool      `json:"deleted,omitempty"`
}

// New is the state of a conversation that nothing is known of yet.
func New(workspace, connection string, p change.Place) *State {
	return &State{
		Workspace: workspace, Source: p.Source, Connection: connection,
		Conversation: feedback.ConversationID(workspace, p.Source, p.External),
	}
}

// Place returns the conversation that a change is about, and false for changes that are
// not about one conversation.
func Place(c change.Change) (change.Place, bool) {
	switch c := c.(type) {
	case change.MessageUpserted:
		return c.Place, true
	case change.MessageDeleted:
		return c.Place, true
	case change.ConversationStated:
		return c.Place, true
	case change.ConversationDeleted:
		return c.Place, true
	case change.ConversationRestored:
		return c.Place, true
	}
	return change.Place{}, false
}

// Apply folds one change about this conversation, of the delivery with this sequence. It
// fails with ErrTooLarge, having changed nothing.
func (s *State) Apply(c change.Change, sequence uint64) error {
	if s.Messages == nil {
		s.Messages = map[string]Message{}
	}
	switch c := c.(type) {
	case change.MessageUpserted:
		if !s.fits(c) {
			return ErrTooLarge
		}
		s.upsert(c, sequence)
	case change.MessageDeleted:
		if _, known := s.Messages[c.ID]; !known && len(s.Messages) >= MaxMessages {
			return ErrTooLarge
		}
		s.remove(c.ID, c.At)
	case change.ConversationStated:
		if !s.fits(c.Messages...) {
			return ErrTooLarge
		}
		s.state(c, sequence)
	case change.ConversationDeleted:
		if c.At.After(s.DeletedAt) {
			s.DeletedAt = c.At
		}
		if s.Deleted = s.Deleted || c.At.After(s.RestoredAt); s.Deleted {
			for id := range s.Messages {
				s.away(id, c.At)
			}
		}
	case change.ConversationRestored:
		if c.At.After(s.RestoredAt) {
			s.RestoredAt = c.At
		}
		if s.Deleted && !s.DeletedAt.IsZero() && c.At.After(s.DeletedAt) {
			s.Deleted = false
		}
	}
	return nil
}

// Withdraw takes back everything that a customer has said until at, for good.
func (s *State) Withdraw(customer string, at time.Time) {
	if s.Withdrawn == nil {
		s.Withdrawn = map[string]time.Time{}
	}
	if at.After(s.Withdrawn[customer]) {
		s.Withdrawn[customer] = at
	}
	for id, m := range s.Messages {
		if m.Customer.ID == customer && s.withdrawn(customer, m.At) {
			s.remove(id, at)
		}
	}
}

func (s *State) withdrawn(customer string, said time.Time) bool {
	at, ok := s.Withdrawn[customer]
	return ok && !said.After(at)
}

// remove empties a message of everything but that it existed. The newest change counts
// for the item's time stamp, whichever order removals come in.
func (s *State) remove(id string, at time.Time) {
	m := s.Messages[id]
	changed := at
	if m.Changed.After(at) {
		changed = m.Changed
	}
	s.Messages[id] = Message{Gone: true, Changed: changed}
}

// away removes a message with its conversation. One that was gone before stays so for good.
func (s *State) away(id string, at time.Time) {
	m, known := s.Messages[id]
	s.remove(id, at)
	if !known || !m.Gone || m.With {
		away := s.Messages[id]
		away.With = true
		s.Messages[id] = away
	}
}

func (s *State) upsert(c change.MessageUpserted, sequence uint64) {
	old, known := s.Messages[c.ID]
	m := Message{
		Version: c.Version, Sequence: sequence, Account: c.Account, At: c.At.UTC(), Changed: c.Changed.UTC(), Text: c.Text, URL: c.URL,
		Ref: feedback.CustomerID(s.Workspace, s.Source, c.Author.ID, ""),
		Customer: feedback.Customer{
			ID:   feedback.CustomerID(s.Workspace, s.Source, c.Author.ID, c.Author.Email),
			Name: c.Author.Name, Email: c.Author.Email,
		},
	}
	if c.Changed.IsZero() {
		m.Changed = m.At
	}
	switch {
	case s.Deleted:
		s.away(c.ID, m.Changed)
	case known && old.Gone && !old.With:
		s.remove(c.ID, m.Changed)
	case s.withdrawn(m.Customer.ID, m.At):
		s.remove(c.ID, m.Changed)
	case known && !old.Gone && (old.Version > m.Version || old.Version == m.Version && old.Sequence >= sequence):
		if m.At.Before(old.At) {
			old.At = m.At
			s.Messages[c.ID] = old
		}
	default:
		if known && !old.Gone && old.At.Before(m.At) {
			m.At = old.At // an edit does not say something anew
		}
		s.Messages[c.ID] = m
	}
}

func (s *State) state(c change.ConversationStated, sequence uint64) {
	if s.Deleted || c.Version < s.Stated || c.Version == s.Stated && sequence <= s.StatedBy && s.StatedBy > 0 {
		return
	}
	s.Stated, s.StatedBy = c.Version, sequence
	s.Messages = map[string]Message{}
	for _, m := range c.Messages {
		s.upsert(m, sequence)
	}
}

// fits reports whether the conversation stays within its limits with these messages.
func (s *State) fits(more ...change.MessageUpserted) bool {
	n, size := len(s.Messages), 0
	for _, m := range s.Messages {
		size += len(m.Text)
	}
	for _, m := range more {
		old, known := s.Messages[m.ID]
		if !known {
			n++
		}
		size += len(m.Text) - len(old.Text)
	}
	return n <= MaxMessages && size <= MaxText
}

// Attribute says whose voice a customer is, and reports whether the customer is known here.
// Their items keep their ids.
func (s *State) Attribute(customer, voice string) bool {
	_, known := s.Items[customer]
	for _, m := range s.Messages {
		known = known || m.Customer.ID == customer
	}
	switch {
	case !known:
	case customer == voice:
		delete(s.Voices, customer)
	default:
		if s.Voices == nil {
			s.Voices = map[string]string{}
		}
		s.Voices[customer] = voice
	}
	return known
}

// Name says what somebody is called who spoke here without a name, by the id that their
// vendor's own identity gives them, and reports whether that was news.
func (s *State) Name(ref, name string) bool {
	news := false
	for id, m := range s.Messages {
		if (m.Ref == ref || m.Customer.ID == ref) && m.Customer.Name == "" && !m.Gone {
			m.Customer.Name, news = name, true
			s.Messages[id] = m
		}
	}
	return news
}

// Voice is whose voice a customer is: mostly their own.
func (s *State) Voice(customer string) string {
	if v, ok := s.Voices[customer]; ok {
		return v
	}
	return customer
}

// Revise compares what the conversation now says with what was last published, records
// the difference as published, and returns the items that changed, in order of their id.
// An item that nothing is left of comes back without words and without a name.
func (s *State) Revise() []feedback.Item {
	now := s.items()
	if s.Items == nil {
		s.Items = map[string]Revision{}
	}
	for customer := range s.Items {
		if _, ok := now[customer]; !ok {
			now[customer] = feedback.Item{Customer: feedback.Customer{ID: customer}}
		}
	}
	var out []feedback.Item
	for customer, it := range now {
		last, known := s.Items[customer]
		gone := len(it.Messages) == 0
		it.Customer.ID = s.Voice(customer)
		hash := hashOf(it)
		if !known && gone || known && last.Deleted == gone && (gone || last.Hash == hash) {
			continue
		}
		if gone {
			it.CreatedAt, it.UpdatedAt, hash = last.Created, s.changed(), ""
			it.Messages = []feedback.Message{}
		}
		it.ID = feedback.ItemID(s.Workspace, s.Conversation, customer)
		it.Workspace, it.Source, it.Connection, it.Conversation = s.Workspace, s.Source, s.Connection, s.Conversation
		it.Revision = last.Number + 1
		s.Items[customer] = Revision{Number: it.Revision, Hash: hash, Created: it.CreatedAt, Deleted: gone}
		out = append(out, it)
	}
	slices.SortFunc(out, func(a, b feedback.Item) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// changed is when anything in the conversation last changed.
func (s *State) changed() time.Time {
	var t time.Time
	for _, m := range s.Messages {
		if m.Changed.After(t) {
			t = m.Changed
		}
	}
	for _, at := range s.Withdrawn {
		if at.After(t) {
			t = at
		}
	}
	return t
}

// items gathers each customer's messages in order of time. The same words twice by the
// same customer count once: vendors repeat an opening message as a comment.
func (s *State) items() map[string]feedback.Item {
	ids := slices.Collect(maps.Keys(s.Messages))
	slices.SortFunc(ids, func(a, b string) int {
		if c := s.Messages[a].At.Compare(s.Messages[b].At); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	out := map[string]feedback.Item{}
	newest := map[string]Message{}
	for _, id := range ids {
		m := s.Messages[id]
		if m.Gone {
			continue
		}
		it := out[m.Customer.ID]
		if n, ok := newest[m.Customer.ID]; !ok || m.Version > n.Version {
			newest[m.Customer.ID] = m
		}
		if m.Changed.After(it.UpdatedAt) {
			it.UpdatedAt = m.Changed
		}
		if it.CreatedAt.IsZero() {
			it.CreatedAt, it.URL = m.At, m.URL
		}
		it.Customer = merge(it.Customer, m.Customer, newest[m.Customer.ID].Version == m.Version)
		it.Account = mergeAccount(it.Account, m.Account, newest[m.Customer.ID].Version == m.Version)
		if !slices.ContainsFunc(it.Messages, func(o feedback.Message) bool { return o.Text == m.Text }) {
			it.Messages = append(it.Messages, feedback.Message{ID: id, Version: m.Version, At: m.At, Text: m.Text})
		}
		out[m.Customer.ID] = it
	}
	for customer, it := range out {
		texts := make([]string, len(it.Messages))
		for i, m := range it.Messages {
			texts[i] = m.Text
			if m.At.After(it.UpdatedAt) {
				it.UpdatedAt = m.At
			}
		}
		it.Text = strings.Join(texts, "\n\n")
		out[customer] = it
	}
	return out
}

// merge keeps what is known of a person; what a newer message says of them counts more.
func merge(old, new feedback.Customer, newer bool) feedback.Customer {
	return feedback.Customer{ID: new.ID, Name: pick(old.Name, new.Name, newer), Email: pick(old.Email, new.Email, newer)}
}

func mergeAccount(old, new feedback.AccountRef, newer bool) feedback.AccountRef {
	return feedback.AccountRef{ID: pick(old.ID, new.ID, newer), Name: pick(old.Name, new.Name, newer)}
}

func pick(old, new string, newer bool) string {
	if new != "" && (newer || old == "") {
		return new
	}
	return old
}

// hashOf covers what makes a revision: who, which company, the words, and which messages
// they are. Versions are left out: an edit that changes no word makes none.
func hashOf(it feedback.Item) string {
	messages := slices.Clone(it.Messages)
	for i := range messages {
		messages[i].Version = 0
	}
	b, _ := json.Marshal([]any{it.Customer, it.Account, it.URL, messages}) // strings and times: cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Customers lists who has an item in the conversation, with the id that their vendor's
// own identity gives them where that is another one.
func (s *State) Customers() map[string]string {
	out := map[string]string{}
	for customer := range s.Items {
		out[customer] = ""
	}
	for _, m := range s.Messages {
		if _, ok := out[m.Customer.ID]; ok && m.Ref != m.Customer.ID {
			out[m.Customer.ID] = m.Ref
		}
	}
	return out
}
