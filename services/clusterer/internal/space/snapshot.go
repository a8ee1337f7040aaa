package space

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A snapshot is: eight bytes of magic and version, the options as JSON, the
// tables in little-endian integers and varints, and the SHA-256 of all that.
// What can be derived (degrees, reverse lists, cell lists, centroid sums, pins)
// is not in it: it is derived on the way in, from integers, so exactly.

var snapshotMagic = [8]byte{'T', 'L', 's', 'p', 'a', 'c', 'e', 3}

// ErrSnapshot is what every failure to restore wraps.
var ErrSnapshot = errors.New("snapshot is damaged or of another kind")

// MarshalBinary is the whole state. A space restored from it answers every
// later call exactly as this one would, to the byte. It never fails.
func (s *Space) MarshalBinary() ([]byte, error) {
	w := &writer{}
	w.raw(snapshotMagic[:])
	options, err := json.Marshal(s.options)
	if err != nil {
		return nil, fmt.Errorf("marshal space: %w", err)
	}
	w.text(string(options))
	for _, n := range []int{s.dimensions, s.machine, s.since, s.refreshes, s.minted, s.cells.trained, len(s.items), len(s.nodes), len(s.labels), len(s.free), len(s.lineage), len(s.decisions), len(s.cells.centroids)} {
		w.number(int64(n))
	}
	w.number(int64(math.Float64bits(s.resolution)))
	for i := range s.items {
		it := &s.items[i]
		w.number(int64(it.node))
		if it.node != none {
			w.text(it.id)
			w.number(int64(it.label))
		}
	}
	for slot := range s.nodes {
		n := &s.nodes[slot]
		w.number(int64(n.items))
		if n.items == 0 {
			continue
		}
		w.number(int64(n.host))
		w.components(s.vectors.at(int32(slot)))
		if n.host != none {
			continue
		}
		w.number(int64(n.community))
		w.number(int64(math.Float32bits(n.usual)))
		if s.cells.ready() {
			w.number(int64(s.cells.cell[slot]))
		}
		w.number(int64(len(n.near)))
		for _, c := range n.near {
			w.number(int64(c.node))
			w.number(int64(math.Float32bits(c.similarity)))
		}
	}
	for h := range s.labels {
		l := &s.labels[h]
		w.text(l.id)
		w.number(int64(l.created))
		w.number(int64(l.into))
		w.number(int64(l.from))
	}
	for _, slot := range s.free {
		w.number(int64(slot))
	}
	for _, e := range s.lineage {
		w.text(string(e.Kind))
		w.text(e.From)
		w.text(e.To)
		w.number(int64(e.At))
	}
	for i := range s.decisions {
		d := &s.decisions[i]
		w.text(d.id)
		w.text(string(d.kind))
		w.number(int64(d.at))
		w.number(int64(d.from))
		w.number(int64(d.to))
		w.flag(d.undone)
		for _, list := range [2][]anchor{d.taken, d.kept} {
			w.number(int64(len(list)))
			for _, a := range list {
				w.number(int64(a.item))
				w.number(int64(a.owed))
			}
		}
	}
	for _, c := range s.cells.centroids {
		w.components(c.q)
	}
	sum := sha256.Sum256(w.out.Bytes())
	w.raw(sum[:])
	return w.out.Bytes(), nil
}

// UnmarshalBinary restores a snapshot. The receiver may be the zero Space,
// which takes the snapshot's options, or one made by New, whose options and
// dimensions (unless 0) must then be the snapshot's. On failure, which wraps ErrSnapshot,
// the receiver is unchanged.
func (s *Space) UnmarshalBinary(data []byte) error {
	if len(data) < len(snapshotMagic)+sha256.Size || !bytes.Equal(data[:len(snapshotMagic)], snapshotMagic[:]) {
		return fmt.Errorf("restore space: %w", ErrSnapshot)
	}
	body := data[:len(data)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], data[len(body):]) {
		return fmt.Errorf("restore space: checksum: %w", ErrSnapshot)
	}
	r := &reader{in: body[len(snapshotMagic):]}
	var options Options
	if err := json.Unmarshal([]byte(r.text()), &options); err != nil {
		return fmt.Errorf("restore space: options: %w", ErrSnapshot)
	}
	restored := New(r.count(), options)
	if s.index != nil && (s.options != options || (s.dimensions != 0 && s.dimensions != restored.dimensions)) {
		return fmt.Errorf("restore space: made with other options: %w", ErrSnapshot)
	}
	restored.restore(r)
	if r.failed || len(r.in) > 0 {
		return fmt.Errorf("restore space: %w", ErrSnapshot)
	}
	*s = *restored
	return nil
}

func (s *Space) restore(r *reader) {
	s.machine, s.since = r.count(), r.count()
	s.refreshes, s.minted, s.cells.trained = r.count(), r.count(), r.count()
	items, nodes, labels, free := r.length(), r.length(), r.length(), r.length()
	lineage, decisions, centroids := r.length(), r.length(), r.length()
	s.resolution = math.Float64frombits(uint64(r.number()))
	s.items = make([]item, items)
	for i := range s.items {
		s.items[i] = item{node: r.index(nodes), label: none, next: none}
		if s.items[i].node != none {
			s.items[i].id = r.text()
			s.items[i].label = r.index(labels)
			s.index[s.items[i].id] = int32(i)
		}
	}
	s.nodes = make([]node, nodes)
	s.cells.cell = slices.Repeat([]int32{none}, nodes)
	for slot := range s.nodes {
		n := &s.nodes[slot]
		if n.community = none; r.number() == 0 || r.failed {
			continue
		}
		n.host, n.satellite, n.elder = r.index(nodes), none, none
		s.vectors.put(int32(slot), newRow(r.components(s.vectors.padded)))
		if n.host != none {
			continue
		}
		s.live++
		n.community = r.index(labels)
		n.usual = math.Float32frombits(uint32(r.number()))
		if centroids > 0 {
			s.cells.cell[slot] = r.index(centroids)
		}
		n.near = make([]neighbour, min(r.count(), listLength))
		for i := range n.near {
			n.near[i] = neighbour{r.index(nodes), math.Float32frombits(uint32(r.number()))}
		}
	}
	s.labels = make([]label, labels)
	for h := range s.labels {
		s.labels[h] = label{id: r.text(), created: r.count(), into: r.index(labels), from: r.index(labels)}
		s.byID[s.labels[h].id] = int32(h)
	}
	s.free = make([]int32, free)
	for i := range s.free {
		s.free[i] = r.index(nodes)
	}
	s.lineage = make([]LineageEvent, lineage)
	for i := range s.lineage {
		s.lineage[i] = LineageEvent{Kind: ChangeKind(r.text()), From: r.text(), To: r.text(), At: r.count()}
	}
	s.decisions = make([]decision, decisions)
	for i := range s.decisions {
		d := decision{id: r.text(), kind: DecisionKind(r.text()), at: r.count(), from: r.index(labels), to: r.index(labels), undone: r.flag()}
		for _, list := range [2]*[]anchor{&d.taken, &d.kept} {
			*list = make([]anchor, r.length())
			for j := range *list {
				(*list)[j] = anchor{r.index(items), r.index(decisions)}
			}
		}
		s.decisions[i] = d
	}
	s.cells.centroids = make([]row, centroids)
	s.cells.members = make([]members, centroids)
	for i := range s.cells.centroids {
		s.cells.centroids[i] = newRow(r.components(s.vectors.padded))
	}
	if !r.failed {
		s.rebuild()
	}
}

// rebuild derives what a snapshot leaves out.
func (s *Space) rebuild() {
	for i := range s.items {
		if it := &s.items[i]; it.node != none {
			s.attach(int32(i), it.node)
			l := &s.labels[it.label]
			l.size++
			if l.sum == nil {
				l.sum = make([]int32, s.dimensions)
			}
			s.vectors.addTo(l.sum, it.node, 1)
			if host := s.nodes[it.node].host; host != none {
				s.hang(it.node, host)
			}
		}
	}
	for slot := range int32(len(s.nodes)) {
		n := &s.nodes[slot]
		if !n.inGraph() {
			continue
		}
		for i, c := range n.near {
			s.nodes[c.node].listedBy = append(s.nodes[c.node].listedBy, slot)
			if i < s.options.Neighbours {
				s.tie(slot, c.node, s.weight(slot, c))
			}
		}
		if s.cells.ready() {
			cell := s.cells.cell[slot]
			s.cells.members[cell].add(slot, s.vectors.row(slot))
		}
	}
	for h := range s.labels {
		s.labels[h].degree, s.labels[h].nodes = 0, 0
	}
	for slot := range s.nodes {
		if n := &s.nodes[slot]; n.inGraph() {
			s.labels[n.community].nodes++
			s.labels[n.community].degree += n.degree
		}
	}
	s.derive()
}

// Digest is a hash, in hexadecimal, of the visible outcome: which signal is in
// which cluster, the clusters' ids and ages, their lineage, and the decisions
// in force. Two spaces that went through the same have the same; a decision
// that was undone leaves no trace in it.
func (s *Space) Digest() string {
	h := sha256.New()
	for i := range s.items {
		if it := &s.items[i]; it.node != none {
			fmt.Fprintf(h, "signal %q %s\n", it.id, s.labels[it.label].id)
		}
	}
	for i := range s.labels {
		if l := &s.labels[i]; l.size > 0 {
			fmt.Fprintf(h, "cluster %s %d %d\n", l.id, l.created, l.size)
		}
	}
	for _, e := range s.Lineage() {
		fmt.Fprintf(h, "lineage %s %s %s %d %q\n", e.Kind, e.From, e.To, e.At, e.Decision)
	}
	for _, d := range s.Decisions() {
		fmt.Fprintf(h, "decision %q %s %s %s %q\n", d.ID, d.Kind, d.Cluster, d.Other, d.Signals)
	}
	return hex.EncodeToString(h.Sum(nil))
}

type writer struct{ out bytes.Buffer }

func (w *writer) raw(b []byte)   { w.out.Write(b) }
func (w *writer) number(n int64) { w.out.Write(binary.AppendVarint(nil, n)) }
func (w *writer) text(t string)  { w.number(int64(len(t))); w.out.WriteString(t) }

func (w *writer) flag(b bool) {
	if b {
		w.number(1)
	} else {
		w.number(0)
	}
}

func (w *writer) components(q []int8) {
	for _, c := range q {
		w.out.WriteByte(byte(c))
	}
}

// reader reads what a writer wrote; after the first thing that cannot be, it
// has failed and gives zeros.
type reader struct {
	in     []byte
	failed bool
}

func (r *reader) number() int64 {
	n, size := binary.Varint(r.in)
	if size <= 0 {
		r.in, r.failed = nil, true
		return 0
	}
	r.in = r.in[size:]
	return n
}

func (r *reader) count() int {
	n := r.number()
	if n < 0 || n > math.MaxInt32 {
		r.in, r.failed = nil, true
		return 0
	}
	return int(n)
}

// length is a count of things that each take at least a byte.
func (r *reader) length() int {
	n := r.count()
	if n > len(r.in) {
		r.in, r.failed = nil, true
		return 0
	}
	return n
}

// index is none or a number below n.
func (r *reader) index(n int) int32 {
	i := r.number()
	if i < int64(none) || i >= int64(n) {
		r.in, r.failed = nil, true
		return none
	}
	return int32(i)
}

func (r *reader) flag() bool { return r.number() == 1 }

func (r *reader) text() string { return string(r.bytes(r.length())) }

func (r *reader) components(n int) []int8 {
	q := make([]int8, n)
	for i, b := range r.bytes(n) {
		q[i] = int8(b)
	}
	return q
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.in) {
		r.in, r.failed = nil, true
		return nil
	}
	b := r.in[:n]
	r.in = r.in[n:]
	return b
}
