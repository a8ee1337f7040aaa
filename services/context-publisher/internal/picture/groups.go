package picture

import "math"

// Groups says which of two groups each vector is in, and how far apart the groups are: the
// mean silhouette by cosine, in [-1, 1], above 0 where vectors are closer to their own group
// than to the other. It is two-means on directions, begun with the two that are farthest from
// each other among the first few, and the same for the same input. Fewer than four vectors,
// or a group of fewer than two, are no groups: the silhouette is then -1.
func Groups(vectors [][]float32) (second []bool, silhouette float64) {
	second = make([]bool, len(vectors))
	if len(vectors) < 4 {
		return second, -1
	}
	rows := make([][]float64, len(vectors))
	for i, v := range vectors {
		rows[i] = make([]float64, len(v))
		length := 0.0
		for _, x := range v {
			length += float64(x) * float64(x)
		}
		if length = math.Sqrt(length); length == 0 {
			return second, -1
		}
		for j, x := range v {
			rows[i][j] = float64(x) / length
		}
	}
	a, b := farthest(rows[:min(len(rows), seeds)])
	one, other := rows[a], rows[b]
	for range rounds {
		changed := false
		for i, r := range rows {
			is := dot(r, other) > dot(r, one)
			changed = changed || is != second[i]
			second[i] = is
		}
		one, other = middle(rows, second, false), middle(rows, second, true)
		if one == nil || other == nil {
			return second, -1
		}
		if !changed {
			break
		}
	}
	return second, silhouetteOf(rows, second)
}

// seeds is among how many vectors the two to begin with are looked for, rounds how often the
// groups are drawn anew at most, and judged how many vectors the silhouette is taken of: it
// compares each with all.
const (
	seeds  = 60
	rounds = 20
	judged = 150
)

func farthest(rows [][]float64) (a, b int) {
	least := math.Inf(1)
	for i := range rows {
		for j := range i {
			if d := dot(rows[i], rows[j]); d < least {
				least, a, b = d, j, i
			}
		}
	}
	return a, b
}

// middle is the direction of a group, nil for one without.
func middle(rows [][]float64, second []bool, of bool) []float64 {
	sum := make([]float64, len(rows[0]))
	for i, r := range rows {
		if second[i] != of {
			continue
		}
		for j, x := range r {
			sum[j] += x
		}
	}
	length := math.Sqrt(dot(sum, sum))
	if length < 1e-12 {
		return nil
	}
	for j := range sum {
		sum[j] /= length
	}
	return sum
}

func silhouetteOf(rows [][]float64, second []bool) float64 {
	n := min(len(rows), judged)
	total, counted := 0.0, 0
	for i := range n {
		var far [2]float64
		var many [2]int
		for j := range n {
			if i == j {
				continue
			}
			g := 0
			if second[j] != second[i] {
				g = 1
			}
			far[g] += 1 - dot(rows[i], rows[j])
			many[g]++
		}
		if many[0] == 0 || many[1] == 0 {
			return -1
		}
		own, other := far[0]/float64(many[0]), far[1]/float64(many[1])
		if most := max(own, other); most > 0 {
			total += (other - own) / most
		}
		counted++
	}
	return total / float64(counted)
}
