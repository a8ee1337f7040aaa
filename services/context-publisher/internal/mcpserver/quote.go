package mcpserver

import (
	"context"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

type getQuoteIn struct {
	Item  string `json:"item" jsonschema:"a feedback item's id"`
	Words string `json:"words,omitempty" jsonschema:"words you are about to cite; the answer says whether they stand in the item"`
}

// quoteOut is the structured answer of get_quote. Verbatim is present where words were
// asked about.
type quoteOut struct {
	head
	Item     words        `json:"item"`
	Signals  []signalLine `json:"signals"`
	Verbatim *bool        `json:"verbatim,omitempty"`
	LeftOut  int          `json:"left_out"`
}

type signalLine struct {
	ID      string        `json:"id"`
	Kind    feedback.Kind `json:"kind"`
	Cluster string        `json:"cluster,omitempty"`
	Words   string        `json:"words"`
}

func (w *Workspace) getQuote(ctx context.Context, _ *mcp.CallToolRequest, in getQuoteIn) (*mcp.CallToolResult, any, error) {
	if in.Item == "" || len(in.Item) > 64 || strings.ContainsAny(in.Item, "./%?#") || len(in.Words) > 2000 {
		return nil, nil, refusal("read quote: item is a feedback item's id, as answers give it; words has at most 2000 bytes")
	}
	i, err := w.backend.FeedbackItem(ctx, in.Item)
	if err != nil {
		return nil, nil, w.failed(ctx, "read quote", err)
	}
	f, fresh, err := w.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	h := headOf(f, fresh, i.Revision)
	around := in.Words
	if around == "" && len(i.Signals) > 0 {
		around = i.Signals[0].Quote
	}
	text := excerpt(i.Text, around, fence.MaxBlock)
	return result(fitting(defaultBudget, func(share float64) (string, any) {
		signals := part(i.Signals, share)
		out := quoteOut{head: h, Signals: []signalLine{}, LeftOut: len(i.Signals) - len(signals),
			Item: wordsOf(f, "", brief.Quote{Item: i.ID, Source: i.Source, URL: i.URL, SaidAt: i.UpdatedAt, Text: text, Name: i.Customer.Name, Account: i.Account.Name})}
		for _, s := range signals {
			out.Signals = append(out.Signals, signalLine{s.ID, s.Kind, s.Cluster, f.Field(s.Quote)})
		}
		if in.Words != "" {
			there := stands(in.Words, i)
			out.Verbatim = &there
		}
		return quoteText(f, out, text), out
	}))
}

// stands reports whether words are in what the customer said, but for white space and
// what no reader sees.
func stands(words string, i read.Item) bool {
	plain := func(s string) string { return strings.Join(strings.Fields(brief.Clean(s)), " ") }
	return strings.Contains(plain(i.Text), plain(words))
}

func quoteText(f *fence.Fence, out quoteOut, text string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n%s\n\n", out.head, f.Notice())
	quote(&s, f, out.Item, text)
	if out.Verbatim != nil && *out.Verbatim {
		s.WriteString("The words you asked about stand in it word for word.\n")
	} else if out.Verbatim != nil {
		s.WriteString("The words you asked about do not stand in it: do not cite them as a quote.\n")
	}
	for _, x := range out.Signals {
		fmt.Fprintf(&s, "- %s, a %s", x.ID, x.Kind)
		if x.Cluster != "" {
			fmt.Fprintf(&s, " in %s", x.Cluster)
		}
		fmt.Fprintf(&s, ": %s\n", x.Words)
	}
	return s.String()
}
