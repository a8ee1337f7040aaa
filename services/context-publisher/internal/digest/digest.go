// Package digest is the morning view of a workspace: what moved, why, who is asking and
// what it is worth, which tickets in progress have a context that changed, and what
// waits for a person's decision. It can be read in two minutes.
//
// It promises that every number is one that is stored, that customers' words stand
// quoted and inert in each format, that Slack blocks stay within Slack's real limits,
// and that a day's digest reaches each destination once, at the workspace's local time,
// also across daylight-saving changes and restarts.
//
// It refuses to write prose, and to send by e-mail: there is no mail server to configure
// yet, so a destination with an e-mail address is recorded in the ledger as refused, once a
// day, with what to do, and logged; the other destinations get theirs.
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
