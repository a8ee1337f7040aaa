package measure

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Pair compares two configurations that answered the same items.
type Pair struct {
	words []string
	items [][3]uint8 // label, first answer, second answer
}

// maxWords bounds the different labels and answers of a Pair.
const maxWords = 256

// Add notes the answers to one item. It reports false where there are more than 256
// different labels and answers.
func (p *Pair) Add(label, first, second string) bool {
	var item [3]uint8
	for i, w := range []string{label, first, second} {
		at := slices.Index(p.words, w)
		if at < 0 {
			if at = len(p.words); at == maxWords {
				return false
			}
			p.words = append(p.words, w)
		}
		item[i] = uint8(at)
	}
	p.items = append(p.items, item)
	return true
}

// Comparison says whether the first configuration is better than the second. P is that of
// the exact McNemar test (two-sided) on the items that one alone got right; Gain is the
// first's macro F1 less the second's, and Low to High the middle 95 % of it over 1,000
// resamplings of the items (paired bootstrap, Efron).
type Comparison struct {
	Items       int     `json:"items"`
	FirstAlone  int     `json:"first_alone_right"`
	SecondAlone int     `json:"second_alone_right"`
	P           float64 `json:"p"`
	Gain        float64 `json:"macro_f1_gain"`
	Low         float64 `json:"gain_low"`
	High        float64 `json:"gain_high"`
}

const resamplings = 1000

// Compare tests what was added. Its chance is seeded: the same answers give the same bounds.
func (p *Pair) Compare() Comparison {
	out := Comparison{Items: len(p.items), P: 1}
	all := make([]int, len(p.items))
	for i, item := range p.items {
		all[i] = i
		switch {
		case item[1] == item[0] && item[2] != item[0]:
			out.FirstAlone++
		case item[2] == item[0] && item[1] != item[0]:
			out.SecondAlone++
		}
	}
	if len(p.items) == 0 {
		return out
	}
	out.P = McNemar(out.FirstAlone, out.SecondAlone)
	out.Gain = p.gain(all)
	random := rand.New(rand.NewPCG(1, uint64(len(p.items))))
	gains, sample := make([]float64, resamplings), make([]int, len(p.items))
	for i := range gains {
		for j := range sample {
			sample[j] = random.IntN(len(p.items))
		}
		gains[i] = p.gain(sample)
	}
	slices.Sort(gains)
	out.Low, out.High = gains[resamplings/40], gains[resamplings-1-resamplings/40]
	return out
}

func (p *Pair) gain(items []int) float64 {
	var label [maxWords]int
	var answered, right [2][maxWords]int
	for _, i := range items {
		item := p.items[i]
		label[item[0]]++
		for c := range 2 {
			answered[c][item[1+c]]++
			if item[1+c] == item[0] {
				right[c][item[0]]++
			}
		}
	}
	sum, classes := 0.0, 0
	for w := range p.words {
		if label[w] == 0 {
			continue
		}
		classes++
		f1 := func(c int) float64 { return 2 * float64(right[c][w]) / float64(label[w]+answered[c][w]) }
		sum += f1(0) - f1(1)
	}
	return sum / float64(classes)
}

// McNemar returns the exact two-sided probability of a split at least as uneven as a to b
// if either were as likely (McNemar, Psychometrika 12, 1947).
func McNemar(a, b int) float64 {
	n := a + b
	if n == 0 {
		return 1
	}
	sum := 0.0
	for k := 0; k <= min(a, b); k++ {
		all, _ := math.Lgamma(float64(n + 1))
		these, _ := math.Lgamma(float64(k + 1))
		those, _ := math.Lgamma(float64(n - k + 1))
		sum += math.Exp(all - these - those - float64(n)*math.Ln2)
	}
	return math.Min(1, 2*sum)
}
