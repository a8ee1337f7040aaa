// Package digest is the morning view of a workspace: what moved, why, who is asking and
// what it is worth, which tickets in progress have a context that changed, and what
// waits for a person's decision. It can be read in two minutes.
//
// It promises that every number is one that is stored, that customers' words stand
// quoted and inert in each format, that Slack blocks stay within Slack's real limits,
// that a full digest has at most MaxWords words, and that a day's digest reaches each
// destination once, at the workspace's local time, also across daylight-saving changes and
// restarts. SMTP has no key that makes a message one: where a process dies between the mail
// server's answer and its record, the mail is handed in again under the same Message-ID.
//
// It refuses to write prose, and to send what it cannot: a destination with an e-mail
// address where no mail server is configured is recorded in the ledger as refused, with
// what to do, and the other destinations get theirs.
package digest

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// Digest is one workspace's digest of one local day: what happened from Since (the same
// hour the day before) to Until.
type Digest struct {
	Workspace   string    `json:"workspace"`
	Date        string    `json:"date"` // 2006-01-02, in the workspace's time zone
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Position    uint64    `json:"position"` // the watermark it was built at
	Items       uint64    `json:"items"`    // feedback items of the day
	Voices      uint64    `json:"voices"`   // people heard in the day
	Top         []Entry   `json:"top"`      // the ranking's head
	New         []Entry   `json:"new"`      // clusters first seen in the day
	Rising      []Entry   `json:"rising"`   // at least half as many voices again as the day before, and two more
	Cooling     []Entry   `json:"cooling"`  // at most half the voices of the day before, which had at least four
	Tickets     []Ticket  `json:"tickets"`  // in progress, context changed materially in the day
	Undecided   []Pending `json:"undecided"`
	Shipped     []Shipped `json:"shipped"` // tickets done in the day, most people first
	AtRisk      []Risk    `json:"at_risk"` // accounts in trouble in the day, worth most first
	GeneratedAt time.Time `json:"generated_at"`

	// Ranks holds the places of the ranking's first 500 clusters then: what the next
	// digest's moves are told from.
	Ranks map[string]uint32 `json:"ranks,omitempty"`
}

// Entry is a cluster in a digest. Was is its rank in the newest earlier digest, 0 where
// it was not in it. Name and Quote are customers' words.
type Entry struct {
	Cluster  string        `json:"cluster"`
	Name     string        `json:"name"`
	Kind     feedback.Kind `json:"kind"`
	Rank     uint32        `json:"rank"`
	Was      uint32        `json:"was"`
	Score    float64       `json:"score"`
	Terms    brief.Terms   `json:"terms"`
	Voices   uint32        `json:"voices"`
	Accounts uint32        `json:"accounts"`
	Worth    []brief.Money `json:"worth"`
	Today    uint64        `json:"today"`     // voices in the day
	DayPrior uint64        `json:"day_prior"` // voices in the day before
	Why      string        `json:"why"`       // in our own words
	Quote    string        `json:"quote"`
	Item     string        `json:"item"` // that the quote is from
}

// Ticket is a ticket in progress whose context changed.
type Ticket struct {
	Tracker  feedback.Tracker `json:"tracker"`
	Key      string           `json:"key"`
	Title    string           `json:"title"`
	URL      string           `json:"url,omitempty"`
	Revision uint64           `json:"revision"`
	Changes  []string         `json:"changes"` // in our own words
}

// Pending is a suggestion that waits for a person.
type Pending struct {
	Tracker feedback.Tracker `json:"tracker"`
	Key     string           `json:"key"`
	Cluster string           `json:"cluster"`
	Name    string           `json:"name"`
	Score   float64          `json:"score"`
}

// Shipped is a ticket that was done in the day, and who asked for it: they can be told.
type Shipped struct {
	Tracker  feedback.Tracker `json:"tracker"`
	Key      string           `json:"key"`
	Title    string           `json:"title"`
	URL      string           `json:"url,omitempty"`
	Voices   uint64           `json:"voices"`
	Accounts uint64           `json:"accounts"`
}

// Risk is an account that is worth something and spoke of something severe in the day.
// Name, Need and Quote are outside words.
type Risk struct {
	Account  string      `json:"account"` // id
	Name     string      `json:"name"`
	Worth    brief.Money `json:"worth"`
	Voices   uint64      `json:"voices"` // its people who said so
	Cluster  string      `json:"cluster"`
	Need     string      `json:"need"` // the cluster's name
	Severity float64     `json:"severity"`
	Quote    string      `json:"quote"`
	Item     string      `json:"item"`
}

// Severe is the severity from which an account counts as at risk: where package brief's
// level high begins.
const Severe = 0.65
