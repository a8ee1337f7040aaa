package judge

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/classifier/internal/linear"
)

// Judgement is what a statement is.
type Judgement struct {
	Kind       feedback.Kind
	Sentiment  float64 // in [-1, 1]: the probability of good less that of bad
	Severity   float64 // in [0, 1]: what it costs the customer; see severity
	Confidence float64 // in [0, 1]: the probability of Kind
	Area       string  // product area, or empty

	Otherwise feedback.Kind // the most probable kind that is not other
}

// The classes of the mood head.
const (
	Negative = "negative"
	Neutral  = "neutral"
	Positive = "positive"
)

// Moods lists them in the order of the head.
var Moods = []string{Negative, Neutral, Positive}

// Judge judges. It is safe for concurrent use.
type Judge struct {
	lexicon *Lexicon
	heads   Heads
}

// Heads are what was fitted: a head for kinds, whose classes are feedback.Kinds, and one for
// moods, whose classes are Moods. Their dense part is the meaning of vectors of Space.
type Heads struct {
	Space string
	Kind  *linear.Head
	Mood  *linear.Head
}

//go:embed heads.bin
var shipped []byte

// Shipped returns the judge that ships with Throughline.
func Shipped() (*Judge, error) {
	heads, err := ReadHeads(bytes.NewReader(shipped))
	if err != nil {
		return nil, fmt.Errorf("open shipped heads: %w", err)
	}
	return New(heads)
}

// New returns a judge with heads of one's own.
func New(h Heads) (*Judge, error) {
	l, err := NewLexicon()
	if err != nil {
		return nil, err
	}
	if len(h.Kind.Classes) != len(feedback.Kinds) || len(h.Mood.Classes) != len(Moods) {
		return nil, errors.New("open heads: they do not tell our kinds and moods apart")
	}
	return &Judge{lexicon: l, heads: h}, nil
}

// Write writes heads in the form that ReadHeads reads.
func (h Heads) Write(w io.Writer) error {
	if _, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(h.Space))), h.Space...)); err != nil {
		return err
	}
	if err := h.Kind.Write(w); err != nil {
		return err
	}
	return h.Mood.Write(w)
}

// ReadHeads reads heads.
func ReadHeads(r io.Reader) (Heads, error) {
	b := bufio.NewReader(r)
	n, err := binary.ReadUvarint(b)
	if err != nil || n > 256 {
		return Heads{}, errors.New("read heads: not heads")
	}
	space := make([]byte, n)
	if _, err := io.ReadFull(b, space); err != nil {
		return Heads{}, fmt.Errorf("read heads: %w", err)
	}
	h := Heads{Space: string(space)}
	if h.Kind, err = linear.Read(b); err != nil {
		return Heads{}, err
	}
	h.Mood, err = linear.Read(b)
	return h, err
}

// Space is the embedding space whose vectors the heads understand. Vectors of any other are
// left out of the judgement.
func (j *Judge) Space() string { return j.heads.Space }

// Lexicon is the judge's lexicon, for fitting further heads on the same features.
func (j *Judge) Lexicon() *Lexicon { return j.lexicon }

// meaningWidth is how much of a vector of the hybrid space is meaning; the rest are words,
// which the heads see themselves. meaningLength is the length it gets beside them.
const (
	meaningWidth  = 384
	meaningLength = 2
)

// Meaning returns the part of a vector that heads are fitted on.
func Meaning(vector []float32) []float32 {
	part := vector[:min(meaningWidth, len(vector))]
	sum := 0.0
	for _, v := range part {
		sum += float64(v) * float64(v)
	}
	out := make([]float32, len(part))
	if sum > 0 {
		scale := float32(meaningLength / math.Sqrt(sum))
		for i, v := range part {
			out[i] = v * scale
		}
	}
	return out
}

// Clause says what kind a statement is from its words alone.
func (j *Judge) Clause(text string) feedback.Kind {
	kind, _, _ := j.kind(j.heads.Kind.Probabilities(j.lexicon.Features(Part{text, 1}), nil))
	return kind
}

// Judge judges a statement. vector is its embedding in the space named; it may be nil.
func (j *Judge) Judge(space string, vector []float32, parts ...Part) Judgement {
	features := j.lexicon.Features(parts...)
	var dense []float32
	if space == j.heads.Space && vector != nil {
		dense = Meaning(vector)
	}
	kind, otherwise, confidence := j.kind(j.heads.Kind.Probabilities(features, dense))
	mood := j.heads.Mood.Probabilities(features, dense)
	out := Judgement{Kind: kind, Otherwise: otherwise, Confidence: confidence, Sentiment: mood[2] - mood[0]}
	text := ""
	for _, p := range parts {
		text += lower(p.Text) + "\n"
	}
	out.Severity = severity(kind, text, out.Sentiment)
	out.Area = area(text)
	return out
}

// As is a judgement with its kind, and what follows from it, overruled.
func (j *Judge) As(kind feedback.Kind, was Judgement, text string) Judgement {
	was.Kind = kind
	was.Severity = severity(kind, lower(text), was.Sentiment)
	return was
}

// kind is the most probable kind, the most probable that is not other, and the probability
// of the first.
func (j *Judge) kind(p []float64) (kind, otherwise feedback.Kind, confidence float64) {
	best, second := -1, -1
	for i := range p {
		if best < 0 || p[i] > p[best] {
			best = i
		}
		if j.heads.Kind.Classes[i] != string(feedback.Other) && (second < 0 || p[i] > p[second]) {
			second = i
		}
	}
	return feedback.Kind(j.heads.Kind.Classes[best]), feedback.Kind(j.heads.Kind.Classes[second]), p[best]
}
