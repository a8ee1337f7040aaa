package fit

import (
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
	"github.com/throughline-dev/throughline/services/classifier/internal/linear"
)

// Example is a text of a set's own with its label. Vector is its embedding in the space of
// the shipped heads.
type Example struct {
	Text, Body string
	Vector     []float32
	Label      string
}

// Own tells a set's own labels apart, whatever they are.
type Own struct {
	head    *linear.Head
	lexicon *judge.Lexicon
}

// A head for one set can trust its bodies, which are of one making, and the meaning of its
// texts, more than one for all channels can. Chosen on the development
// parts of NLBSE'24 and the UCI sentences.
const (
	ownBody    = 0.8
	ownMeaning = 2
)

var ownOptions = linear.Options{Bits: 18, Epochs: 10, Rate: 0.02, Shrink: 1e-3, Drop: 0.05, Seed: 7, Rounds: 3}

const folds = 5

// NewOwn fits a head on examples and calibrates it on held-out fifths of them.
func NewOwn(lexicon *judge.Lexicon, examples []Example) (*Own, error) {
	o := &Own{lexicon: lexicon}
	var classes []string
	for _, x := range examples {
		if !slices.Contains(classes, x.Label) {
			classes = append(classes, x.Label)
		}
	}
	slices.Sort(classes)
	samples := make([]linear.Sample, len(examples))
	for i, x := range examples {
		sparse, dense := o.features(x.Text, x.Body, x.Vector)
		samples[i] = linear.Sample{Sparse: sparse, Dense: dense, Class: slices.Index(classes, x.Label)}
	}
	fold := make([]string, len(samples))
	for i, at := range rand.New(rand.NewPCG(1, 2)).Perm(len(samples)) {
		fold[i] = strconv.Itoa(at % folds)
	}
	var err error
	o.head, _, err = fitOne(classes, samples, fold, make([]float32, len(classes)), ownOptions)
	return o, err
}

// Labels lists the labels in the order of Probabilities, which is that of their names.
func (o *Own) Labels() []string { return o.head.Classes }

// Probabilities returns the calibrated probability of each label.
func (o *Own) Probabilities(text, body string, vector []float32) []float64 {
	return o.head.Probabilities(o.features(text, body, vector))
}

func (o *Own) features(text, body string, vector []float32) ([]linear.Feature, []float32) {
	meaning := judge.Meaning(vector)
	for i := range meaning {
		meaning[i] *= ownMeaning
	}
	return o.lexicon.Features(judge.Part{Text: text, Weight: 1}, judge.Part{Text: body, Weight: ownBody}), meaning
}
