// Package feedback holds the domain words of Throughline as plain values: feedback
// items, signals, clusters, tickets and what ties them together. It imports the
// standard library only and does no I/O, so that every other package can share it.
//
// Texts in these values are customers' words: hostile until fenced. Nothing here
// may be logged except identifiers.
package feedback

import "time"

// Source is a kind of system that feedback comes from.
type Source string

// The sources that Throughline understands.
const (
	Slack    Source = "slack"
	Intercom Source = "intercom"
	Zendesk  Source = "zendesk"
	Webhook  Source = "webhook"
	Email    Source = "email"
	Import   Source = "import"
)

// Customer is the person who said something. ID is unique in a workspace and is
// made by CustomerID from the vendor's own id, so that the same person seen twice
// is one voice. Email and Name may be empty.
type Customer struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// AccountRef is what a payload says about the customer's company. ID is the
// vendor's or the sender's own company id; either field may be empty.
type AccountRef struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// Account is a company that customers belong to. Value is its yearly worth in
// Currency (ISO 4217). Customers are joined to it by id, or by the domain of
// their e-mail address.
type Account struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Domains  []string `json:"domains,omitempty"`
	Value    float64  `json:"value"`
	Currency string   `json:"currency,omitempty"`
	Plan     string   `json:"plan,omitempty"`
	Segment  string   `json:"segment,omitempty"`
}

// Message is one thing a customer wrote in a conversation. ID is the vendor's id
// of it; Version grows with every edit the vendor reports (vendor time in
// microseconds, or a counter), so that a late edit never replaces a newer one.
type Message struct {
	ID      string    `json:"id"`
	Version int64     `json:"version"`
	At      time.Time `json:"at"`
	Text    string    `json:"text"`
}

// Item is a feedback item: what one customer said in one conversation,
// normalised. It is revisioned: Revision starts at 1 and grows by one with every
// change. Text is the customer's messages in order of time, joined by a blank
// line; quote spans of signals are byte offsets into it.
type Item struct {
	ID           string     `json:"id"`
	Workspace    string     `json:"workspace"`
	Revision     int64      `json:"revision"`
	Source       Source     `json:"source"`
	Connection   string     `json:"connection"`
	Conversation string     `json:"conversation"`
	Customer     Customer   `json:"customer"`
	Account      AccountRef `json:"account"`
	Text         string     `json:"text"`
	Messages     []Message  `json:"messages"`
	URL          string     `json:"url,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
}

// Kind says what a signal is.
type Kind string

// The kinds of signals: something is broken; something new is wanted; it works and is hard
// to use; information is wanted; it is liked; it is disliked and nothing in particular is
// broken (a price, a policy, a service). Other is for words that do none of these; it makes
// no signal when it stands alone. services/classifier/seed/GUIDE.md draws the lines.
const (
	Bug            Kind = "bug"
	FeatureRequest Kind = "feature_request"
	Usability      Kind = "usability"
	Question       Kind = "question"
	Praise         Kind = "praise"
	Complaint      Kind = "complaint"
	Other          Kind = "other"
)

// Kinds lists every kind in the order they are shown.
var Kinds = []Kind{Bug, FeatureRequest, Usability, Question, Praise, Complaint, Other}

// Span is a half-open range of byte offsets into an item's text. It never cuts
// through a character.
type Span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Signal is one ask, problem, praise or question inside an item. Quote is the
// verbatim text of the item under Span. Sentiment is in [-1, 1], Severity and
// Confidence in [0, 1]. Vector is of unit length in the embedding space that
// Space names.
type Signal struct {
	ID         string  `json:"id"`
	Item       string  `json:"item"`
	Revision   int64   `json:"revision"`
	Ordinal    int     `json:"ordinal"`
	Kind       Kind    `json:"kind"`
	Span       Span    `json:"span"`
	Quote      string  `json:"quote"`
	Sentiment  float64 `json:"sentiment"`
	Severity   float64 `json:"severity"`
	Confidence float64 `json:"confidence"`
	Area       string  `json:"area,omitempty"`
	Space      string  `json:"space"`
	Vector     Vector  `json:"vector"`

	Attributes Attributes `json:"attributes,omitzero"`
}

// Tracker is a kind of system that tickets live in.
type Tracker string

// The trackers that Throughline understands.
const (
	Jira   Tracker = "jira"
	Linear Tracker = "linear"
	GitHub Tracker = "github"
)

// StatusCategory is the vendor's status reduced to what Throughline acts on.
type StatusCategory string

// The categories of a ticket's status.
const (
	Open       StatusCategory = "open"
	InProgress StatusCategory = "in_progress"
	Done       StatusCategory = "done"
)

// Ticket is a piece of work in a tracker as the vendor last described it. Key is
// what people write: PROJ-1, ENG-1, owner/repo#1. Version orders what webhooks say
// about one ticket (the vendor's updated time in microseconds).
type Ticket struct {
	Workspace  string         `json:"workspace"`
	Tracker    Tracker        `json:"tracker"`
	Connection string         `json:"connection"`
	Key        string         `json:"key"`
	ExternalID string         `json:"external_id"`
	Project    string         `json:"project,omitempty"`
	Title      string         `json:"title"`
	Body       string         `json:"body,omitempty"`
	Status     string         `json:"status"`
	Category   StatusCategory `json:"category"`
	Labels     []string       `json:"labels,omitempty"`
	Assignee   string         `json:"assignee,omitempty"`
	URL        string         `json:"url,omitempty"`
	Restricted bool           `json:"restricted,omitempty"`
	Deleted    bool           `json:"deleted,omitempty"`
	Version    int64          `json:"version"`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
}

// Status is how far the work on a cluster has come. Tickets that are attached to it move
// it (planned: open ones only; in progress: one at least; shipped: all are done), unless a
// person said otherwise.
type Status string

// The statuses of a cluster. One that was merged away or emptied has none of them.
const (
	StatusOpen       Status = "open"
	StatusPlanned    Status = "planned"
	StatusInProgress Status = "in_progress"
	StatusShipped    Status = "shipped"
	StatusIgnored    Status = "ignored"
)

// Statuses lists them in the order of the work, those that nobody wants to hear of last.
var Statuses = []Status{StatusOpen, StatusPlanned, StatusInProgress, StatusShipped, StatusIgnored}

// Marks reports whether a person can mark a cluster with the status: ignored and open have
// decisions of their own, ignore and reopen.
func (s Status) Marks() bool {
	return s == StatusPlanned || s == StatusInProgress || s == StatusShipped
}

// Action is what a person decides about clusters and tickets.
type Action string

// The decisions a person can take.
const (
	Merge  Action = "merge"
	Split  Action = "split"
	Move   Action = "move"
	Rename Action = "rename"
	Ignore Action = "ignore"
	Reopen Action = "reopen"
	Mark   Action = "mark"
	Pin    Action = "pin"
	Reject Action = "reject"
	// Correct says what kind a signal is.
	Correct Action = "correct"
	Undo    Action = "undo"
)

// Decision is what a person overruled, kept with who, when and why. Which of
// Cluster, Into, Signals, Name, Ticket and Undoes matter depends on Action:
// merge: Cluster into Into; split: Signals out of Cluster; move: Signals to Into;
// rename: Cluster to Name; ignore and reopen: Cluster; mark: Cluster with Status; pin and
// reject: Cluster to Tracker and Ticket; correct: Signals holds the one that is of Kind;
// undo: Undoes names the decision taken back.
type Decision struct {
	ID        string    `json:"id"`
	Workspace string    `json:"workspace"`
	Action    Action    `json:"action"`
	Cluster   string    `json:"cluster,omitempty"`
	Into      string    `json:"into,omitempty"`
	Signals   []string  `json:"signals,omitempty"`
	Name      string    `json:"name,omitempty"`
	Kind      Kind      `json:"kind,omitempty"`
	Status    Status    `json:"status,omitempty"`
	Tracker   Tracker   `json:"tracker,omitempty"`
	Ticket    string    `json:"ticket,omitempty"`
	Undoes    string    `json:"undoes,omitempty"`
	By        string    `json:"by"`
	Reason    string    `json:"reason,omitempty"`
	At        time.Time `json:"at"`
}

// Mode says how a cluster came to be attached to a ticket.
type Mode string

// The modes of an attachment.
const (
	Suggested Mode = "suggested"
	Automatic Mode = "automatic"
	Pinned    Mode = "pinned"
	Rejected  Mode = "rejected"
)
