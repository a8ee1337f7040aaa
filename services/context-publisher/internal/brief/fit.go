package brief

import "github.com/throughline-dev/throughline/pkg/feedback"

// Fit returns the brief cut to at most budget tokens of its Markdown, most valuable
// first: who is asking, the need, who wants the opposite, what a done ticket leaves to do,
// then quotes and edge cases in turn, then people by
// name, open questions, suggested clusters. What is cut is counted in Omitted. 0 means
// DefaultBudget; less than MinBudget is raised to it. The hash is left as it was: a
// smaller brief is a view of the same revision.
func Fit(b Brief, budget int) Brief {
	if budget <= 0 {
		budget = DefaultBudget
	}
	budget = max(budget, MinBudget)
	if size(b) <= budget {
		return b
	}
	full := b
	b.Need, b.Quotes, b.EdgeCases, b.Opposed, b.Questions = []Quote{}, []Quote{}, []EdgeCase{}, []Quote{}, []Quote{}
	b.Asking.People, b.Suggested = []Person{}, []Cluster{}
	var again []Quote
	var askers []Asker
	if full.Done != nil {
		done := *full.Done
		again, askers = done.Again, done.Tell
		done.Again, done.Tell = []Quote{}, []Asker{}
		b.Done = &done
	}
	b.Clusters = full.Clusters[:min(len(full.Clusters), 1)]

	try := func(change func(*Brief)) bool {
		next := b
		change(&next)
		if size(next) > budget {
			return false
		}
		b = next
		return true
	}
	for _, q := range full.Need {
		try(func(n *Brief) { n.Need = append(n.Need[:len(n.Need):len(n.Need)], q) })
	}
	for _, q := range full.Opposed {
		try(func(n *Brief) { n.Opposed = append(n.Opposed[:len(n.Opposed):len(n.Opposed)], q) })
	}
	closing := func(change func(*Closing)) {
		try(func(n *Brief) {
			done := *n.Done
			change(&done)
			n.Done = &done
		})
	}
	for _, q := range again {
		closing(func(c *Closing) { c.Again = append(c.Again[:len(c.Again):len(c.Again)], q) })
	}
	for _, a := range askers {
		closing(func(c *Closing) { c.Tell = append(c.Tell[:len(c.Tell):len(c.Tell)], a) })
	}
	people, clusters, questions := full.Asking.People, full.Clusters[len(b.Clusters):], full.Questions
	for i := range max(len(full.Quotes), len(full.EdgeCases)) {
		if i < len(full.Quotes) {
			try(func(n *Brief) { n.Quotes = append(n.Quotes[:len(n.Quotes):len(n.Quotes)], full.Quotes[i]) })
		}
		if i < len(full.EdgeCases) {
			try(func(n *Brief) {
				n.EdgeCases = append(n.EdgeCases[:len(n.EdgeCases):len(n.EdgeCases)], full.EdgeCases[i])
			})
		}
		if i < len(people) {
			try(func(n *Brief) {
				n.Asking.People = append(n.Asking.People[:len(n.Asking.People):len(n.Asking.People)], people[i])
			})
		}
		if i < len(clusters) && i < 2 {
			try(func(n *Brief) { n.Clusters = append(n.Clusters[:len(n.Clusters):len(n.Clusters)], clusters[i]) })
		}
		if i < len(questions) {
			try(func(n *Brief) { n.Questions = append(n.Questions[:len(n.Questions):len(n.Questions)], questions[i]) })
		}
	}
	b.Omitted.Quotes += len(full.Quotes) - len(b.Quotes) + len(full.Need) - len(b.Need) + len(full.Questions) - len(b.Questions) + len(full.Opposed) - len(b.Opposed)
	b.Omitted.EdgeCases += len(full.EdgeCases) - len(b.EdgeCases)
	b.Omitted.People += len(full.Asking.People) - len(b.Asking.People)
	return b
}

// size leaves room for the line that counts what was left out.
func size(b Brief) int { return feedback.Tokens(Markdown(b, nil)) + 20 }
