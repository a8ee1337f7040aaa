package brief

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Input is what a brief is built from. Signals may be a sample of the attached clusters'
// signals; Voices, LastWeek and WeekBefore count all of them.
type Input struct {
	Ticket    feedback.Ticket
	Attached  []Cluster
	Suggested []Cluster
	Decisions []string
	Signals   []Signal
	Items     map[string]Item
	Voices    []Voice
	Accounts  map[string]feedback.Account // by id

	// Relevance is how near each signal is to the ticket, by signal; only its order and
	// its proportions count. Empty means that all are as near.
	Relevance map[string]float64

	// DoneAt is when the ticket was done; zero where it is not.
	DoneAt time.Time

	LastWeek   int // voices in the week before AsOf
	WeekBefore int
	FirstSeen  time.Time
	LastSeen   time.Time

	Position uint64
	AsOf     time.Time
	Now      time.Time
	Budget   int // tokens; 0 means DefaultBudget
}

// Signal is a signal of an attached cluster as it is stored.
type Signal struct {
	ID         string
	Item       string
	Cluster    string
	Kind       feedback.Kind
	Span       feedback.Span
	Quote      string
	Severity   float64
	Similarity float64 // to its cluster
	Customer   string
	SaidAt     time.Time
	Vector     []float32
}

// Item is a stored feedback item. Foreign holds the spans of its signals that belong to
// clusters which are not attached: what they say is not about this ticket.
type Item struct {
	ID      string
	Text    string
	URL     string
	Source  feedback.Source
	Name    string // the customer's
	Account string // the account's name
	Foreign []feedback.Span
}

// Voice is a customer who was heard in the attached clusters. Account is the account's
// id, empty where it is not known; AccountName what the source called it. Item is the one
// they spoke in last, with its source and address.
type Voice struct {
	Customer    string
	Name        string
	Account     string
	AccountName string
	FirstSaid   time.Time
	LastSaid    time.Time
	Item        string
	Source      feedback.Source
	URL         string
}

// What a brief holds at most before its budget is looked at.
const (
	maxNeed      = 3
	maxQuotes    = 30
	maxEdgeCases = 40
	maxQuestions = 3
	maxOpposed   = 3
	maxPeople    = 12
	fewWords     = 5   // a quote of fewer words, without a number, tells an engineer nothing
	nearShare    = 0.3 // of the most relevant signals' relevance: what is below is about something else
	manySignals  = 40  // up to as many, the budget holds them all and nobody need choose
	maxIDs       = 512
	maxQuote     = 600 // bytes of one quote; a longer one is left out of what is shown
	wideQuote    = 320 // a quote is widened to whole sentences of its item up to here
)

// Build makes a brief. It never fails: what cannot be verified is dropped and counted.
func Build(in Input) Brief {
	heard, unverified := verified(in)
	b := Brief{
		Workspace: in.Ticket.Workspace, Tracker: in.Ticket.Tracker, Ticket: in.Ticket.Key,
		Title: line(in.Ticket.Title, 200), URL: in.Ticket.URL, Status: line(in.Ticket.Status, 60), Category: in.Ticket.Category,
		Clusters: nonNil(in.Attached), Suggested: nonNil(in.Suggested), Decisions: nonNil(in.Decisions),
		FirstSeen: in.FirstSeen.UTC(), LastSeen: in.LastSeen.UTC(),
		Position: in.Position, AsOf: in.AsOf.UTC(), GeneratedAt: in.Now.UTC(),
		Omitted:  Omitted{Unverified: unverified},
		Severity: severity(heard), Trend: trend(in), Asking: asking(in),
	}
	slices.SortFunc(b.Clusters, func(x, y Cluster) int {
		return cmp.Or(cmp.Compare(unranked(x.Rank), unranked(y.Rank)), cmp.Compare(x.ID, y.ID))
	})
	b.VoiceIDs, b.AccountIDs = identities(in.Voices)

	telling := about(in, heard)
	asks, questions, opposed := []Signal{}, []Signal{}, []Signal{}
	for _, s := range telling {
		switch {
		case opposes(in, s, b.Clusters):
			opposed = append(opposed, s)
		case s.Kind != feedback.Question || len(telling) == 1:
			asks = append(asks, s)
		case open(s.Quote):
			questions = append(questions, s)
		}
	}
	if len(asks) == 0 {
		asks, questions = questions, nil
	}
	b.Done = closed(in, telling)
	c := &chooser{in: in, typical: typicality(asks), used: map[string][]feedback.Span{}}
	b.Opposed = c.choose(opposed, maxOpposed, 0.7, true)
	b.Need = c.choose(asks, maxNeed, 0.85, true)
	b.Quotes = c.choose(asks, maxQuotes, 0.6, false)
	b.Questions = c.choose(questions, maxQuestions, 0.7, false)
	b.EdgeCases = edgeCases(in, telling)
	b.Unknown = unknown(b)
	b.Omitted.Quotes = c.left
	if extra := len(b.EdgeCases) - maxEdgeCases; extra > 0 {
		b.Omitted.EdgeCases = extra
		b.EdgeCases = b.EdgeCases[:maxEdgeCases]
	}
	b.Omitted.People = max(0, b.Asking.Voices-len(b.Asking.People))
	b = Fit(b, in.Budget)
	b.Hash = ContentHash(b)
	return b
}

// verified keeps the signals whose quote is the stored item's text under their span,
// byte for byte, in an order of their own: oldest first.
func verified(in Input) (heard []Signal, dropped int) {
	for _, s := range in.Signals {
		item, ok := in.Items[s.Item]
		if !ok || s.Span.Start < 0 || s.Span.End > len(item.Text) || s.Span.Start >= s.Span.End ||
			item.Text[s.Span.Start:s.Span.End] != s.Quote {
			dropped++
			continue
		}
		heard = append(heard, s)
	}
	slices.SortFunc(heard, func(a, b Signal) int {
		return cmp.Or(a.SaidAt.Compare(b.SaidAt), cmp.Compare(a.ID, b.ID))
	})
	return heard, dropped
}

// about keeps the signals that tell an engineer something of this ticket: more than an
// exclamation and, where there are many, near enough to it. Where nothing is left, all are.
func about(in Input, heard []Signal) []Signal {
	var near []float64
	for _, s := range heard {
		near = append(near, in.Relevance[s.ID])
	}
	slices.SortFunc(near, func(a, b float64) int { return cmp.Compare(b, a) })
	bar := 0.0
	if top := near[:min(len(near), 5)]; len(near) > manySignals {
		for _, r := range top {
			bar += nearShare * r / float64(len(top))
		}
	}
	var out []Signal
	for _, s := range heard {
		if in.Relevance[s.ID] >= bar && tells(s.Quote) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return heard
	}
	return out
}

// tells reports whether a quote is more than an exclamation: five words, a number, or as
// many characters in a script that does not part words.
func tells(quote string) bool {
	return len(strings.Fields(quote)) >= fewWords || strings.ContainsAny(quote, "0123456789") ||
		utf8.RuneCountInString(quote) >= 12 && len(quote) > 2*utf8.RuneCountInString(quote)
}

// typicality is the mean cosine of each signal with the others, or its similarity to
// its cluster where it has no vector. At most 200 others are looked at.
func typicality(signals []Signal) map[string]float64 {
	others := signals
	if len(others) > 200 {
		step := float64(len(signals)) / 200
		others = make([]Signal, 200)
		for i := range others {
			others[i] = signals[int(float64(i)*step)]
		}
	}
	out := make(map[string]float64, len(signals))
	for _, s := range signals {
		sum, n := 0.0, 0
		for _, o := range others {
			if o.ID != s.ID && o.Customer != s.Customer && len(o.Vector) > 0 && len(o.Vector) == len(s.Vector) {
				sum += float64(embed.Dot(s.Vector, o.Vector))
				n++
			}
		}
		out[s.ID] = s.Similarity
		if n > 0 {
			out[s.ID] = sum / float64(n)
		}
	}
	return out
}

// chooser picks quotes by maximal marginal relevance (Carbonell & Goldstein 1998): a
// quote is worth its typicality, severity and account's worth, less its likeness to
// what was picked before. No span of an item is shown twice.
type chooser struct {
	in      Input
	typical map[string]float64
	used    map[string][]feedback.Span
	picked  []Signal
	left    int // quotes that nothing showed
}

func (c *chooser) choose(from []Signal, most int, lambda float64, onePerCustomer bool) []Quote {
	out := []Quote{}
	said := map[string]bool{}
	pool := slices.Clone(from)
	for len(pool) > 0 && len(out) < most {
		best, value := -1, math.Inf(-1)
		for i, s := range pool {
			if v := lambda*c.worth(s) - (1-lambda)*c.likeness(s); v > value {
				best, value = i, v
			}
		}
		s := pool[best]
		pool = slices.Delete(pool, best, best+1)
		if onePerCustomer && said[s.Customer] || c.shown(s.Item, s.Span) {
			continue
		}
		at := c.widen(s)
		if at.End-at.Start > maxQuote {
			c.left++
			continue
		}
		said[s.Customer] = true
		c.used[s.Item] = append(c.used[s.Item], at)
		c.picked = append(c.picked, s)
		out = append(out, quoteOf(c.in, s, at))
	}
	if !onePerCustomer {
		for _, s := range pool {
			if !c.shown(s.Item, s.Span) {
				c.left++
			}
		}
	}
	return out
}

// worth of a quote, in [0, 1] or near it: nearness to the ticket and typicality first, then
// severity, then a little for an account that is worth something, on a logarithmic scale up
// to a million.
func (c *chooser) worth(s Signal) float64 {
	value := 0.0
	for _, v := range c.in.Voices {
		if v.Customer == s.Customer {
			value = c.in.Accounts[v.Account].Value
			break
		}
	}
	near := c.typical[s.ID]
	if most := c.nearest(); most > 0 {
		near = 0.6*c.in.Relevance[s.ID]/most + 0.4*c.typical[s.ID]
	}
	return 0.6*near + 0.25*s.Severity + 0.15*min(math.Log10(1+value)/6, 1)
}

func (c *chooser) nearest() float64 {
	most := 0.0
	for _, r := range c.in.Relevance {
		most = max(most, r)
	}
	return most
}

func (c *chooser) likeness(s Signal) float64 {
	most := 0.0
	for _, p := range c.picked {
		if len(p.Vector) > 0 && len(p.Vector) == len(s.Vector) {
			most = max(most, float64(embed.Dot(p.Vector, s.Vector)))
		}
		if p.Customer == s.Customer {
			most = max(most, 0.5)
		}
	}
	return most
}

func (c *chooser) shown(item string, at feedback.Span) bool {
	return slices.ContainsFunc(c.used[item], func(u feedback.Span) bool { return u.Start < at.End && at.Start < u.End })
}

// widen grows a signal's span to whole sentences, and to the sentences beside it that
// are about the same need, while it stays short: the fact an engineer asks for is often
// in the next sentence. The outcome is still a verbatim span.
func (c *chooser) widen(s Signal) feedback.Span {
	at := s.Span
	sentences := own(c.in.Items[s.Item])
	for grown := true; grown; {
		grown = false
		for _, n := range sentences {
			wide := feedback.Span{Start: min(at.Start, n.Start), End: max(at.End, n.End)}
			beside := n.End >= at.Start-4 && n.Start <= at.End+4
			if wide != at && beside && wide.End-wide.Start <= wideQuote && !c.shown(s.Item, n) && !foreign(c.in.Items[s.Item], wide) {
				at, grown = wide, true
			}
		}
	}
	return at
}

func foreign(item Item, at feedback.Span) bool {
	return slices.ContainsFunc(item.Foreign, func(f feedback.Span) bool { return f.Start < at.End && at.Start < f.End })
}

func quoteOf(in Input, s Signal, at feedback.Span) Quote {
	item := in.Items[s.Item]
	return Quote{
		Signal: s.ID, Item: s.Item, Cluster: s.Cluster, Kind: s.Kind,
		Text: Clean(item.Text[at.Start:at.End]), Start: at.Start, End: at.End,
		Source: item.Source, URL: item.URL, Customer: s.Customer,
		Name: line(item.Name, 80), Account: line(item.Account, 80), SaidAt: s.SaidAt.UTC(),
	}
}

// severity is the 80th percentile by nearest rank: one furious message does not make a
// need severe, one in five does.
func severity(signals []Signal) Severity {
	if len(signals) == 0 {
		return Severity{Level: "low"}
	}
	values := make([]float64, len(signals))
	for i, s := range signals {
		values[i] = s.Severity
	}
	slices.Sort(values)
	v := values[int(math.Ceil(0.8*float64(len(values))))-1]
	level := "low"
	switch {
	case v >= 0.65:
		level = "high"
	case v >= 0.35:
		level = "medium"
	}
	return Severity{Value: math.Round(100*v) / 100, Level: level}
}

func trend(in Input) Trend {
	t := Trend{Word: "steady", LastWeek: in.LastWeek, WeekBefore: in.WeekBefore}
	switch {
	case !in.FirstSeen.IsZero() && in.AsOf.Sub(in.FirstSeen) < 7*24*time.Hour:
		t.Word = "new"
	case t.LastWeek >= t.WeekBefore+2 && 2*t.LastWeek >= 3*t.WeekBefore:
		t.Word = "rising"
	case 2*t.LastWeek <= t.WeekBefore && t.WeekBefore > 0:
		t.Word = "cooling"
	}
	return t
}

// asking counts people and accounts and picks whom to name: the accounts worth most
// first, one person of each, then a second of each, and so on.
func asking(in Input) Asking {
	a := Asking{Voices: len(in.Voices), Worth: []Money{}, People: []Person{}}
	worth := map[string]float64{}
	counted := map[string]int{}
	type placed struct {
		Person
		turn  int
		value float64
	}
	voices := slices.Clone(in.Voices)
	slices.SortFunc(voices, func(x, y Voice) int {
		return cmp.Or(y.LastSaid.Compare(x.LastSaid), cmp.Compare(x.Customer, y.Customer))
	})
	var people []placed
	for _, v := range voices {
		p := placed{Person: personOf(in, v)}
		key := accountKey(v)
		if p.Worth != nil {
			p.value = p.Worth.Amount
			if counted[key] == 0 {
				worth[p.Worth.Currency] += p.value
			}
		}
		if key != "" {
			p.turn = counted[key]
			counted[key]++
		}
		people = append(people, p)
	}
	a.Accounts = len(counted)
	slices.SortStableFunc(people, func(x, y placed) int {
		return cmp.Or(cmp.Compare(x.turn, y.turn), cmp.Compare(y.value, x.value))
	})
	for _, p := range people[:min(len(people), maxPeople)] {
		a.People = append(a.People, p.Person)
	}
	for currency, amount := range worth {
		a.Worth = append(a.Worth, Money{amount, currency})
	}
	slices.SortFunc(a.Worth, func(x, y Money) int {
		return cmp.Or(cmp.Compare(y.Amount, x.Amount), cmp.Compare(x.Currency, y.Currency))
	})
	return a
}

// personOf is a voice with what is known of their account.
func personOf(in Input, v Voice) Person {
	p := Person{Customer: v.Customer, Name: line(v.Name, 80), Account: line(v.AccountName, 80), LastSaid: v.LastSaid.UTC()}
	if account, ok := in.Accounts[v.Account]; ok && v.Account != "" {
		p.Account, p.Plan, p.Segment = line(account.Name, 80), line(account.Plan, 40), line(account.Segment, 40)
		if account.Value > 0 {
			p.Worth = &Money{account.Value, account.Currency}
		}
	}
	return p
}

// accountKey tells accounts apart: by id, or by the name the source gave.
func accountKey(v Voice) string {
	if v.Account != "" {
		return v.Account
	}
	return strings.ToLower(line(v.AccountName, 80))
}

func identities(voices []Voice) (customers, accounts []string) {
	voices = slices.Clone(voices)
	slices.SortFunc(voices, func(x, y Voice) int {
		return cmp.Or(y.LastSaid.Compare(x.LastSaid), cmp.Compare(x.Customer, y.Customer))
	})
	customers, accounts = []string{}, []string{}
	for _, v := range voices {
		if len(customers) < maxIDs {
			customers = append(customers, v.Customer)
		}
		if key := accountKey(v); key != "" && len(accounts) < maxIDs && !slices.Contains(accounts, key) {
			accounts = append(accounts, key)
		}
	}
	return customers, accounts
}

// unknown lists what an engineer asks first of a problem and no customer said.
func unknown(b Brief) []string {
	out := []string{}
	if !slices.ContainsFunc(b.Clusters, func(c Cluster) bool { return c.Kind == feedback.Bug }) {
		return out
	}
	for _, f := range []struct{ facet, says string }{
		{FacetVersion, "no customer named a version"},
		{FacetPlatform, "no customer named a platform, browser or device"},
		{FacetCondition, "no customer said under which condition it happens"},
		{FacetWorkaround, "no customer described a workaround"},
	} {
		if !slices.ContainsFunc(b.EdgeCases, func(e EdgeCase) bool { return e.Facet == f.facet }) {
			out = append(out, f.says)
		}
	}
	return out
}

func unranked(rank uint32) uint32 { return rank - 1 } // 0 wraps round to the last place

func nonNil[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return slices.Clone(in)
}
