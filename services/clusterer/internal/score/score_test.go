package score

import (
	"math"
	"strings"
	"testing"
)

// Worked by hand for labels aaabbb and clusters 112233 (six items):
// contingency a1=2 a2=1 b2=1 b3=2.
//
//	pairs: both 2, together 6, clustered 3, expected 6·3/15 = 1.2
//	ARI = (2 − 1.2)/(4.5 − 1.2) = 0.8/3.3
//	MI  = 4/6·ln 2 ; H(labels) = ln 2 ; H(clusters) = ln 3
//	B³ precision = (2+2)/6 · 1 + 2/6 · ½ = 5/6 ; recall = 2·(2·⅔ + ⅓)/6 = 5/9
func TestScoresMatchHandComputation(t *testing.T) {
	t.Parallel()
	s, err := Compare(strings.Split("aaabbb", ""), strings.Split("112233", ""))
	if err != nil {
		t.Fatal(err)
	}
	mutual := 2.0 / 3 * math.Ln2
	want := Scores{
		Items: 6, Labels: 2, Clusters: 3,
		NMI:         2 * mutual / (math.Ln2 + math.Log(3)),
		ARI:         0.8 / 3.3,
		B3Precision: 5.0 / 6, B3Recall: 5.0 / 9, B3: 2 * (5.0 / 6) * (5.0 / 9) / (5.0/6 + 5.0/9),
		Homogeneity: 2.0 / 3, Completeness: mutual / math.Log(3),
		V:      2 * mutual / (math.Ln2 + math.Log(3)), // equals NMI, by definition
		Purity: 5.0 / 6,
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"nmi", s.NMI, want.NMI}, {"ari", s.ARI, want.ARI},
		{"b3 precision", s.B3Precision, want.B3Precision}, {"b3 recall", s.B3Recall, want.B3Recall}, {"b3", s.B3, want.B3},
		{"homogeneity", s.Homogeneity, want.Homogeneity}, {"completeness", s.Completeness, want.Completeness},
		{"v", s.V, want.V}, {"purity", s.Purity, want.Purity}, {"alone", s.Alone, 0},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	if s.Items != 6 || s.Labels != 2 || s.Clusters != 3 {
		t.Errorf("counts = %d %d %d", s.Items, s.Labels, s.Clusters)
	}
}

func TestScoresAtTheEdges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, labels, clusters string
		nmi, ari, b3, alone    float64
	}{
		{"the same under other names", "aabbc", "zzyyx", 1, 1, 1, 0.2},
		{"everything together", "aabb", "1111", 0, 0, 2.0 / 3, 0},
		{"everything alone", "aabb", "1234", 2.0 / 3, 0, 2.0 / 3, 1},
		{"one item", "a", "1", 1, 1, 1, 1},
		{"one label kept together", "aaa", "111", 1, 1, 1, 0},
		{"worse than chance", "abab", "1122", 0, -0.5, 0.5, 0},
	} {
		s, err := Compare(strings.Split(c.labels, ""), strings.Split(c.clusters, ""))
		if err != nil {
			t.Fatal(err)
		}
		for name, pair := range map[string][2]float64{"nmi": {s.NMI, c.nmi}, "ari": {s.ARI, c.ari}, "b3": {s.B3, c.b3}, "alone": {s.Alone, c.alone}} {
			if math.Abs(pair[0]-pair[1]) > 1e-12 {
				t.Errorf("%s: %s = %v, want %v", c.name, name, pair[0], pair[1])
			}
		}
	}
	if _, err := Compare([]string{"a"}, nil); err == nil {
		t.Error("lengths that differ were accepted")
	}
	if _, err := Compare(nil, nil); err == nil {
		t.Error("nothing was scored")
	}
}
