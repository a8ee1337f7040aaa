package chat

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"sync"
)

// key identifies a question: who asks, by which prompt, which model, about which text.
type key [sha256.Size]byte

func keyOf(parts ...string) key {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return key(h.Sum(nil))
}

// memory keeps the answers that were used last. They quote masked texts, and are in memory
// alone: what an answer led to is what is stored.
type memory struct {
	mu     sync.Mutex
	size   int
	places map[key]*list.Element
	order  *list.List // the last used first
}

type remembered struct {
	key  key
	rows []row
}

func newMemory(size int) *memory {
	return &memory{size: size, places: map[key]*list.Element{}, order: list.New()}
}

func (m *memory) recall(k key) ([]row, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.places[k]
	if !ok {
		return nil, false
	}
	m.order.MoveToFront(e)
	return e.Value.(remembered).rows, true
}

func (m *memory) keep(k key, rows []row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.places[k]; ok {
		m.order.MoveToFront(e)
		return
	}
	m.places[k] = m.order.PushFront(remembered{k, rows})
	if m.order.Len() > m.size {
		last := m.order.Back()
		m.order.Remove(last)
		delete(m.places, last.Value.(remembered).key)
	}
}
