// Package difference tells two texts apart for a person: line by line, and word by word where
// a line became another.
//
// It is pure and the same for the same input. It promises that the pieces which are not Added
// are the old text and those which are not Removed are the new one, each in its order. It
// refuses to judge what matters: package brief does that.
package difference

import "strings"

// Op is what became of a piece.
type Op string

// The operations.
const (
	Same    Op = "same"
	Added   Op = "added"
	Removed Op = "removed"
)

// Piece is a run of words, or a whole line.
type Piece struct {
	Op   Op
	Text string
}

// Line is a line of either text. Pieces are its words where it became another, and otherwise
// the line as a whole.
type Line struct{ Pieces []Piece }

// Changed tells whether anything of the line differs.
func (l Line) Changed() bool {
	for _, p := range l.Pieces {
		if p.Op != Same {
			return true
		}
	}
	return false
}

// alike is the share of words that two lines have in common, of the longer one, from which
// they are shown as one line that changed. Below it, the words between those that stay would
// read as neither text.
const alike = 0.5

// Lines compares two lists of lines by their longest common subsequence. A removed line is
// paired with the added line of the same gap that it has most words in common with.
func Lines(old, now []string) []Line {
	var out []Line
	var removed, added []string
	flush := func() {
		out = append(out, gap(removed, added)...)
		removed, added = nil, nil
	}
	for _, p := range subsequence(old, now) {
		switch p.Op {
		case Removed:
			removed = append(removed, p.Text)
		case Added:
			added = append(added, p.Text)
		default:
			flush()
			out = append(out, Line{[]Piece{p}})
		}
	}
	flush()
	return out
}

// gap pairs what was removed with what was added in one place, in the order of both.
func gap(removed, added []string) []Line {
	var out []Line
	next := 0
	for _, r := range removed {
		best, at := alike, -1
		for i := next; i < len(added) && len(removed)*len(added) <= most; i++ {
			if s := common(r, added[i]); s >= best && (at < 0 || s > best) {
				best, at = s, i
			}
		}
		if at < 0 {
			out = append(out, Line{[]Piece{{Removed, r}}})
			continue
		}
		for ; next < at; next++ {
			out = append(out, Line{[]Piece{{Added, added[next]}}})
		}
		out = append(out, Line{Words(r, added[at])})
		next = at + 1
	}
	for ; next < len(added); next++ {
		out = append(out, Line{[]Piece{{Added, added[next]}}})
	}
	return out
}

// Words compares two lines word by word; runs of one operation are one piece. Spaces belong
// to the word before them.
func Words(old, now string) []Piece {
	var out []Piece
	for _, p := range subsequence(split(old), split(now)) {
		if n := len(out); n > 0 && out[n-1].Op == p.Op {
			out[n-1].Text += p.Text
			continue
		}
		out = append(out, p)
	}
	return out
}

// split cuts a line after each run of spaces.
func split(line string) []string {
	var out []string
	for line != "" {
		end := strings.IndexByte(line, ' ')
		if end < 0 {
			return append(out, line)
		}
		for end < len(line) && line[end] == ' ' {
			end++
		}
		out, line = append(out, line[:end]), line[end:]
	}
	return out
}

func common(a, b string) float64 {
	x, y := split(a), split(b)
	same := 0
	for _, p := range subsequence(x, y) {
		if p.Op == Same {
			same++
		}
	}
	return float64(same) / float64(max(len(x), len(y), 1))
}

// most bounds what is compared, so that a huge text costs no time: of longer lists, what is
// between the equal beginning and the equal end counts as replaced, and among more pairs of
// lines none is looked for that became one another.
const most = 2000

// subsequence lines two lists up by their longest common subsequence; of a replacement, what
// was removed comes first.
func subsequence(a, b []string) []Piece {
	var head, tail []Piece
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head, a, b = append(head, Piece{Same, a[0]}), a[1:], b[1:]
	}
	end := 0
	for end < min(len(a), len(b)) && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	for _, s := range a[len(a)-end:] {
		tail = append(tail, Piece{Same, s})
	}
	a, b = a[:len(a)-end], b[:len(b)-end]
	out := head
	if len(a) <= most && len(b) <= most {
		// length[i][j] is that of the longest common subsequence of a[i:] and b[j:].
		length := make([][]int, len(a)+1)
		for i := range length {
			length[i] = make([]int, len(b)+1)
		}
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				length[i][j] = max(length[i+1][j], length[i][j+1])
				if a[i] == b[j] {
					length[i][j] = length[i+1][j+1] + 1
				}
			}
		}
		for len(a) > 0 && len(b) > 0 {
			i, j := len(length)-1-len(a), len(length[0])-1-len(b)
			switch {
			case a[0] == b[0]:
				out, a, b = append(out, Piece{Same, a[0]}), a[1:], b[1:]
			case length[i+1][j] >= length[i][j+1]:
				out, a = append(out, Piece{Removed, a[0]}), a[1:]
			default:
				out, b = append(out, Piece{Added, b[0]}), b[1:]
			}
		}
	}
	for _, s := range a {
		out = append(out, Piece{Removed, s})
	}
	for _, s := range b {
		out = append(out, Piece{Added, s})
	}
	return append(out, tail...)
}
