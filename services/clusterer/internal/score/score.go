// Package score measures how well a clustering agrees with known labels.
//
// Every measure is computed from the contingency table of labels and clusters
// in a fixed order, so that the same input gives the same figures to the bit.
// It refuses inputs of different lengths.
package score

import (
	"fmt"
	"math"
)

// Scores compare a clustering with labels. All shares and indices are in
// [0, 1] except ARI, which is 0 for chance and can be below it.
type Scores struct {
	Items int `json:"items"`
	// Labels and Clusters are how many there are.
	Labels   int `json:"labels"`
	Clusters int `json:"clusters"`
	// NMI is mutual information over the arithmetic mean of the entropies
	// (Strehl and Ghosh 2002; the variant of scikit-learn's default).
	NMI float64 `json:"nmi"`
	// ARI is the adjusted Rand index (Hubert and Arabie 1985).
	ARI float64 `json:"ari"`
	// B3Precision, B3Recall and B3 are B-cubed and its F1 (Bagga and Baldwin
	// 1998).
	B3Precision float64 `json:"b3_precision"`
	B3Recall    float64 `json:"b3_recall"`
	B3          float64 `json:"b3"`
	// Homogeneity, Completeness and V are Rosenberg and Hirschberg (2007).
	Homogeneity  float64 `json:"homogeneity"`
	Completeness float64 `json:"completeness"`
	V            float64 `json:"v_measure"`
	// Purity is the share of items in a cluster whose commonest label is
	// theirs.
	Purity float64 `json:"purity"`
	// Alone is the share of items in clusters of one: the unassigned.
	Alone float64 `json:"unassigned"`
}

// Compare scores clusters against labels, item by item. Fails where the
// lengths differ or there is nothing to compare.
func Compare(labels, clusters []string) (Scores, error) {
	if len(labels) != len(clusters) {
		return Scores{}, fmt.Errorf("compare clusters: %d labels for %d items", len(labels), len(clusters))
	}
	if len(labels) == 0 {
		return Scores{}, fmt.Errorf("compare clusters: no items")
	}
	y, label := number(labels)
	p, cluster := number(clusters)
	at := map[[2]int]int{}
	var cells []cell
	for i := range y {
		key := [2]int{y[i], p[i]}
		c, known := at[key]
		if !known {
			c = len(cells)
			at[key] = c
			cells = append(cells, cell{label: y[i], cluster: p[i]})
		}
		cells[c].count++
	}
	n := float64(len(y))
	s := Scores{Items: len(y), Labels: len(label), Clusters: len(cluster)}
	s.information(cells, label, cluster, n)
	s.pairs(cells, label, cluster, n)
	commonest := make([]float64, len(cluster))
	for _, c := range cells {
		s.B3Precision += c.count * c.count / cluster[c.cluster] / n
		s.B3Recall += c.count * c.count / label[c.label] / n
		commonest[c.cluster] = max(commonest[c.cluster], c.count)
	}
	s.B3 = harmonic(s.B3Precision, s.B3Recall)
	for i, size := range cluster {
		s.Purity += commonest[i] / n
		if size == 1 {
			s.Alone += 1 / n
		}
	}
	return s, nil
}

// cell is how many items have a label and are in a cluster.
type cell struct {
	label, cluster int
	count          float64
}

// number replaces names by numbers in order of first appearance and counts
// them.
func number(names []string) (numbered []int, counts []float64) {
	known := map[string]int{}
	for _, name := range names {
		i, seen := known[name]
		if !seen {
			i = len(counts)
			known[name] = i
			counts = append(counts, 0)
		}
		counts[i]++
		numbered = append(numbered, i)
	}
	return numbered, counts
}

func (s *Scores) information(cells []cell, label, cluster []float64, n float64) {
	ofLabels, ofClusters := entropy(label, n), entropy(cluster, n)
	mutual := 0.0
	for _, c := range cells {
		mutual += c.count / n * math.Log(c.count*n/(label[c.label]*cluster[c.cluster]))
	}
	mutual = max(mutual, 0)
	s.NMI, s.Homogeneity, s.Completeness = 1, 1, 1 // nothing to tell apart
	if ofLabels+ofClusters > 0 {
		s.NMI = 2 * mutual / (ofLabels + ofClusters)
	}
	if ofLabels > 0 {
		s.Homogeneity = mutual / ofLabels
	}
	if ofClusters > 0 {
		s.Completeness = mutual / ofClusters
	}
	s.V = harmonic(s.Homogeneity, s.Completeness)
}

func entropy(counts []float64, n float64) float64 {
	h := 0.0
	for _, c := range counts {
		h -= c / n * math.Log(c/n)
	}
	return h
}

func (s *Scores) pairs(cells []cell, label, cluster []float64, n float64) {
	pairs := func(x float64) float64 { return x * (x - 1) / 2 }
	var both, together, clustered float64
	for _, c := range cells {
		both += pairs(c.count)
	}
	for _, c := range label {
		together += pairs(c)
	}
	for _, c := range cluster {
		clustered += pairs(c)
	}
	s.ARI = 1 // both put everything together, or both keep everything apart
	if n < 2 {
		return
	}
	expected := together * clustered / pairs(n)
	if most := (together + clustered) / 2; most != expected {
		s.ARI = (both - expected) / (most - expected)
	}
}

func harmonic(a, b float64) float64 {
	if a+b == 0 {
		return 0
	}
	return 2 * a * b / (a + b)
}
