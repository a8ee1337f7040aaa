package publish

import (
	"container/list"
	"math"
	"sync"

	"github.com/throughline-dev/throughline/pkg/embed"
)

// remembered is how many vectors a process keeps: those of some dozen busy workspaces'
// newest signals, about 30 MB with the local encoder.
const remembered = 16_384

// recall keeps vectors that were read from the store. What has an id has one vector for life:
// a signal's id is made of its words, and a cluster is kept under its id and version. The
// least recently used are forgotten. It is safe for concurrent use.
type recall struct {
	mu     sync.Mutex
	known  map[string]*list.Element
	recent *list.List // of placed, the most recently used first
}

type placed struct {
	id string
	vector
}

// vector is a vector with the space that it is of.
type vector struct {
	space  string
	values []float32
	length float32
}

// measured is the vector with its length.
func (v vector) measured() vector {
	v.length = float32(math.Sqrt(float64(embed.Dot(v.values, v.values))))
	return v
}

func newRecall() *recall { return &recall{known: map[string]*list.Element{}, recent: list.New()} }

// of returns what is known of ids, and which are not known.
func (r *recall) of(ids []string) (known map[string]vector, missing []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known = make(map[string]vector, len(ids))
	for _, id := range ids {
		e, ok := r.known[id]
		if !ok {
			missing = append(missing, id)
			continue
		}
		r.recent.MoveToFront(e)
		known[id] = e.Value.(placed).vector
	}
	return known, missing
}

// keep keeps vectors.
func (r *recall) keep(vectors map[string]vector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, v := range vectors {
		if e, ok := r.known[id]; ok {
			r.recent.MoveToFront(e)
			continue
		}
		r.known[id] = r.recent.PushFront(placed{id, v})
	}
	for r.recent.Len() > remembered {
		oldest := r.recent.Back()
		r.recent.Remove(oldest)
		delete(r.known, oldest.Value.(placed).id)
	}
}
