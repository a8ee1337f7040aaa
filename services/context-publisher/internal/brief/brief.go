// Package brief builds the revisioned context of one ticket, for a person or an
// agent: what customers need, who they are and what they are worth, their own
// words with a link to each source, the edge cases they hit, how bad it is, where
// it ranks and why, what nobody answered, and what changed since a revision.
//
// It promises: the same inputs give the same hash; every quote in a brief is a
// verbatim span of a stored feedback item, checked here, and one that is not is
// dropped and counted; no sentence is generated; customer words leave the
// renderers only inside block quotes, attributed, without hidden characters and
// unable to mention, link or open markup; a brief fits its budget in tokens, the
// least valuable left out first and counted.
//
// It is pure and refuses to fetch, to store and to look at a clock.
package brief

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// DefaultBudget is the size of a brief, in tokens (feedback.Tokens) of its Markdown,
// where nobody asks for another.
const DefaultBudget = 4000

// MinBudget is the smallest budget that Build and Fit accept: room for the heading,
// who is asking and one quote. A smaller one is raised to it.
const MinBudget = 250

// Brief is one revision of a ticket's context. Fields below the line "not hashed" say
// when and from what it was made; all others make up the content that Hash identifies.
//
// Text of customers stands in Quote values only, and in the names of Person, Asker and
// Cluster: whoever shows those fences them as the renderers of this package do.
type Brief struct {
	Workspace string                  `json:"workspace"`
	Tracker   feedback.Tracker        `json:"tracker"`
	Ticket    string                  `json:"ticket"`
	Title     string                  `json:"title"`
	URL       string                  `json:"url,omitempty"`
	Status    string                  `json:"status"`
	Category  feedback.StatusCategory `json:"category"`

	Need      []Quote    `json:"need"`              // the most typical sentences, one paragraph when read in order
	Asking    Asking     `json:"asking"`            // people and accounts, not messages
	Quotes    []Quote    `json:"quotes"`            // chosen to cover different angles
	EdgeCases []EdgeCase `json:"edge_cases"`        // variations customers hit, most voices first
	Opposed   []Quote    `json:"opposed,omitempty"` // from customers who want the opposite, or are content
	Questions []Quote    `json:"questions"`         // what customers asked; the brief knows no answer
	Unknown   []string   `json:"unknown"`           // what an engineer will ask and no customer said
	Severity  Severity   `json:"severity"`
	Trend     Trend      `json:"trend"`
	FirstSeen time.Time  `json:"first_seen"`
	LastSeen  time.Time  `json:"last_seen"`
	Clusters  []Cluster  `json:"clusters"`       // attached: automatic and pinned, best rank first
	Suggested []Cluster  `json:"suggested"`      // waiting for a person to confirm; nothing of theirs is in the brief
	Decisions []string   `json:"decisions"`      // ids of the decisions about this ticket's attachments
	Done      *Closing   `json:"done,omitempty"` // of a ticket that is done: whom to tell, and what was said after
	Omitted   Omitted    `json:"omitted"`

	// Not hashed.

	Revision    uint64    `json:"revision"`
	Hash        string    `json:"hash"`
	Position    uint64    `json:"position"`     // the watermark it was built at
	AsOf        time.Time `json:"as_of"`        // time of the newest signal the clusters had taken
	GeneratedAt time.Time `json:"generated_at"` // when it was built
	VoiceIDs    []string  `json:"voice_ids"`    // customers heard, newest first, at most 512: what Diff compares
	AccountIDs  []string  `json:"account_ids"`  // their accounts, at most 512
}

// Quote is a verbatim span of a stored feedback item with where it comes from. Start
// and End are byte offsets into the item's text; Text is that span without hidden
// characters (Clean).
type Quote struct {
	Signal   string          `json:"signal,omitempty"`
	Item     string          `json:"item"`
	Cluster  string          `json:"cluster"`
	Kind     feedback.Kind   `json:"kind,omitempty"`
	Text     string          `json:"text"`
	Start    int             `json:"start"`
	End      int             `json:"end"`
	Source   feedback.Source `json:"source"`
	URL      string          `json:"url,omitempty"`
	Customer string          `json:"customer"` // id
	Name     string          `json:"name,omitempty"`
	Account  string          `json:"account,omitempty"` // the account's name
	SaidAt   time.Time       `json:"said_at"`
}

// EdgeCase is one variation that customers hit: a value of a facet, with a quote that
// shows it and how many voices named it.
type EdgeCase struct {
	Facet  string `json:"facet"` // a Facet constant
	Value  string `json:"value"` // as the customer wrote it, at most 60 bytes
	Voices int    `json:"voices"`
	Quote  Quote  `json:"quote"`
}

// Asking is who asks and what they are worth.
type Asking struct {
	Voices   int      `json:"voices"`   // people
	Accounts int      `json:"accounts"` // companies
	Worth    []Money  `json:"worth"`    // a year, one entry per currency, the largest first
	People   []Person `json:"people"`   // the accounts worth most first, at most one person each before a second
}

// Money is an amount in a currency (ISO 4217; empty where it was not given).
type Money struct {
	Amount   float64 `json:"amount"`
	Currency string  `json:"currency"`
}

// Person is a customer who asked.
type Person struct {
	Customer string    `json:"customer"` // id
	Name     string    `json:"name,omitempty"`
	Account  string    `json:"account,omitempty"`
	Plan     string    `json:"plan,omitempty"`
	Segment  string    `json:"segment,omitempty"`
	Worth    *Money    `json:"worth,omitempty"`
	LastSaid time.Time `json:"last_said"`
}

// Severity is how bad it is: the 80th percentile of the attached signals' severities,
// and its level: low below 0.35, medium below 0.65, high from there on.
type Severity struct {
	Value float64 `json:"value"`
	Level string  `json:"level"`
}

// Trend counts voices in the week before AsOf and in the week before that. Word is new
// (first seen within the last week), rising (at least half as many again, and two
// more), cooling (at most half), or steady.
type Trend struct {
	Word       string `json:"word"`
	LastWeek   int    `json:"last_week"`
	WeekBefore int    `json:"week_before"`
}

// Terms are the terms of a cluster's rank, weighted: their sum is its score.
type Terms struct {
	Reach    float64 `json:"reach"`
	Worth    float64 `json:"worth"`
	Severity float64 `json:"severity"`
	Momentum float64 `json:"momentum"`
	Churn    float64 `json:"churn"`
	Boost    float64 `json:"boost"`
}

// Rest writes the terms that many clusters do not have, each after a separator, as far as two
// digits show them.
func (t Terms) Rest(separator string) string {
	var out string
	for _, term := range []struct {
		name  string
		value float64
	}{{"churn", t.Churn}, {"boost", t.Boost}} {
		if math.Abs(term.value) >= 0.005 {
			out += fmt.Sprintf("%s%s %.2f", separator, term.name, term.value)
		}
	}
	return out
}

// Cluster is a cluster attached or suggested to the ticket, with why it is here and
// why it ranks where it ranks. Rank is 0 for a cluster that has none (ignored).
type Cluster struct {
	ID       string        `json:"id"`
	Single   bool          `json:"single,omitempty"` // it is one signal, attached by itself; ID is the signal's
	Name     string        `json:"name"`             // made of customers' words
	Kind     feedback.Kind `json:"kind"`
	Mode     feedback.Mode `json:"mode"`
	Match    float64       `json:"match"` // score of the attachment
	Reasons  []string      `json:"reasons,omitempty"`
	Rank     uint32        `json:"rank"`
	Of       uint32        `json:"of"` // how many clusters are ranked
	Score    float64       `json:"score"`
	Terms    Terms         `json:"terms"`
	Voices   uint32        `json:"voices"`
	Accounts uint32        `json:"accounts"`
}

// Omitted counts what did not make it into the brief: cut by the budget, or dropped
// because the quote is not in the stored item word for word.
type Omitted struct {
	Quotes     int `json:"quotes"`
	EdgeCases  int `json:"edge_cases"`
	People     int `json:"people"`
	Unverified int `json:"unverified"`
}

// ContentHash identifies what a brief says. When it was built, from which position,
// and numbers that move with every other cluster (exact rank, score and terms, severity
// and match to the second decimal) are left out, so that a brief is only written again
// when a reader would read something else; the rank counts by its band, times by their
// day.
func ContentHash(b Brief) string {
	c := b
	c.Revision, c.Hash, c.Position = 0, "", 0
	c.AsOf, c.GeneratedAt = time.Time{}, time.Time{}
	c.VoiceIDs, c.AccountIDs = nil, nil
	c.Severity.Value = 0
	c.FirstSeen, c.LastSeen = b.FirstSeen.Truncate(24*time.Hour), b.LastSeen.Truncate(24*time.Hour)
	c.Asking.People = slices.Clone(b.Asking.People)
	for i := range c.Asking.People {
		c.Asking.People[i].LastSaid = time.Time{}
	}
	if b.Done != nil {
		done := *b.Done
		done.Tell = slices.Clone(done.Tell)
		for i := range done.Tell {
			done.Tell[i].LastSaid = time.Time{}
		}
		c.Done = &done
	}
	c.Clusters, c.Suggested = steady(b.Clusters), steady(b.Suggested)
	body, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("brief: a brief of plain values cannot be encoded: %v", err))
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

func steady(in []Cluster) []Cluster {
	out := make([]Cluster, len(in))
	for i, c := range in {
		c.Rank, c.Of = uint32(RankBand(c.Rank)), 0
		c.Score, c.Terms, c.Match = 0, Terms{}, 0
		out[i] = c
	}
	return out
}

// RankBand is the coarse place of a rank: 0 unranked, 1 for first, 2 for 2 to 3, 3 for
// 4 to 10, 4 for 11 to 30, 5 for 31 to 100, 6 beyond. A move within a band is noise.
func RankBand(rank uint32) int {
	for band, top := range []uint32{0, 1, 3, 10, 30, 100} {
		if rank <= top {
			return band
		}
	}
	return 6
}
