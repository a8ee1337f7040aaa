package brief

import (
	"cmp"
	"fmt"
	"slices"
)

// Changes is what a newer brief says that an older one did not. Lines tells it in our
// own words, without customers' words, for logs, events and headings. Material is
// false where nothing changed that an engineer would want to be told.
type Changes struct {
	From        uint64     `json:"from"`
	To          uint64     `json:"to"`
	Material    bool       `json:"material"`
	Lines       []string   `json:"lines"`
	NewVoices   int        `json:"new_voices"`
	NewAccounts int        `json:"new_accounts"`
	People      []Person   `json:"people"` // of the new voices, those the newer brief shows
	Quotes      []Quote    `json:"quotes"` // that the older brief did not have
	EdgeCases   []EdgeCase `json:"edge_cases"`
	Questions   []Quote    `json:"questions"`
	Withdrawn   []string   `json:"withdrawn"` // signals (items, where a quote had none) that are gone; their words are not repeated
	Severity    *Shift     `json:"severity,omitempty"`
	Ranks       []Shift    `json:"ranks"` // clusters that crossed a band
	Status      *Shift     `json:"status,omitempty"`
	Heard       int        `json:"heard_after_done,omitempty"` // more people than before spoke after the ticket was done: a possible regression
	Attached    []string   `json:"attached"`                   // clusters
	Detached    []string   `json:"detached"`                   // clusters
	Decisions   []string   `json:"decisions"`                  // taken since
}

// Shift is a value that moved. Of is the cluster, for a rank.
type Shift struct {
	Of   string `json:"of,omitempty"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Diff compares two revisions of one ticket's brief. withdrawn reports whether a
// quote's words no longer exist; a quote that merely made room for a better one is no
// withdrawal. nil means that none was withdrawn.
//
// Material are: a new voice from a new account, new voices of at least a tenth of the
// old ones, a new edge case, a withdrawn quote, another level of severity, a rank in
// another band that is better or worse by at least one band, a cluster attached or
// detached, a decision, a person heard after the ticket was done. Anything else (a known voice speaking again, another choice of
// quotes, the ticket's own status) is not.
func Diff(old, now Brief, withdrawn func(Quote) bool) Changes {
	c := Changes{
		From: old.Revision, To: now.Revision,
		People: []Person{}, Quotes: []Quote{}, EdgeCases: []EdgeCase{}, Questions: []Quote{},
		Lines: []string{}, Withdrawn: []string{}, Ranks: []Shift{},
	}
	c.NewVoices = max(len(missing(now.VoiceIDs, old.VoiceIDs)), now.Asking.Voices-old.Asking.Voices)
	c.NewAccounts = max(len(missing(now.AccountIDs, old.AccountIDs)), now.Asking.Accounts-old.Asking.Accounts)
	for _, p := range now.Asking.People {
		if !slices.Contains(old.VoiceIDs, p.Customer) {
			c.People = append(c.People, p)
		}
	}
	before := map[string]bool{}
	for _, q := range allQuotes(old) {
		before[span(q)] = true
	}
	for _, q := range slices.Concat(now.Need, now.Quotes, now.Opposed) {
		if !before[span(q)] {
			c.Quotes = append(c.Quotes, q)
		}
	}
	for _, q := range now.Questions {
		if !before[span(q)] {
			c.Questions = append(c.Questions, q)
		}
	}
	for _, e := range now.EdgeCases {
		known := func(o EdgeCase) bool { return o.Facet == e.Facet && o.Value == e.Value }
		if !slices.ContainsFunc(old.EdgeCases, known) {
			c.EdgeCases = append(c.EdgeCases, e)
		}
	}
	for _, q := range allQuotes(old) {
		id := cmp.Or(q.Signal, q.Item)
		if withdrawn != nil && withdrawn(q) && !slices.Contains(c.Withdrawn, id) {
			c.Withdrawn = append(c.Withdrawn, id)
		}
	}
	if old.Severity.Level != now.Severity.Level && old.Asking.Voices > 0 {
		c.Severity = &Shift{From: old.Severity.Level, To: now.Severity.Level}
	}
	if old.Status != now.Status && old.Status != "" {
		c.Status = &Shift{From: old.Status, To: now.Status}
	}
	if now.Done != nil {
		c.Heard = now.Done.Heard
		if old.Done != nil && old.Done.At.Equal(now.Done.At) {
			c.Heard -= old.Done.Heard
		}
		c.Heard = max(c.Heard, 0)
	}
	c.Attached = missing(ids(now.Clusters), ids(old.Clusters))
	c.Detached = missing(ids(old.Clusters), ids(now.Clusters))
	c.Decisions = missing(now.Decisions, old.Decisions)
	for _, n := range now.Clusters {
		for _, o := range old.Clusters {
			if o.ID == n.ID && RankBand(o.Rank) != RankBand(n.Rank) {
				c.Ranks = append(c.Ranks, Shift{Of: n.ID, From: fmt.Sprint(o.Rank), To: fmt.Sprint(n.Rank)})
			}
		}
	}
	c.tell(old)
	return c
}

func (c *Changes) tell(old Brief) {
	material := func(is bool, line string) {
		c.Lines = append(c.Lines, line)
		c.Material = c.Material || is
	}
	if c.Heard > 0 {
		material(true, "possible regression: "+count(c.Heard, "person", "people")+" spoke of it after it was done")
	}
	if c.NewVoices > 0 {
		line := count(c.NewVoices, "new voice", "new voices")
		if c.NewAccounts > 0 {
			line += " from " + count(c.NewAccounts, "new account", "new accounts")
		}
		material(c.NewAccounts > 0 || 10*c.NewVoices >= old.Asking.Voices, line)
	}
	if n := len(c.EdgeCases); n > 0 {
		material(true, count(n, "new edge case", "new edge cases"))
	}
	if n := len(c.Questions); n > 0 {
		material(false, count(n, "new open question", "new open questions"))
	}
	if n := len(c.Withdrawn); n > 0 {
		material(true, count(n, "quote withdrawn", "quotes withdrawn"))
	}
	if c.Severity != nil {
		material(true, "severity went from "+c.Severity.From+" to "+c.Severity.To)
	}
	for _, r := range c.Ranks {
		material(true, "rank went from "+r.From+" to "+r.To)
	}
	if n := len(c.Attached); n > 0 {
		material(true, count(n, "cluster attached", "clusters attached"))
	}
	if n := len(c.Detached); n > 0 {
		material(true, count(n, "cluster detached", "clusters detached"))
	}
	if n := len(c.Decisions); n > 0 {
		material(true, count(n, "decision by a person", "decisions by people"))
	}
	if c.Status != nil {
		material(false, "the ticket's status changed")
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// missing lists what of a is not in b, in the order of a.
func missing(a, b []string) []string {
	known := make(map[string]bool, len(b))
	for _, s := range b {
		known[s] = true
	}
	out := []string{}
	for _, s := range a {
		if !known[s] {
			out = append(out, s)
		}
	}
	return out
}

func ids(cs []Cluster) []string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = c.ID
	}
	return out
}

func span(q Quote) string { return fmt.Sprintf("%s:%d:%d", q.Item, q.Start, q.End) }

// allQuotes lists every quote of a brief, wherever it stands.
func allQuotes(b Brief) []Quote {
	out := slices.Concat(b.Need, b.Quotes, b.Opposed, b.Questions)
	for _, e := range b.EdgeCases {
		out = append(out, e.Quote)
	}
	if b.Done != nil {
		out = append(out, b.Done.Again...)
	}
	return out
}

// Sources lists the items and signals that a brief quotes.
func Sources(b Brief) (items, signals []string) {
	for _, q := range allQuotes(b) {
		if !slices.Contains(items, q.Item) {
			items = append(items, q.Item)
		}
		if q.Signal != "" && !slices.Contains(signals, q.Signal) {
			signals = append(signals, q.Signal)
		}
	}
	return items, signals
}

// Without takes quotes, and the edge cases that rest on them, out of a brief. Revision
// and hash stay those of the brief it was.
func Without(b Brief, gone func(Quote) bool) Brief {
	keep := func(qs []Quote) []Quote {
		return slices.DeleteFunc(slices.Clone(qs), gone)
	}
	b.Need, b.Quotes, b.Opposed, b.Questions = keep(b.Need), keep(b.Quotes), keep(b.Opposed), keep(b.Questions)
	b.EdgeCases = slices.DeleteFunc(slices.Clone(b.EdgeCases), func(e EdgeCase) bool { return gone(e.Quote) })
	if b.Done != nil {
		done := *b.Done
		done.Again = keep(done.Again)
		b.Done = &done
	}
	return b
}
