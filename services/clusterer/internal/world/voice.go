package world

import "github.com/throughline-dev/throughline/pkg/rank"

// attribute makes a signal somebody else's. Two voices turn out to be one person's when an
// address ties their identities together; what was said stays where it is, and counts as
// that one's from then on.
func (t *taking) attribute(s *signal, customer string) {
	if s.Customer == customer {
		return
	}
	if c := t.customers[s.Customer]; c != nil {
		delete(c.Signals, s.ID)
	}
	if c := t.clusters[s.Cluster]; c != nil {
		c.voices.Forget(s.Customer, s.ID)
		c.voices.Observe(rank.Utterance{Signal: s.ID, Voice: customer, Severity: s.Severity, At: s.At})
		t.touch(s.Cluster)
	}
	s.Customer = customer
	t.customers[customer].Signals[s.ID] = true
	t.changed(s.ID)
}
