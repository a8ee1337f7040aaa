package read

import (
	"errors"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// ErrNotFound is returned for what the workspace does not have, also where another
// workspace has it.
var ErrNotFound = errors.New("not found")

// ErrCursor is returned for a cursor that this API did not make.
var ErrCursor = errors.New("the cursor is not one of ours")

// Page is one page of a list. NextCursor is empty on the last page.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// The limits of a page: what 0 means, and the most that is given.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// ClusterQuery filters the ranking. Kind and Status are exact; Status "" means all but
// ignored clusters; Q is a case-insensitive substring of the name or of a quote. Source,
// Segment (of the account), Area and Since leave a cluster whose signals meet them all, and
// then Q is looked for in those signals only. Ranks stay those of the whole ranking.
type ClusterQuery struct {
	Kind    string
	Status  string
	Q       string
	Source  string
	Segment string
	Area    string
	Since   time.Time
	Limit   int
	Cursor  string
}

// Cluster is a cluster with its place. Rank counts from 1; it is 0 where the cluster
// is not ranked (ignored or retired). Terms add up to Score with the weights of the
// rank formula. Name is made of customers' words.
type Cluster struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	NamePinned bool              `json:"name_pinned"`
	Status     string            `json:"status"` // a feedback.Status, or merged
	Kind       feedback.Kind     `json:"kind"`
	Kinds      map[string]uint32 `json:"kinds"`
	Sources    map[string]uint32 `json:"sources"`
	Rank       uint32            `json:"rank"`
	Score      float64           `json:"score"`
	Terms      brief.Terms       `json:"terms"`
	Signals    uint32            `json:"signals"`
	Items      uint32            `json:"items"`
	Voices     uint32            `json:"voices"`
	Matching   uint64            `json:"matching,omitempty"` // voices whose signals meet the query, where it is about signals
	Accounts   uint32            `json:"accounts"`
	Worth      float64           `json:"worth"` // of its accounts, a year, as the rank counts it
	FirstSeen  time.Time         `json:"first_seen"`
	LastSeen   time.Time         `json:"last_seen"`
	Retired    bool              `json:"retired,omitempty"`
	// StatusSince is when the status came about, zero for what was open all along.
	StatusSince time.Time `json:"status_since,omitzero"`
	// Regressed means that people spoke of it after it had shipped: a possible regression.
	// PeopleSince is how many.
	Regressed   bool   `json:"regressed,omitempty"`
	PeopleSince uint32 `json:"people_since,omitempty"`
	// Contradictions are people's decisions about it that say the opposite of each other;
	// lists leave them out.
	Contradictions []Contradiction `json:"contradictions,omitempty"`
	MergedInto     string          `json:"merged_into,omitempty"`
	Quotes         []Signal        `json:"quotes"` // the most typical, at most 3
	Tickets        []TicketRef     `json:"tickets"`
	Position       uint64          `json:"position"`  // the input that changed it last
	Watermark      uint64          `json:"watermark"` // the input that the ranking is as of
}

// TicketRef names a ticket that a cluster is attached to.
type TicketRef struct {
	Tracker feedback.Tracker `json:"tracker"`
	Key     string           `json:"key"`
	Title   string           `json:"title"`
	Mode    feedback.Mode    `json:"mode"`
	URL     string           `json:"url,omitempty"`
}

// Signal is a signal with its quote and where it comes from. Quote is the verbatim span
// without hidden characters.
type Signal struct {
	ID         string              `json:"id"`
	Cluster    string              `json:"cluster,omitempty"`
	Item       string              `json:"item"`
	Kind       feedback.Kind       `json:"kind"`
	Quote      string              `json:"quote"`
	Span       feedback.Span       `json:"span"`
	Sentiment  float32             `json:"sentiment"`
	Severity   float32             `json:"severity"`
	Confidence float32             `json:"confidence"`
	Area       string              `json:"area,omitempty"`
	Source     feedback.Source     `json:"source"`
	Customer   feedback.Customer   `json:"customer"`
	Account    feedback.AccountRef `json:"account"`
	URL        string              `json:"url,omitempty"`
	SaidAt     time.Time           `json:"said_at"`
	Similarity float32             `json:"similarity,omitempty"`
	Reason     string              `json:"reason,omitempty"`
	DecidedBy  string              `json:"decided_by,omitempty"`
}

// Event is one step in a cluster's history.
type Event struct {
	Cluster  string    `json:"cluster"`
	Position uint64    `json:"position"`
	Kind     string    `json:"kind"`
	Other    string    `json:"other,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Decision string    `json:"decision,omitempty"`
	By       string    `json:"by,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
}

// FeedbackQuery filters feedback items. Q is a case-insensitive substring of the
// customer's words; Since is by when the item was last said something in.
type FeedbackQuery struct {
	Q        string
	Source   string
	Customer string
	Since    time.Time
	Limit    int
	Cursor   string
}

// Item is a feedback item with its signals; lists leave the signals out.
type Item struct {
	ID           string              `json:"id"`
	Revision     uint64              `json:"revision"`
	Source       feedback.Source     `json:"source"`
	Connection   string              `json:"connection"`
	Conversation string              `json:"conversation"`
	Customer     feedback.Customer   `json:"customer"`
	Account      feedback.AccountRef `json:"account"`
	Text         string              `json:"text"`
	URL          string              `json:"url,omitempty"`
	CreatedAt    time.Time           `json:"created_at"`
	UpdatedAt    time.Time           `json:"updated_at"`
	Signals      []Signal            `json:"signals,omitempty"`
}

// TicketHead is a ticket as lists show it. Changed is true for a ticket in progress
// whose context changed materially since it was picked up.
type TicketHead struct {
	Tracker   feedback.Tracker        `json:"tracker"`
	Key       string                  `json:"key"`
	Title     string                  `json:"title"`
	Status    string                  `json:"status"`
	Category  feedback.StatusCategory `json:"category"`
	URL       string                  `json:"url,omitempty"`
	Assignee  string                  `json:"assignee,omitempty"`
	UpdatedAt time.Time               `json:"updated_at"`
	Revision  uint64                  `json:"revision"`  // of the newest brief, 0 for none
	PickedUp  uint64                  `json:"picked_up"` // revision of the brief when work began, 0 for never
	Attached  int                     `json:"attached"`
	Suggested int                     `json:"suggested"`
	Changed   bool                    `json:"changed"`
}

// TicketDetail is a ticket with what is attached to it and how it moved.
type TicketDetail struct {
	TicketHead
	Project     string       `json:"project,omitempty"`
	Body        string       `json:"body,omitempty"`
	Labels      []string     `json:"labels"`
	Attachments []Attachment `json:"attachments"`
	Moves       []Move       `json:"moves"`
	Block       *Block       `json:"block,omitempty"`
}

// Attachment is why a cluster, or a signal by itself, is, or is not, attached to a ticket.
// Cluster is the one that a single signal lies in. Reasons holds the sentences that matched,
// which are customers' and ticket writers' words; the name of a single signal is its quote.
type Attachment struct {
	Cluster   string             `json:"cluster"`
	Signal    string             `json:"signal,omitempty"` // set where a single signal is attached
	Item      string             `json:"item,omitempty"`   // the signal's item
	Name      string             `json:"name"`
	Mode      feedback.Mode      `json:"mode"`
	Score     float64            `json:"score"`
	Terms     map[string]float64 `json:"terms"`
	Reasons   []string           `json:"reasons"`
	DecidedBy string             `json:"decided_by"`
	Decision  string             `json:"decision,omitempty"`
	At        time.Time          `json:"at"`
}

// Move is a ticket's change of status, with the revision of its brief then.
type Move struct {
	Status   string                  `json:"status"`
	Category feedback.StatusCategory `json:"category"`
	Previous string                  `json:"previous,omitempty"`
	Revision uint64                  `json:"revision"`
	At       time.Time               `json:"at"`
}

// Block says what was written to the tracker: where, which revision, when, or why not.
type Block struct {
	State    string    `json:"state"` // writing, written, removed, gone (a person deleted it) or refused
	URL      string    `json:"url,omitempty"`
	Revision uint64    `json:"revision"`
	At       time.Time `json:"at"`
	Problem  string    `json:"problem,omitempty"` // for refused: what a person has to fix
}

// Since says from where changes are asked: a revision, or the pick-up of the ticket.
type Since struct {
	Revision uint64
	PickUp   bool
}

// Changes is what changed in a ticket's brief between two revisions.
type Changes struct {
	Tracker feedback.Tracker `json:"tracker"`
	Ticket  string           `json:"ticket"`
	brief.Changes
}
