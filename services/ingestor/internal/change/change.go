// Package change holds what a delivery can mean, as plain values: the one vocabulary
// that all decoders speak and that fold and decode understand. Identities in it are the
// vendor's own; ours are derived from them when they are folded.
package change

import (
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Change is one thing that a delivery says. It is one of the types of this package.
type Change interface{ change() }

// Author is the person who said something, as the vendor identifies them. Email joins
// the same person across sources; it may be empty, and so may Name.
type Author struct{ ID, Name, Email string }

// Place is a conversation as the vendor identifies it.
type Place struct {
	Source   feedback.Source
	External string // unique within the source and the workspace
}

// MessageUpserted says that a message has this text at this Version. Versions of one
// message are vendor times in microseconds; the newest wins whatever came first.
type MessageUpserted struct {
	Place   Place
	ID      string // unique within the conversation
	Version int64
	Author  Author
	Account feedback.AccountRef
	At      time.Time // when it was first said
	Changed time.Time // when it came to read as it does; zero means At
	Text    string
	URL     string
}

// MessageDeleted says that a message is gone, for good.
type MessageDeleted struct {
	Place Place
	ID    string
	At    time.Time
}

// ConversationStated says what a whole conversation reads at Version: messages that it
// does not name are gone. A later statement replaces it, an earlier one is ignored.
type ConversationStated struct {
	Place    Place
	Version  int64
	Messages []MessageUpserted
}

// ConversationDeleted says that a conversation is gone, until it is restored.
type ConversationDeleted struct {
	Place Place
	At    time.Time
}

// ConversationRestored says that a deleted conversation is back. What was said in it has to be
// told again, since it was not kept.
type ConversationRestored struct {
	Place Place
	At    time.Time
}

// CustomerErased withdraws everything that a customer has said until At. The customer
// is named by the vendor (Source and Author) or by our id.
type CustomerErased struct {
	Source   feedback.Source
	Author   Author
	Customer string
	At       time.Time
}

// ItemWithdrawn withdraws what one feedback item holds.
type ItemWithdrawn struct {
	Item string
	At   time.Time
}

// Expired withdraws what the items said until Until: the workspace keeps nothing older.
type Expired struct {
	Items []string
	Until time.Time
}

// TicketChanged says what a ticket is like now. Type is one of the ticket events.
// Workspace and Connection of the ticket are filled in by the caller.
type TicketChanged struct {
	Type             event.Type
	Ticket           feedback.Ticket
	Previous         string
	PreviousCategory feedback.StatusCategory
	Node             string // what boards call the ticket; "" where there are none
}

// TicketPlaced says where on its board a ticket now stands. Version orders placings.
type TicketPlaced struct {
	Node     string
	Status   string
	Category feedback.StatusCategory
	Version  int64
	At       time.Time
}

// AccountChanged says what an account is like now.
type AccountChanged struct{ Account feedback.Account }

// AccountTold says some of what an account is like: fields that are zero are not told.
type AccountTold struct{ Account feedback.Account }

// Over is a known account with what is told put over it. Domains are added to those known.
func (c AccountTold) Over(a feedback.Account) feedback.Account {
	pick := func(old *string, told string) {
		if told != "" {
			*old = told
		}
	}
	pick(&a.Name, c.Account.Name)
	pick(&a.Plan, c.Account.Plan)
	pick(&a.Segment, c.Account.Segment)
	pick(&a.Currency, c.Account.Currency)
	if c.Account.Value != 0 {
		a.Value = c.Account.Value
	}
	for _, d := range c.Account.Domains {
		if !slices.Contains(a.Domains, d) {
			a.Domains = append(slices.Clone(a.Domains), d)
		}
	}
	return a
}

// CustomerMet says that a vendor's id and an address belong to one person, who said
// nothing.
type CustomerMet struct {
	Source feedback.Source
	Author Author
}

// Labelled says what an id in messages of a connection stands for: a person, by the Author's
// id (<team>:<id>) and with the team whose name belongs to theirs; or a channel or a team.
type Labelled struct {
	Source feedback.Source
	ID     string
	Name   string
	Of     string // a labelled id; "" for none
}

// Disconnected says that the vendor will send nothing more: the app was removed there.
type Disconnected struct{}

// Nothing says why a well-formed delivery changes nothing. Reason is a short fixed
// phrase: it is a metric label.
type Nothing struct{ Reason string }

func (MessageUpserted) change()      {}
func (MessageDeleted) change()       {}
func (ConversationStated) change()   {}
func (ConversationDeleted) change()  {}
func (ConversationRestored) change() {}
func (CustomerErased) change()       {}
func (ItemWithdrawn) change()        {}
func (Expired) change()              {}
func (TicketChanged) change()        {}
func (TicketPlaced) change()         {}
func (AccountChanged) change()       {}
func (AccountTold) change()          {}
func (CustomerMet) change()          {}
func (Labelled) change()             {}
func (Disconnected) change()         {}
func (Nothing) change()              {}

// None is the answer for a delivery that changes nothing.
func None(reason string) []Change { return []Change{Nothing{Reason: reason}} }
