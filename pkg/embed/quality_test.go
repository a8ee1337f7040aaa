package embed

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/throughline-dev/throughline/pkg/embed/bge"
	"github.com/throughline-dev/throughline/pkg/embed/internal/lexical"
)

// BenchmarkQuality measures how well vectors separate what people labelled, for
// each part of the hybrid and for the whole. It reports knn10, the share of
// texts whose ten nearest neighbours elect the right label (each text left
// out), and nmi, the normalised mutual information of k-means that is given
// the true number of clusters (mean of three seeds). The sets are read from the
// folder in THROUGHLINE_DATA. This is what decision 0003 chose by:
//
//	THROUGHLINE_DATA=… go test ./embed -run '^$' -bench Quality -benchtime 1x
//
// clinc150's test split is for reporting the whole product, so it is not read here.
func BenchmarkQuality(b *testing.B) {
	data := os.Getenv("THROUGHLINE_DATA")
	if data == "" {
		b.Fatal("set THROUGHLINE_DATA to the folder of the labelled sets")
	}
	encoder, err := bge.Open(models(), bge.Options{})
	if err != nil {
		b.Fatal(err)
	}
	h := newHybrid(encoder)
	for _, set := range []string{"clinc150/val", "dstc11-insurance/all"} {
		texts, labels := labelled(b, filepath.Join(data, set+".jsonl"))
		encodings, err := encoder.Encode(context.Background(), texts)
		if err != nil {
			b.Fatal(err)
		}
		mean := func(dst []float32, i int) { copy(dst, encodings[i].Mean) }
		meaning := func(dst []float32, i int) { h.meaning(dst[:meaningWidth], encodings[i]) }
		words := func(dst []float32, i int) { h.words.write(dst, texts[i]) }
		joined := func(weight float32) func(dst []float32, i int) {
			return func(dst []float32, i int) {
				meaning(dst, i)
				words(dst[meaningWidth:], i)
				scale(dst[meaningWidth:], weight)
			}
		}
		for _, variant := range []struct {
			name  string
			width int
			write func(dst []float32, i int)
		}{
			{"words-384", 384, words},
			{"words-768", 768, words},
			{"mean", bge.Width, mean},
			{"centred", meaningWidth, meaning},
			{"hybrid-384+384*0.2", 768, joined(.2)},
			{"hybrid-384+384*0.35", 768, joined(.35)},
			{"hybrid-384+384*0.5", 768, joined(.5)},
			{"hybrid-384+384*0.7", 768, joined(.7)},
			{"hybrid-384+384*0.9", 768, joined(.9)},
		} {
			b.Run(fmt.Sprintf("%s/%s", set, variant.name), func(b *testing.B) {
				for b.Loop() {
					vectors := make([][]float32, len(texts))
					for i := range texts {
						vectors[i] = make([]float32, variant.width)
						variant.write(vectors[i], i)
						lexical.Unit(vectors[i])
					}
					b.ReportMetric(neighbours(vectors, labels), "knn10")
					nmi, k := 0.0, highest(labels)+1
					for seed := range uint64(3) {
						nmi += mutualInformation(labels, kMeans(vectors, k, seed)) / 3
					}
					b.ReportMetric(nmi, "nmi")
				}
			})
		}
	}
}

// labelled reads the normalised texts of a set, and their labels as numbers from zero.
func labelled(b *testing.B, path string) (texts []string, labels []int) {
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	numbers := map[string]int{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var item struct{ Text, Label string }
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			b.Fatal(err)
		}
		if _, ok := numbers[item.Label]; !ok {
			numbers[item.Label] = len(numbers)
		}
		texts, labels = append(texts, Normalise(item.Text)), append(labels, numbers[item.Label])
	}
	return texts, labels
}

func highest(labels []int) int {
	out := 0
	for _, l := range labels {
		out = max(out, l)
	}
	return out
}

// neighbours is the accuracy of the similarity-weighted vote of ten neighbours.
func neighbours(vectors [][]float32, labels []int) float64 {
	const k = 10
	right := 0
	for i, v := range vectors {
		var near [k]struct {
			cosine float32
			label  int
		}
		for j, w := range vectors {
			if i == j {
				continue
			}
			cosine := Dot(v, w)
			at := k
			for at > 0 && cosine > near[at-1].cosine {
				at--
			}
			if at < k {
				copy(near[at+1:], near[at:k-1])
				near[at].cosine, near[at].label = cosine, labels[j]
			}
		}
		votes := map[int]float32{}
		for _, n := range near {
			votes[n.label] += n.cosine
		}
		best := near[0].label
		for _, n := range near {
			if votes[n.label] > votes[best] {
				best = n.label
			}
		}
		if best == labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(vectors))
}

// kMeans is spherical k-means, seeded as k-means++.
func kMeans(vectors [][]float32, k int, seed uint64) []int {
	random := rand.New(rand.NewPCG(seed, 7))
	width := len(vectors[0])
	centres := [][]float32{vectors[random.IntN(len(vectors))]}
	far := make([]float64, len(vectors))
	for i := range far {
		far[i] = math.Inf(1)
	}
	for len(centres) < k {
		total := 0.0
		for i, v := range vectors {
			far[i] = min(far[i], max(0, 2-2*float64(Dot(v, centres[len(centres)-1]))))
			total += far[i]
		}
		chosen, left := len(vectors)-1, random.Float64()*total
		for i, f := range far {
			if left -= f; left < 0 {
				chosen = i
				break
			}
		}
		centres = append(centres, vectors[chosen])
	}
	out := make([]int, len(vectors))
	for round := range 30 {
		moved := 0
		for i, v := range vectors {
			best, cosine := 0, float32(-2)
			for c, centre := range centres {
				if d := Dot(v, centre); d > cosine {
					best, cosine = c, d
				}
			}
			if best != out[i] || round == 0 {
				out[i] = best
				moved++
			}
		}
		if moved == 0 {
			break
		}
		for c := range centres {
			sum := make([]float32, width)
			for i, v := range vectors {
				if out[i] == c {
					for j, x := range v {
						sum[j] += x
					}
				}
			}
			if lexical.Unit(sum) {
				centres[c] = sum
			}
		}
	}
	return out
}

// mutualInformation is normalised by the arithmetic mean of the entropies.
func mutualInformation(a, b []int) float64 {
	n := float64(len(a))
	joint, left, right := map[[2]int]float64{}, map[int]float64{}, map[int]float64{}
	for i := range a {
		joint[[2]int{a[i], b[i]}]++
		left[a[i]]++
		right[b[i]]++
	}
	entropy := func(counts map[int]float64) (h float64) {
		for _, c := range counts {
			h -= c / n * math.Log(c/n)
		}
		return h
	}
	shared := 0.0
	for pair, c := range joint {
		shared += c / n * math.Log(c*n/(left[pair[0]]*right[pair[1]]))
	}
	return 2 * shared / (entropy(left) + entropy(right))
}
