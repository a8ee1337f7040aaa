package world

// attribute makes a signal somebody else's. Two voices turn out to be one person's when an
// address ties their identities together; what was said stays where it is, and counts as
// that one's from then on.
func (t *taking) attribute(s *signal, customer string) {
	if s.Customer == customer {
		return
	}
	if c := t.customers[s.Customer]; c != nil {
		delete(c.Signals, s.ID)
		t.spoken[t.who(s.Customer)]--
	}
	before := s.Customer
	s.Customer = customer
	if c := t.clusters[s.Cluster]; c != nil {
		c.voices.Forget(before, s.ID)
		c.voices.Observe(s.utterance())
		t.touch(s.Cluster)
	}
	t.customers[customer].Signals[s.ID] = true
	t.spoken[t.who(customer)]++
	t.changed(s.ID)
}
