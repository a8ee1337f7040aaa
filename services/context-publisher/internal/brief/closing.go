package brief

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// Closing is what a ticket that is done leaves to do: whom to tell, with a reply that can be
// sent where they asked, and what customers said after it was done.
type Closing struct {
	At    time.Time `json:"at"`    // when it was done
	Tell  []Asker   `json:"tell"`  // who asked before, the accounts worth most first
	Reply string    `json:"reply"` // Reply, where there is somebody to tell
	Again []Quote   `json:"again"` // said after: possible regressions, newest first
	Heard int       `json:"heard"` // people heard after
}

// Asker is a customer to be told, and the conversation they asked in.
type Asker struct {
	Person
	Item   string          `json:"item"`
	Source feedback.Source `json:"source"`
	URL    string          `json:"url,omitempty"`
}

// Reply is offered for the conversations of those who asked. It names neither the ticket nor
// its words, which are not the customer's to read; a person sends it, nobody else.
const Reply = "You told us about this earlier, thank you. What we changed for it is done. If you still meet it, answer here and we will look again."

// At most so many are listed; the rest is counted with the people that are left out.
const (
	maxTell  = 40
	maxAgain = 5
)

// closed is nil for a ticket that is not done, or that nobody asked for.
func closed(in Input, heard []Signal) *Closing {
	if in.Ticket.Category != feedback.Done || in.DoneAt.IsZero() || len(in.Voices) == 0 {
		return nil
	}
	c := &Closing{At: in.DoneAt.UTC(), Tell: []Asker{}, Again: []Quote{}}
	for _, v := range in.Voices {
		if v.LastSaid.After(in.DoneAt) {
			c.Heard++
		}
		if v.FirstSaid.After(in.DoneAt) {
			continue
		}
		c.Tell = append(c.Tell, Asker{Person: personOf(in, v), Item: v.Item, Source: v.Source, URL: v.URL})
	}
	slices.SortStableFunc(c.Tell, func(a, b Asker) int {
		return cmp.Or(cmp.Compare(worth(b.Person), worth(a.Person)), b.LastSaid.Compare(a.LastSaid), cmp.Compare(a.Customer, b.Customer))
	})
	c.Tell = c.Tell[:min(len(c.Tell), maxTell)]
	if len(c.Tell) > 0 {
		c.Reply = Reply
	}
	for _, s := range slices.Backward(heard) {
		if s.SaidAt.After(in.DoneAt) && len(c.Again) < maxAgain && len(s.Quote) <= maxQuote {
			c.Again = append(c.Again, quoteOf(in, s, s.Span))
		}
	}
	return c
}

func worth(p Person) float64 {
	if p.Worth == nil {
		return 0
	}
	return p.Worth.Amount
}

// closing writes what is left to do of a ticket that is done.
func (w *writer) closing(c *Closing) {
	if c.Heard > 0 {
		w.put("## Possible regression\n\n%s spoke of it after it was done on %s.\n\n", count(c.Heard, "person", "people"), c.At.Format("2006-01-02"))
		w.quotes(c.Again)
	}
	if len(c.Tell) == 0 {
		return
	}
	var who []string
	for _, a := range c.Tell {
		name := person(a.Person)
		if name == "" {
			name = "a customer"
		}
		who = append(who, name+", "+string(a.Source)+w.cite(a.URL))
	}
	w.put("## To be told that it is done\n\n%s\n\n", quoted(strings.Join(who, "; "), w.safe))
	w.put("A reply to send in each conversation: %s\n\n", c.Reply)
}

// cite numbers the address of a source, and writes its number.
func (w *writer) cite(address string) string {
	href, ok := webURL(address)
	if !ok {
		return ""
	}
	n := slices.Index(w.sources, href)
	if n < 0 {
		n = len(w.sources)
		w.sources = append(w.sources, href)
	}
	return fmt.Sprintf(" (%d)", n+1)
}
