// Package linear is multinomial logistic regression over sparse, hashed features and an
// optional dense part, fitted with AdaGrad, kept with a byte per weight.
//
// It promises that the same samples, in the same order, give the same head, and that a head
// read back gives the probabilities it gave when it was rounded. It refuses what is not a
// head's file, or is cut off, with an error; it never allocates more than the bounds below.
package linear

import (
	"errors"
	"math"
	"math/rand/v2"
)

// Feature is one component of a sparse vector: its place, below 1<<Bits of the head, and
// its value.
type Feature struct {
	Index uint32
	Value float32
}

// Head tells classes apart. Sparse holds a row of len(Classes) weights per place, Dense one
// per value of the dense part. Temperature divides the scores before they become
// probabilities; it is what calibrates them.
type Head struct {
	Classes     []string
	Bits        int
	Sparse      []float32
	Dense       []float32
	Bias        []float32
	Temperature float32
}

// Sample is one text to learn from. Weight scales what it counts for; zero means 1.
type Sample struct {
	Sparse []Feature
	Dense  []float32
	Class  int
	Weight float32
}

// Options say how to fit. Zero values mean the defaults in brackets.
type Options struct {
	Bits   int     // places of the sparse part, as a power of two [16]
	Epochs int     // passes over the samples [12]
	Rate   float64 // AdaGrad's step [0.25]
	Shrink float64 // L2 penalty per step [1e-5]
	Drop   float64 // share of the dense part hidden in each step, so that words are learnt too
	Seed   uint64  // of the order of samples
	Rounds int     // heads fitted in different orders and averaged [1]
}

// Fit learns a head from samples of len(classes) classes. All samples have a dense part of
// the same length, or none. Averaging the weights of several rounds averages their scores.
func Fit(classes []string, samples []Sample, o Options) (*Head, error) {
	sum, err := fitOnce(classes, samples, o)
	if err != nil || o.Rounds < 2 {
		return sum, err
	}
	for range o.Rounds - 1 {
		o.Seed++
		h, err := fitOnce(classes, samples, o)
		if err != nil {
			return nil, err
		}
		for _, part := range [][2][]float32{{sum.Sparse, h.Sparse}, {sum.Dense, h.Dense}, {sum.Bias, h.Bias}} {
			for i, v := range part[1] {
				part[0][i] += v
			}
		}
	}
	for _, part := range [][]float32{sum.Sparse, sum.Dense, sum.Bias} {
		for i := range part {
			part[i] /= float32(o.Rounds)
		}
	}
	return sum, nil
}

// fitOnce learns by AdaGrad: Duchi, Hazan and Singer, JMLR 12 (2011).
func fitOnce(classes []string, samples []Sample, o Options) (*Head, error) {
	if len(samples) == 0 || len(classes) < 2 {
		return nil, errors.New("fit head: needs two classes and a sample")
	}
	if o.Bits == 0 {
		o.Bits = 16
	}
	if o.Epochs == 0 {
		o.Epochs = 12
	}
	if o.Rate == 0 {
		o.Rate = 0.25
	}
	if o.Shrink == 0 {
		o.Shrink = 1e-5
	}
	k, width := len(classes), len(samples[0].Dense)
	for _, s := range samples {
		if len(s.Dense) != width || s.Class < 0 || s.Class >= k {
			return nil, errors.New("fit head: a sample does not fit the others")
		}
	}
	h := &Head{Classes: classes, Bits: o.Bits, Sparse: make([]float32, k<<o.Bits), Dense: make([]float32, k*width), Bias: make([]float32, k), Temperature: 1}
	seen := struct{ sparse, dense, bias []float32 }{make([]float32, len(h.Sparse)), make([]float32, len(h.Dense)), make([]float32, k)}
	random := rand.New(rand.NewPCG(o.Seed, 1))
	order := random.Perm(len(samples))
	rate, shrink := float32(o.Rate), float32(o.Shrink)
	step := func(w, g2 *float32, g float32) {
		g += shrink * *w
		*g2 += g * g
		*w -= rate * g / (float32(math.Sqrt(float64(*g2))) + 1e-6)
	}
	gradient := make([]float32, k)
	for range o.Epochs {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			s := samples[i]
			dense := s.Dense
			if o.Drop > 0 && random.Float64() < o.Drop {
				dense = nil
			}
			p := h.Probabilities(s.Sparse, dense)
			weight := s.Weight
			if weight == 0 {
				weight = 1
			}
			for c := range gradient {
				gradient[c] = weight * float32(p[c])
			}
			gradient[s.Class] -= weight
			for c, g := range gradient {
				step(&h.Bias[c], &seen.bias[c], g)
			}
			for _, f := range s.Sparse {
				at := h.row(f.Index)
				for c, g := range gradient {
					step(&h.Sparse[at+c], &seen.sparse[at+c], g*f.Value)
				}
			}
			for d, v := range dense {
				for c, g := range gradient {
					step(&h.Dense[d*k+c], &seen.dense[d*k+c], g*v)
				}
			}
		}
	}
	return h, nil
}

func (h *Head) row(index uint32) int {
	return int(index&(1<<h.Bits-1)) * len(h.Classes)
}

// Scores returns a score per class. dense may be nil: its part then says nothing.
func (h *Head) Scores(sparse []Feature, dense []float32) []float64 {
	k := len(h.Classes)
	out := make([]float64, k)
	for c, b := range h.Bias {
		out[c] = float64(b)
	}
	for _, f := range sparse {
		at := h.row(f.Index)
		for c := range out {
			out[c] += float64(h.Sparse[at+c] * f.Value)
		}
	}
	for d := 0; d < len(dense) && d*k < len(h.Dense); d++ {
		for c := range out {
			out[c] += float64(h.Dense[d*k+c] * dense[d])
		}
	}
	return out
}

// Probabilities returns the calibrated probability of each class.
func (h *Head) Probabilities(sparse []Feature, dense []float32) []float64 {
	return Softmax(h.Scores(sparse, dense), float64(h.Temperature))
}

// Softmax turns scores into probabilities at a temperature.
func Softmax(scores []float64, temperature float64) []float64 {
	top := math.Inf(-1)
	for _, s := range scores {
		top = math.Max(top, s)
	}
	out, sum := make([]float64, len(scores)), 0.0
	for i, s := range scores {
		out[i] = math.Exp((s - top) / temperature)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// Calibrate returns the temperature at which the probabilities of scores fit their classes
// best (Guo et al., ICML 2017), looked for between 0.3 and 5.
func Calibrate(scores [][]float64, classes []int) float64 {
	best, at := math.Inf(1), 1.0
	for t := 0.3; t <= 5; t *= 1.05 {
		loss := 0.0
		for i, s := range scores {
			loss -= math.Log(math.Max(Softmax(s, t)[classes[i]], 1e-9))
		}
		if loss < best {
			best, at = loss, t
		}
	}
	return at
}
