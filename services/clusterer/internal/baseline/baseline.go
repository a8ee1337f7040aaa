// Package baseline clusters vectors the usual ways, to stand beside the
// clusterer in its evaluation: k-means that is told the true number, HDBSCAN,
// and the single-pass leader.
//
// It promises one number per vector, equal for vectors of one cluster, and the
// same answer for the same input: seeds are fixed. It expects unit vectors of
// one length and compares them by cosine. It refuses nothing; no vectors give
// no numbers.
package baseline

import (
	"math"
	"math/rand/v2"

	"github.com/throughline-dev/throughline/pkg/embed"
)

// KMeans is spherical k-means with k-means++ seeds (Arthur and Vassilvitskii
// 2007): of three starts, the division whose members are nearest to their
// centroids.
func KMeans(vectors [][]float32, k int) []int {
	const starts = 3
	var best []int
	most := math.Inf(-1)
	for start := range uint64(starts) {
		found, nearness := kmeans(vectors, min(k, len(vectors)), rand.New(rand.NewPCG(7, start)))
		if nearness > most {
			best, most = found, nearness
		}
	}
	return best
}

func kmeans(vectors [][]float32, k int, random *rand.Rand) ([]int, float64) {
	const rounds = 30
	if k <= 0 {
		return nil, 0
	}
	centroids := seeds(vectors, k, random)
	found := make([]int, len(vectors))
	nearness := 0.0
	for round := range rounds {
		moved := 0
		nearness = 0
		for i, v := range vectors {
			c, similarity := nearest(centroids, v)
			nearness += float64(similarity)
			if round == 0 || found[i] != c {
				found[i] = c
				moved++
			}
		}
		if moved == 0 {
			break
		}
		sums := make([][]float32, k)
		for i, v := range vectors {
			sums[found[i]] = added(sums[found[i]], v)
		}
		for c, sum := range sums {
			if sum != nil { // an empty cluster keeps its centroid
				unit(sum)
				centroids[c] = sum
			}
		}
	}
	return found, nearness
}

// seeds are k vectors, each drawn with probability in proportion to its squared
// distance from those drawn before.
func seeds(vectors [][]float32, k int, random *rand.Rand) [][]float32 {
	centroids := [][]float32{vectors[random.IntN(len(vectors))]}
	distance := make([]float64, len(vectors))
	for i := range distance {
		distance[i] = math.Inf(1)
	}
	for len(centroids) < k {
		sum := 0.0
		for i, v := range vectors {
			distance[i] = min(distance[i], max(0, 2-2*float64(embed.Dot(v, centroids[len(centroids)-1]))))
			sum += distance[i]
		}
		draw, next := random.Float64()*sum, len(vectors)-1
		for i, d := range distance {
			if draw -= d; draw < 0 {
				next = i
				break
			}
		}
		centroids = append(centroids, vectors[next])
	}
	return centroids
}

// Leader puts each vector, in order, into the cluster whose centroid is
// nearest, or into one of its own where none is as near as threshold (a
// cosine).
func Leader(vectors [][]float32, threshold float64) []int {
	found := make([]int, len(vectors))
	var sums, centroids [][]float32
	for i, v := range vectors {
		c, similarity := nearest(centroids, v)
		if c < 0 || float64(similarity) < threshold {
			c = len(sums)
			sums, centroids = append(sums, nil), append(centroids, nil)
		}
		found[i] = c
		sums[c] = added(sums[c], v)
		centroids[c] = append(centroids[c][:0], sums[c]...)
		unit(centroids[c])
	}
	return found
}

func nearest(centroids [][]float32, v []float32) (int, float32) {
	best, most := -1, float32(math.Inf(-1))
	for c, centroid := range centroids {
		if similarity := embed.Dot(v, centroid); similarity > most {
			best, most = c, similarity
		}
	}
	return best, most
}

func added(sum, v []float32) []float32 {
	if sum == nil {
		return append(sum, v...)
	}
	for i, x := range v {
		sum[i] += x
	}
	return sum
}

func unit(v []float32) {
	length := float32(math.Sqrt(float64(embed.Dot(v, v))))
	if length == 0 {
		return
	}
	for i := range v {
		v[i] /= length
	}
}
