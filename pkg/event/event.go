// Package event defines what flows between the services: past-tense facts in a
// CloudEvents 1.0 envelope, one payload type per fact. Each type's contract is the
// JSON Schema of the same name in the schemas module; both sides of every hop are
// tested against its examples.
//
// Decode refuses an event of an unknown type or version, so that a newer producer
// can never be half understood by an older consumer.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Type names a fact and the version of its contract.
type Type string

// Every type of event. The name before the version is what happened.
const (
	DeliveryAccepted Type = "delivery.accepted.v1"

	ItemReceived   Type = "item.received.v1"
	ItemEdited     Type = "item.edited.v1"
	ItemDeleted    Type = "item.deleted.v1"
	AccountChanged Type = "account.changed.v1"
	CustomerErased Type = "customer.erased.v1"

	TicketCreated Type = "ticket.created.v1"
	TicketMoved   Type = "ticket.moved.v1"
	TicketEdited  Type = "ticket.edited.v1"
	TicketDeleted Type = "ticket.deleted.v1"

	TicketAttached Type = "ticket.attached.v1"

	ItemClassified Type = "item.classified.v1"
	WorldChanged   Type = "world.changed.v1"
	DecisionMade   Type = "decision.made.v1"
	BriefRevised   Type = "brief.revised.v1"
)

// Envelope is the wrapper that every event travels in. The attribute names are
// those of CloudEvents 1.0; Workspace is an extension. ID is derived from what the
// event is about, never random, so that publishing twice is publishing once.
type Envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        Type            `json:"type"`
	Subject     string          `json:"subject"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Workspace   string          `json:"workspace"`
	Data        json.RawMessage `json:"data"`
}

// Delivery is one inbound request as it came (delivery.accepted). Headers holds
// only the headers that decoding needs; Body is the raw body.
type Delivery struct {
	ID         string            `json:"id"`
	Connection string            `json:"connection"`
	Kind       string            `json:"kind"`
	ReceivedAt time.Time         `json:"received_at"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       []byte            `json:"body"`
}

// Origin says which delivery an event was decoded from: Sequence is the stream
// sequence of the delivery, Ordinal the place of the event among those decoded
// from it, AcceptedAt when the sender was answered 2xx. Freshness is measured from
// AcceptedAt; order is (Sequence, Ordinal).
type Origin struct {
	Delivery   string    `json:"delivery"`
	Sequence   uint64    `json:"sequence"`
	Ordinal    int       `json:"ordinal"`
	AcceptedAt time.Time `json:"accepted_at"`
}

// Item is the payload of item.received, item.edited and item.deleted. A deleted
// item carries no text.
type Item struct {
	Origin Origin        `json:"origin"`
	Item   feedback.Item `json:"item"`
}

// Account is the payload of account.changed.
type Account struct {
	Origin  Origin           `json:"origin"`
	Account feedback.Account `json:"account"`
}

// Erasure is the payload of customer.erased: everything this customer said is
// withdrawn from every item named.
type Erasure struct {
	Origin   Origin   `json:"origin"`
	Customer string   `json:"customer"`
	Items    []string `json:"items"`
}

// Ticket is the payload of the ticket events. Previous is the status before a move,
// with its category; both are empty where the vendor does not tell.
type Ticket struct {
	Origin           Origin                  `json:"origin"`
	Ticket           feedback.Ticket         `json:"ticket"`
	Previous         string                  `json:"previous,omitempty"`
	PreviousCategory feedback.StatusCategory `json:"previous_category,omitempty"`
}

// Classified is the payload of item.classified: the classifier's one result for one
// event of the items stream, in the order of that stream. Exactly one of Item,
// Account and Erasure is set. With Item, Signals are all signals of this revision
// and replace those of every earlier one; a deleted item has none. ItemSequence is
// the stream sequence of the event it answers.
type Classified struct {
	Origin       Origin            `json:"origin"`
	ItemSequence uint64            `json:"item_sequence"`
	Item         *ItemHead         `json:"item,omitempty"`
	Deleted      bool              `json:"deleted,omitempty"`
	Signals      []feedback.Signal `json:"signals,omitempty"`
	Reading      *Reading          `json:"reading,omitempty"`
	Account      *feedback.Account `json:"account,omitempty"`
	Erasure      *Erasure          `json:"erasure,omitempty"`
}

// Reading says how an item was read. It is set with an item that is not deleted.
type Reading struct {
	Language    string `json:"language,omitempty"`    // ISO 639-1 code, where it can be told
	Unsupported bool   `json:"unsupported,omitempty"` // the language is none that the model understands
	Silence     string `json:"silence,omitempty"`     // why there are no signals: empty, automatic, thanks, courtesy, quoted or neutral
	By          Reader `json:"by"`
}

// Reader is what read an item.
type Reader string

// The readers of items.
const (
	Heads Reader = "heads" // the heads that ship, or a workspace's own
	Model Reader = "model" // the chat model
)

// ItemHead is what the clusterer needs to know of an item besides its signals.
type ItemHead struct {
	ID        string              `json:"id"`
	Revision  int64               `json:"revision"`
	Source    feedback.Source     `json:"source"`
	Customer  feedback.Customer   `json:"customer"`
	Account   feedback.AccountRef `json:"account"`
	CreatedAt time.Time           `json:"created_at"`
	UpdatedAt time.Time           `json:"updated_at"`
}

// World is the payload of world.changed: what one input changed in a workspace's
// clusters. Position numbers the inputs the clusterer took, from 1 without gaps;
// rows in ClickHouse carry the same number. Origin is that of the input.
type World struct {
	Position uint64   `json:"position"`
	Origin   Origin   `json:"origin"`
	Clusters []string `json:"clusters"`
	Merged   []Pair   `json:"merged,omitempty"`
	Split    []Pair   `json:"split,omitempty"`
	Decision string   `json:"decision,omitempty"`
	Statuses []Status `json:"statuses,omitempty"`
}

// Status is a cluster whose work came further or back, and how it stands now. Regressed
// means that something new was said of what had shipped.
type Status struct {
	Cluster   string          `json:"cluster"`
	Status    feedback.Status `json:"status"`
	Previous  feedback.Status `json:"previous"`
	Regressed bool            `json:"regressed,omitempty"`
}

// Attached is the payload of ticket.attached: the clusters that answer to a ticket now,
// by the machine's certainty or a person's pin, and how far the ticket has come since At.
// It replaces what was told of the ticket before; a ticket that is deleted or restricted
// has no clusters and no category.
type Attached struct {
	Origin   Origin                  `json:"origin"`
	Tracker  feedback.Tracker        `json:"tracker"`
	Ticket   string                  `json:"ticket"`
	Category feedback.StatusCategory `json:"category,omitempty"`
	At       time.Time               `json:"at"`
	Clusters []string                `json:"clusters"`
}

// Pair is a cluster that became, or came out of, another.
type Pair struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Decision is the payload of decision.made.
type Decision struct {
	Decision feedback.Decision `json:"decision"`
}

// Brief is the payload of brief.revised: a ticket's brief has a new revision. Closed
// means that the ticket was deleted or restricted: it has no brief any more. AcceptedAt is
// when the sender of the earliest delivery that this revision answers to got its 2xx; it
// is zero where no delivery caused the revision (a decision did). Gathered means that the
// revision waited to be told together with what came after.
type Brief struct {
	Tracker  feedback.Tracker `json:"tracker"`
	Ticket   string           `json:"ticket"`
	Revision int64            `json:"revision"`
	Hash     string           `json:"hash"`
	Material bool             `json:"material"`
	Changes  []string         `json:"changes,omitempty"`
	Closed   bool             `json:"closed,omitempty"`

	AcceptedAt time.Time `json:"accepted_at,omitzero"`
	Gathered   bool      `json:"gathered,omitempty"`
}

// known maps each type to the payload it carries.
var known = map[Type]func() any{
	DeliveryAccepted: func() any { return new(Delivery) },
	ItemReceived:     func() any { return new(Item) },
	ItemEdited:       func() any { return new(Item) },
	ItemDeleted:      func() any { return new(Item) },
	AccountChanged:   func() any { return new(Account) },
	CustomerErased:   func() any { return new(Erasure) },
	TicketCreated:    func() any { return new(Ticket) },
	TicketMoved:      func() any { return new(Ticket) },
	TicketEdited:     func() any { return new(Ticket) },
	TicketDeleted:    func() any { return new(Ticket) },
	TicketAttached:   func() any { return new(Attached) },
	ItemClassified:   func() any { return new(Classified) },
	WorldChanged:     func() any { return new(World) },
	DecisionMade:     func() any { return new(Decision) },
	BriefRevised:     func() any { return new(Brief) },
}

// Types lists every known type.
func Types() []Type {
	return []Type{
		DeliveryAccepted, ItemReceived, ItemEdited, ItemDeleted, AccountChanged, CustomerErased,
		TicketCreated, TicketMoved, TicketEdited, TicketDeleted, TicketAttached,
		ItemClassified, WorldChanged, DecisionMade, BriefRevised,
	}
}

// Blank returns a pointer to an empty payload of a known type, nil for an unknown one.
func Blank(t Type) any {
	if mk, ok := known[t]; ok {
		return mk()
	}
	return nil
}

// ErrUnknown is returned by Decode and Payload for a type this build does not know.
var ErrUnknown = errors.New("unknown event type")

// New wraps a payload. source is the service ("ingestor"), subject what the event is
// about (an item id, a ticket key), id its idempotency key, at the time it happened.
func New(t Type, source, workspace, subject, id string, at time.Time, payload any) (Envelope, error) {
	if _, ok := known[t]; !ok {
		return Envelope{}, fmt.Errorf("wrap %q: %w", t, ErrUnknown)
	}
	data, err := json.Marshal(payload)
	if err != nil {
		return Envelope{}, fmt.Errorf("wrap %s: %w", t, err)
	}
	return Envelope{
		SpecVersion: "1.0", ID: id, Source: "throughline/" + source, Type: t, Subject: subject,
		Time: at.UTC(), ContentType: "application/json", Workspace: workspace, Data: data,
	}, nil
}

// Encode writes an envelope as JSON. Its data must be JSON, as New and Decode leave it: it is
// taken over as it is, since most of an event is data and every delivery passes here while
// its sender waits.
func Encode(e Envelope) ([]byte, error) {
	data := e.Data
	if len(data) == 0 {
		data = json.RawMessage("null")
	}
	e.Data = json.RawMessage("0")
	head, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	out := make([]byte, 0, len(head)+len(data))
	out = append(out, head[:len(head)-len("0}")]...) // data is the last member
	out = append(out, data...)
	return append(out, '}'), nil
}

// Decode reads an envelope. It fails on JSON that is not an envelope, on another
// specversion and, with ErrUnknown, on a type this build does not know.
func Decode(b []byte) (Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return Envelope{}, fmt.Errorf("decode event: %w", err)
	}
	if e.SpecVersion != "1.0" {
		return Envelope{}, fmt.Errorf("decode event: specversion is not 1.0")
	}
	if _, ok := known[e.Type]; !ok {
		return Envelope{}, fmt.Errorf("decode event: %w", ErrUnknown)
	}
	if e.ID == "" || e.Workspace == "" {
		return Envelope{}, fmt.Errorf("decode event: id and workspace are required")
	}
	return e, nil
}

// Payload reads the data of an envelope into the type T that its Type carries.
// Asking for another type is a programming error and is reported as such.
func Payload[T any](e Envelope) (T, error) {
	var zero T
	mk, ok := known[e.Type]
	if !ok {
		return zero, fmt.Errorf("read %q: %w", e.Type, ErrUnknown)
	}
	if _, ok := mk().(*T); !ok {
		return zero, fmt.Errorf("read %s: it carries %T, not %T", e.Type, mk(), &zero)
	}
	var v T
	if err := json.Unmarshal(e.Data, &v); err != nil {
		return zero, fmt.Errorf("read %s: %w", e.Type, err)
	}
	return v, nil
}
