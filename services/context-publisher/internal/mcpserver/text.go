package mcpserver

import (
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fence"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// contextText writes a ticket's context as Markdown.
func contextText(f *fence.Fence, h head, t read.TicketHead, b brief.Brief, since *brief.Changes) string {
	var s strings.Builder
	ref := ticketOf(f, t)
	fmt.Fprintf(&s, "# Customer context of %s %s\n\n%s\n%s\n\nTitle %s; status %s (%s).\n\n", ref.Tracker, ref.Key, h, f.Notice(), ref.Title, ref.Status, ref.Category)
	if since != nil && len(since.Lines) > 0 {
		weight := "Nothing of it matters for the work."
		if since.Material {
			weight = "It is material; whats_changed has the words."
		}
		fmt.Fprintf(&s, "## Changed since work began (revision %d)\n\n- %s\n\n%s\n\n", since.From, strings.Join(since.Lines, "\n- "), weight)
	}
	if len(b.Clusters) == 0 {
		s.WriteString("No customer feedback is attached to this ticket yet.\n\n")
	} else {
		fmt.Fprintf(&s, "## Who is asking\n\n%s\n", brief.Sum(b))
		for _, p := range b.Asking.People {
			about := []string{}
			for _, part := range []string{p.Name, p.Account, p.Plan, p.Segment} {
				if part != "" {
					about = append(about, part)
				}
			}
			fmt.Fprintf(&s, "- %s", f.Inline(strings.Join(about, ", ")))
			if p.Worth != nil {
				fmt.Fprintf(&s, " worth %s a year", brief.Amount(*p.Worth))
			}
			s.WriteByte('\n')
		}
		fmt.Fprintf(&s, "\nSeverity %s; trend %s: %d voices in the last week, %d the week before. First seen %s, last seen %s.\n\n",
			b.Severity.Level, b.Trend.Word, b.Trend.LastWeek, b.Trend.WeekBefore, b.FirstSeen.UTC().Format("2006-01-02"), b.LastSeen.UTC().Format("2006-01-02"))
	}
	if b.Done != nil {
		closingText(&s, f, *b.Done)
	}
	section(&s, f, "The need", "need", b.Need)
	section(&s, f, "In their words", "quote", b.Quotes)
	if len(b.EdgeCases) > 0 {
		s.WriteString("## Edge cases\n\n")
		shown := map[string]bool{}
		for _, q := range append(append([]brief.Quote{}, b.Need...), b.Quotes...) {
			shown[q.Item] = true
		}
		for _, e := range b.EdgeCases {
			fmt.Fprintf(&s, "- %s: %s (%d voices, %s)\n", e.Facet, f.Inline(e.Value), e.Voices, e.Quote.Item)
		}
		s.WriteByte('\n')
		for _, e := range b.EdgeCases {
			if !shown[e.Quote.Item] {
				shown[e.Quote.Item] = true
				quote(&s, f, wordsOf(f, "edge_case", e.Quote), e.Quote.Text)
			}
		}
	}
	if len(b.Unknown) > 0 {
		fmt.Fprintf(&s, "## Not known\n\n- %s\n\n", strings.Join(b.Unknown, "\n- "))
	}
	section(&s, f, "Customers who want the opposite, or are content", "opposed", b.Opposed)
	section(&s, f, "Questions nobody answered", "question", b.Questions)
	if len(b.Clusters) > 0 {
		s.WriteString("## Why it ranks where it ranks\n\n")
		for _, c := range b.Clusters {
			fmt.Fprintf(&s, "- %s %s: %s; %d voices, %d accounts; %s\n", c.ID, f.Inline(c.Name), place(c.Rank, c.Of, c.Score, c.Terms), c.Voices, c.Accounts, c.Mode)
		}
		s.WriteByte('\n')
	}
	if len(b.Suggested) > 0 {
		s.WriteString("## Perhaps about this too (a person has to confirm; not counted above)\n\n")
		for _, c := range b.Suggested {
			fmt.Fprintf(&s, "- %s %s, %d voices, match %.2f\n", c.ID, f.Inline(c.Name), c.Voices, c.Match)
		}
		s.WriteByte('\n')
	}
	if o := b.Omitted; o.Quotes+o.EdgeCases+o.People > 0 {
		fmt.Fprintf(&s, "Left out for size: %d quotes, %d edge cases, %d people. Ask again with a larger budget_tokens.\n", o.Quotes, o.EdgeCases, o.People)
	}
	return s.String()
}

// closingText says what a ticket that is done leaves to do.
func closingText(s *strings.Builder, f *fence.Fence, c brief.Closing) {
	if c.Heard > 0 {
		fmt.Fprintf(s, "Possible regression: %d spoke of it after it was done on %s.\n\n", c.Heard, c.At.Format("2006-01-02"))
		section(s, f, "Said after it was done", "after_done", c.Again)
	}
	if len(c.Tell) == 0 {
		return
	}
	s.WriteString("## To be told that it is done\n\n")
	for _, a := range c.Tell {
		fmt.Fprintf(s, "- %s (%s)\n", f.Inline(strings.Trim(a.Name+", "+a.Account, ", ")), a.Item)
	}
	fmt.Fprintf(s, "\nA reply for people to send, each in its conversation: %s\n\n", c.Reply)
}

func section(s *strings.Builder, f *fence.Fence, title, role string, quotes []brief.Quote) {
	if len(quotes) == 0 {
		return
	}
	fmt.Fprintf(s, "## %s\n\n", title)
	for _, q := range quotes {
		quote(s, f, wordsOf(f, role, q), q.Text)
	}
}

func place(rank, of uint32, score float64, t brief.Terms) string {
	if rank == 0 {
		return "not ranked"
	}
	at := fmt.Sprintf("rank %d", rank)
	if of > 0 {
		at += fmt.Sprintf(" of %d", of)
	}
	return fmt.Sprintf("%s, score %.2f = reach %.2f + worth %.2f + severity %.2f + momentum %.2f", at, score, t.Reach, t.Worth, t.Severity, t.Momentum) + t.Rest(" + ")
}

func changesText(f *fence.Fence, out changesOut, quotes []brief.Quote) string {
	var s strings.Builder
	fmt.Fprintf(&s, "# What changed for %s %s since revision %d\n\n%s\n", out.Ticket.Tracker, out.Ticket.Key, out.Since, out.head)
	if len(out.Lines) == 0 {
		s.WriteString("\nNothing changed.\n")
		return s.String()
	}
	weight := "None of it is material."
	if out.Material {
		weight = "It is material: check the work against it."
	}
	fmt.Fprintf(&s, "%s\n\n- %s\n\n%s\n\n", f.Notice(), strings.Join(out.Lines, "\n- "), weight)
	for _, e := range out.EdgeCases {
		fmt.Fprintf(&s, "- new %s: %s (%d voices, %s)\n", e.Facet, e.Value, e.Voices, e.Item)
	}
	if len(out.EdgeCases) > 0 {
		s.WriteByte('\n')
	}
	for i, q := range quotes {
		quote(&s, f, out.Quotes[i], q.Text)
	}
	if len(out.Withdrawn) > 0 {
		fmt.Fprintf(&s, "Withdrawn by those who said it; do not rely on it any more: %s\n", strings.Join(out.Withdrawn, ", "))
	}
	if out.LeftOut > 0 {
		fmt.Fprintf(&s, "Left out for size: %d more.\n", out.LeftOut)
	}
	return s.String()
}

func clusterLine(s *strings.Builder, c clusterRef) {
	fmt.Fprintf(s, "- %s %s (%s, %s): %s; %d voices, %d accounts", c.ID, c.Name, c.Kind, c.Status, place(c.Rank, 0, c.Score, c.Terms), c.Voices, c.Accounts)
	if len(c.Tickets) > 0 {
		fmt.Fprintf(s, "; tickets %s", strings.Join(c.Tickets, ", "))
	}
	s.WriteByte('\n')
}

func clustersText(f *fence.Fence, out clustersOut) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n%s\n\n", out.head, f.Notice())
	if len(out.Clusters) == 0 {
		s.WriteString("No cluster matches.\n")
	}
	for _, c := range out.Clusters {
		clusterLine(&s, c)
	}
	if out.More || out.LeftOut > 0 {
		s.WriteString("\nThere are more.\n")
	}
	return s.String()
}

func clusterText(f *fence.Fence, out clusterOut, signals []read.Signal) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n%s\n\n", out.head, f.Notice())
	clusterLine(&s, out.Cluster)
	s.WriteByte('\n')
	for i, q := range signals {
		quote(&s, f, out.Quotes[i], q.Quote)
	}
	return s.String()
}

func ticketsText(f *fence.Fence, out ticketsOut) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n%s\n\n", out.head, f.Notice())
	if len(out.Tickets) == 0 {
		s.WriteString("No ticket is known yet.\n")
	}
	for _, t := range out.Tickets {
		fmt.Fprintf(&s, "- %s:%s %s, status %s, %d clusters attached, revision %d", t.Tracker, t.Key, t.Title, t.Status, t.Attached, t.Revision)
		if t.Changed {
			s.WriteString(", context changed since it was picked up")
		}
		s.WriteByte('\n')
	}
	if out.More {
		s.WriteString("\nThere are more.\n")
	}
	return s.String()
}
