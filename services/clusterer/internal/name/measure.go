package name

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Text is a labelled text of a set that names are measured on.
type Text struct{ Label, Text string }

// Named is a label with the name that was made for it.
type Named struct {
	Label string `json:"label"`
	Name  string `json:"name"`
	Texts int    `json:"texts"`
	// SharesWord says whether the name has a word of the label, by its stem: people
	// called it so, too.
	SharesWord bool `json:"shares_word"`
}

// Measured is how good names are on a labelled set.
type Measured struct {
	Labels int `json:"labels"`
	// ToldApart is the share of names that fit their own label's other half of the texts
	// better than any other label's: by the share of texts that have each word of the
	// name, against the share of all texts that have it.
	ToldApart float64 `json:"told_apart"`
	// SharesWord is the share of names that have a word of the label.
	SharesWord float64 `json:"shares_word"`
	// Alike is how many names have the telling words of another.
	Alike int `json:"alike"`
	// Bare is how many are a bare quote or a number, because nothing told them apart.
	Bare int `json:"bare"`
	// Words is the mean number of words of a name.
	Words float64 `json:"words"`
}

// Measure names each label from every other of its texts and holds the names against the
// rest. Labels of one word run together (getQuote) are read as words.
func Measure(texts []Text) ([]Named, Measured) {
	all, halves := &Counts{}, map[string][2]*Counts{}
	clusters := map[string]*Cluster{}
	seen := map[string]int{}
	for _, t := range texts {
		if clusters[t.Label] == nil {
			clusters[t.Label] = &Cluster{ID: t.Label, Counts: &Counts{}, Quote: t.Text}
			halves[t.Label] = [2]*Counts{clusters[t.Label].Counts, {}}
		}
		half := seen[t.Label] % 2
		seen[t.Label]++
		halves[t.Label][half].Add(t.Text)
		if half == 0 {
			all.Add(t.Text)
			clusters[t.Label].Quotes = append(clusters[t.Label].Quotes, Quote{fmt.Sprint(seen[t.Label]), t.Text})
		}
	}
	var list []Cluster
	for _, c := range clusters {
		list = append(list, *c)
	}
	given := ChooseAll(list, all, nil)
	var m Measured
	var named []Named
	keys := map[string]bool{}
	for label, n := range given {
		one := Named{Label: label, Name: n.Text, Texts: seen[label], SharesWord: sharesWord(label, n.Text)}
		named = append(named, one)
		m.Labels++
		m.Words += float64(len(strings.Fields(n.Text)))
		if one.SharesWord {
			m.SharesWord++
		}
		if keys[Key(n.Text)] {
			m.Alike++
		}
		keys[Key(n.Text)] = true
		if len(n.Terms) == 0 {
			m.Bare++
		}
		if fits(n.Terms, all, halves) == label {
			m.ToldApart++
		}
	}
	slices.SortFunc(named, func(a, b Named) int { return cmp.Compare(a.Label, b.Label) })
	if m.Labels > 0 {
		m.ToldApart, m.SharesWord, m.Words = m.ToldApart/float64(m.Labels), m.SharesWord/float64(m.Labels), m.Words/float64(m.Labels)
	}
	return named, m
}

// fits is the label whose held-back texts a name fits best.
func fits(terms []string, all *Counts, halves map[string][2]*Counts) string {
	best, most := "", 0.0
	for label, h := range halves {
		score := 0.0
		for _, t := range terms {
			if in := h[1].terms[t]; in != nil && h[1].texts > 0 && all.terms[t] != nil {
				score += float64(in.texts) / float64(h[1].texts) / (float64(all.terms[t].texts) + 1)
			}
		}
		if score > most || score == most && score > 0 && label < best {
			best, most = label, score
		}
	}
	return best
}

func sharesWord(label, text string) bool {
	var spaced strings.Builder
	before := ' '
	for _, r := range label {
		if before >= 'a' && before <= 'z' && r >= 'A' && r <= 'Z' {
			spaced.WriteByte(' ')
		}
		if r == '_' || r == '-' {
			r = ' '
		}
		spaced.WriteRune(r)
		before = r
	}
	own := stems(strings.ToLower(spaced.String()))
	return slices.ContainsFunc(words(text), func(w token) bool { return own[stem(w.folded)] })
}
