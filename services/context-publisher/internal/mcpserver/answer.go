package mcpserver

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// head opens every structured answer: how current it is, and the delimiter of its
// fences. Revision is that of the brief the answer is about; in an answer about no brief
// it is the position of the ranking.
type head struct {
	AsOf     time.Time `json:"as_of"`
	Revision uint64    `json:"revision"`
	Position uint64    `json:"position"`
	LagMS    int64     `json:"lag_ms"`
	Fence    string    `json:"fence"`
}

func headOf(f *fence.Fence, fresh api.Freshness, revision uint64) head {
	return head{AsOf: fresh.AsOf.UTC(), Revision: revision, Position: fresh.Position, LagMS: fresh.LagMS, Fence: f.ID()}
}

func (h head) String() string {
	return fmt.Sprintf("Revision %d, as of %s, clusters %d ms behind.", h.Revision, h.AsOf.Format(time.RFC3339), h.LagMS)
}

// words is what a customer said, in a structured field: fenced, with its provenance.
type words struct {
	Item   string    `json:"item"`
	Source string    `json:"source"`
	SaidAt time.Time `json:"said_at"`
	URL    string    `json:"url,omitempty"`
	Role   string    `json:"role,omitempty"` // need, quote, edge_case, opposed or question
	Who    string    `json:"who,omitempty"`
	Words  string    `json:"words"`
}

func wordsOf(f *fence.Fence, role string, q brief.Quote) words {
	w := words{Item: q.Item, Source: string(q.Source), SaidAt: q.SaidAt.UTC(), Role: role, Words: f.Field(q.Text)}
	if address := link(q.URL); address != "" {
		w.URL = f.Field(address) // whoever sends by webhook chooses it
	}
	if who := strings.Trim(q.Name+", "+q.Account, ", "); who != "" {
		w.Who = f.Inline(who)
	}
	return w
}

// quote writes a quote as text: a line of attribution in our words, and the block.
func quote(s *strings.Builder, f *fence.Fence, w words, text string) {
	fmt.Fprintf(s, "%s\n", f.Block(fence.Quote{Source: w.Source, Item: w.Item, SaidAt: w.SaidAt, Text: text}))
	var about []string
	if w.Who != "" {
		about = append(about, "by "+w.Who)
	}
	if w.URL != "" {
		about = append(about, "source: "+w.URL)
	}
	if len(about) > 0 {
		fmt.Fprintf(s, "%s\n", strings.Join(about, "; "))
	}
	s.WriteByte('\n')
}

// link gives an address that can be shown beside a quote: http or https, without
// credentials, query or fragment (what a sender could write words into), "" for others.
func link(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || len(raw) > 300 {
		return ""
	}
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if s := clean.String(); s == fence.Clean(s, 900) && !strings.ContainsAny(s, " \n<>()[]`\"'") {
		return s
	}
	return ""
}

type ticketRef struct {
	Tracker  feedback.Tracker        `json:"tracker"`
	Key      string                  `json:"key"`
	Title    string                  `json:"title"`
	Status   string                  `json:"status"`
	Category feedback.StatusCategory `json:"category"`
	URL      string                  `json:"url,omitempty"`
}

func ticketOf(f *fence.Fence, t read.TicketHead) ticketRef {
	return ticketRef{t.Tracker, fence.Clean(t.Key, 200), f.Inline(t.Title), f.Inline(t.Status), t.Category, link(t.URL)}
}

type clusterRef struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	Kind     feedback.Kind `json:"kind,omitempty"`
	Status   string        `json:"status,omitempty"`
	Rank     uint32        `json:"rank"`
	Score    float64       `json:"score"`
	Terms    brief.Terms   `json:"terms"`
	Voices   uint32        `json:"voices"`
	Accounts uint32        `json:"accounts"`
	Worth    float64       `json:"worth,omitempty"`
	Mode     feedback.Mode `json:"mode,omitempty"`
	Quote    *words        `json:"quote,omitempty"`
	Tickets  []string      `json:"tickets,omitempty"`
}

func clusterOf(f *fence.Fence, c read.Cluster) clusterRef {
	out := clusterRef{ID: c.ID, Name: f.Inline(c.Name), Kind: c.Kind, Status: c.Status, Rank: c.Rank, Score: c.Score, Terms: c.Terms,
		Voices: c.Voices, Accounts: c.Accounts, Worth: c.Worth}
	if len(c.Quotes) > 0 {
		w := signalWords(f, c.Quotes[0])
		out.Quote = &w
	}
	for _, t := range c.Tickets {
		if t.Mode != feedback.Rejected {
			out.Tickets = append(out.Tickets, string(t.Tracker)+":"+fence.Clean(t.Key, 200))
		}
	}
	return out
}

func signalWords(f *fence.Fence, s read.Signal) words {
	return wordsOf(f, "", brief.Quote{Item: s.Item, Source: s.Source, SaidAt: s.SaidAt, URL: s.URL, Text: s.Quote, Name: s.Customer.Name, Account: s.Account.Name})
}

// result puts an answer together: Markdown for a reader, data for a program.
func result(text string, data any) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, data, nil
}

// size is how many tokens an answer is, both parts together.
func size(text string, data any) int {
	b, err := json.Marshal(data)
	if err != nil {
		return feedback.Tokens(text)
	}
	return feedback.Tokens(text) + feedback.Tokens(string(b))
}

// fitting gives nearly the largest answer within a budget. make is asked for all there is,
// then for the share that should fit, and for less until it does. The smallest is given
// where none fits.
func fitting(budget int, make func(share float64) (string, any)) (string, any) {
	share := 1.0
	for {
		text, data := make(share)
		is := size(text, data)
		if is <= budget || share < .02 {
			return text, data
		}
		share *= min(.95, .98*float64(budget)/float64(is))
	}
}

// part is the first share of a list, at least one of it.
func part[T any](all []T, share float64) []T {
	if share >= 1 || len(all) == 0 {
		return all
	}
	return all[:max(1, int(float64(len(all))*share))]
}
