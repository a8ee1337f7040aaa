package space

// Near is a signal and its cosine to another.
type Near struct {
	ID         string
	Similarity float64
}

// Around are the signals nearest to one that is here, nearest first, as far as its node
// remembers them: near-duplicates of it, then of each neighbour all signals that say the
// same. Empty for a signal that is not here. It searches nothing.
func (s *Space) Around(signalID string) []Near {
	at, known := s.index[signalID]
	if !known {
		return nil
	}
	var out []Near
	say := func(slot int32, similarity float64) {
		for other := s.nodes[slot].first; other != none; other = s.items[other].next {
			if other != at {
				out = append(out, Near{s.items[other].id, similarity})
			}
		}
	}
	say(s.items[at].node, 1)
	for _, near := range s.around(s.items[at].node) {
		say(near.node, float64(near.similarity))
	}
	return out
}
