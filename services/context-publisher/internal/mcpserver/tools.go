package mcpserver

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/fence"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/api"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/read"
)

// The budget of an answer in tokens (feedback.Tokens), text and data together, and what
// a caller may ask for.
const (
	defaultBudget = brief.DefaultBudget
	minBudget     = 600
	maxBudget     = 20000
)

func (w *Workspace) addTools() {
	no, yes := false, true
	// openWorld: answers carry text from outside.
	reads := func(title string) *mcp.ToolAnnotations {
		return &mcp.ToolAnnotations{Title: title, ReadOnlyHint: true, IdempotentHint: true, DestructiveHint: &no, OpenWorldHint: &yes}
	}
	mcp.AddTool(w.server, &mcp.Tool{
		Name: "get_ticket_context", Annotations: reads("Get a ticket's customer context"),
		Description: "Call before working on a ticket. Says who asks for it and what they are worth, what customers said in their own words with a source for each, the edge cases they hit, what is unknown, why it ranks where it ranks, and what changed since it was picked up.",
	}, w.getTicketContext)
	mcp.AddTool(w.server, &mcp.Tool{
		Name: "whats_changed", Annotations: reads("What changed for a ticket"),
		Description: "What customers said since work on the ticket began, or since a revision you have seen: new voices, edge cases, questions, withdrawn quotes, shifts in severity or rank. Cheap; call again before finishing.",
	}, w.whatChanged)
	mcp.AddTool(w.server, &mcp.Tool{
		Name: "search_feedback", Annotations: reads("Search customer feedback"),
		Description: "Finds feedback items whose words contain the query (a case-insensitive substring; use one or two telling words), newest first.",
	}, w.searchFeedback)
	mcp.AddTool(w.server, &mcp.Tool{
		Name: "list_clusters", Annotations: reads("List ranked needs"),
		Description: "Ranked clusters of feedback that mean the same need, best first, with the terms of each rank and its tickets.",
	}, w.listClusters)
	mcp.AddTool(w.server, &mcp.Tool{
		Name: "get_cluster", Annotations: reads("Get one cluster"),
		Description: "One cluster: its rank and terms, typical quotes, and the tickets it is attached to.",
	}, w.getCluster)
	mcp.AddTool(w.server, &mcp.Tool{
		Name: "get_quote", Annotations: reads("Get a quote with its source"),
		Description: "One feedback item by its id: what the customer said, who and where, and which clusters it counts in. With words it says whether a quote you are about to cite is verbatim.",
	}, w.getQuote)
	mcp.AddTool(w.server, &mcp.Tool{
		Name: "list_tickets", Annotations: reads("List tickets"),
		Description: "Tickets with customer context, most recently updated first; changed marks those in progress whose context changed since they were picked up.",
	}, w.listTickets)
}

type ticketContextIn struct {
	Ticket       string `json:"ticket" jsonschema:"PROJ-123, jira:PROJ-123, owner/repo#1, its URL, or a branch name"`
	BudgetTokens int    `json:"budget_tokens,omitempty" jsonschema:"size of the answer, 600 to 20000, default 4000"`
}

// contextOut is the structured answer of get_ticket_context.
type contextOut struct {
	head
	Ticket    ticketRef     `json:"ticket"`
	Changed   bool          `json:"changed"`
	PickedUp  uint64        `json:"picked_up"`
	Voices    int           `json:"voices"`
	Accounts  int           `json:"accounts"`
	Worth     []brief.Money `json:"worth"`
	Severity  string        `json:"severity"`
	Trend     string        `json:"trend"`
	Quotes    []words       `json:"quotes"`
	EdgeCases []edgeCase    `json:"edge_cases"`
	Unknown   []string      `json:"unknown"`
	Clusters  []clusterRef  `json:"clusters"`
	Suggested []clusterRef  `json:"suggested"`
	Done      *closing      `json:"done,omitempty"`
	LeftOut   leftOut       `json:"left_out"`
}

// closing is what a ticket that is done leaves to do.
type closing struct {
	At    time.Time `json:"at"`
	Tell  []string  `json:"tell"`  // items of those who asked
	Heard int       `json:"heard"` // people heard after it was done: a possible regression
}

type edgeCase struct {
	Facet  string `json:"facet"`
	Value  string `json:"value"`
	Voices int    `json:"voices"`
	Item   string `json:"item"`
}

type leftOut struct {
	Quotes    int `json:"quotes"`
	EdgeCases int `json:"edge_cases"`
	People    int `json:"people"`
}

func (w *Workspace) getTicketContext(ctx context.Context, _ *mcp.CallToolRequest, in ticketContextIn) (*mcp.CallToolResult, any, error) {
	budget, err := within(in.BudgetTokens, "budget_tokens", defaultBudget, minBudget, maxBudget)
	if err != nil {
		return nil, nil, err
	}
	text, data, err := w.context(ctx, in.Ticket, budget)
	if err != nil {
		return nil, nil, err
	}
	return result(text, data)
}

// context answers what is known for a ticket within a budget.
func (w *Workspace) context(ctx context.Context, ref string, budget int) (string, any, error) {
	f, err := fence.New(w.Random)
	if err != nil {
		return "", nil, w.failed(ctx, "begin an answer", err)
	}
	var c read.TicketContext
	var fresh api.Freshness
	g, asking := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		c, err = find(asking, w, ref, w.backend.TicketContext, func(c read.TicketContext) string { return c.Key })
		return err
	})
	g.Go(func() (err error) {
		fresh, err = w.backend.Freshness(asking)
		return err
	})
	if err := g.Wait(); err != nil {
		return "", nil, w.failed(ctx, "read the ticket's brief", err)
	}
	fresh.Position, fresh.AsOf = c.Brief.Position, c.Brief.AsOf
	h := headOf(f, fresh, c.Brief.Revision)
	text, data := fitting(budget, func(share float64) (string, any) {
		b := cut(c.Brief, share)
		return contextText(f, h, c.TicketHead, b, c.Since), contextData(f, h, c.TicketHead, b)
	})
	return text, data, nil
}

// cut is the first share of each list of a brief, which are in the order of their worth,
// with what is left out counted.
func cut(b brief.Brief, share float64) brief.Brief {
	full := b
	b.Need, b.Quotes, b.EdgeCases, b.Questions = part(b.Need, share), part(b.Quotes, share), part(b.EdgeCases, share), part(b.Questions, share)
	b.Opposed = part(b.Opposed, share)
	if b.Done != nil {
		done := *b.Done
		done.Tell, done.Again = part(done.Tell, share), part(done.Again, share)
		b.Done = &done
	}
	b.Asking.People, b.Clusters, b.Suggested = part(b.Asking.People, share), part(b.Clusters, share), part(b.Suggested, share)
	b.Omitted.Quotes += len(full.Need) + len(full.Quotes) + len(full.Opposed) + len(full.Questions) - len(b.Need) - len(b.Quotes) - len(b.Opposed) - len(b.Questions)
	b.Omitted.EdgeCases += len(full.EdgeCases) - len(b.EdgeCases)
	b.Omitted.People += len(full.Asking.People) - len(b.Asking.People)
	return b
}

func contextData(f *fence.Fence, h head, t read.TicketHead, b brief.Brief) contextOut {
	out := contextOut{
		head: h, Ticket: ticketOf(f, t), Changed: t.Changed, PickedUp: t.PickedUp,
		Voices: b.Asking.Voices, Accounts: b.Asking.Accounts, Worth: append([]brief.Money{}, b.Asking.Worth...),
		Severity: b.Severity.Level, Trend: b.Trend.Word, Quotes: []words{}, EdgeCases: []edgeCase{}, Unknown: append([]string{}, b.Unknown...),
		Clusters: []clusterRef{}, Suggested: []clusterRef{},
		LeftOut: leftOut{b.Omitted.Quotes, b.Omitted.EdgeCases, b.Omitted.People},
	}
	for _, q := range b.Need {
		out.Quotes = append(out.Quotes, wordsOf(f, "need", q))
	}
	for _, q := range b.Quotes {
		out.Quotes = append(out.Quotes, wordsOf(f, "quote", q))
	}
	for _, q := range b.Opposed {
		out.Quotes = append(out.Quotes, wordsOf(f, "opposed", q))
	}
	for _, q := range b.Questions {
		out.Quotes = append(out.Quotes, wordsOf(f, "question", q))
	}
	if b.Done != nil {
		out.Done = &closing{At: b.Done.At, Tell: []string{}, Heard: b.Done.Heard}
		for _, a := range b.Done.Tell {
			out.Done.Tell = append(out.Done.Tell, a.Item)
		}
		for _, q := range b.Done.Again {
			out.Quotes = append(out.Quotes, wordsOf(f, "after_done", q))
		}
	}
	for _, e := range b.EdgeCases {
		out.EdgeCases = append(out.EdgeCases, edgeCase{e.Facet, f.Inline(e.Value), e.Voices, e.Quote.Item})
	}
	for _, c := range b.Clusters {
		out.Clusters = append(out.Clusters, briefCluster(f, c))
	}
	for _, c := range b.Suggested {
		out.Suggested = append(out.Suggested, briefCluster(f, c))
	}
	return out
}

func briefCluster(f *fence.Fence, c brief.Cluster) clusterRef {
	return clusterRef{ID: c.ID, Name: f.Inline(c.Name), Kind: c.Kind, Rank: c.Rank, Score: c.Score, Terms: c.Terms,
		Voices: c.Voices, Accounts: c.Accounts, Mode: c.Mode}
}

type whatChangedIn struct {
	Ticket        string `json:"ticket" jsonschema:"as for get_ticket_context"`
	SinceRevision uint64 `json:"since_revision,omitempty" jsonschema:"a revision from an earlier answer; default: when work began"`
}

// changesOut is the structured answer of whats_changed. A false Material says that
// nothing changed that matters for the work.
type changesOut struct {
	head
	Ticket    ticketRef  `json:"ticket"`
	Since     uint64     `json:"since_revision"`
	Material  bool       `json:"material"`
	Lines     []string   `json:"lines"`
	Quotes    []words    `json:"quotes"`
	EdgeCases []edgeCase `json:"edge_cases"`
	Withdrawn []string   `json:"withdrawn_signals"`
	LeftOut   int        `json:"left_out"`
}

func (w *Workspace) whatChanged(ctx context.Context, _ *mcp.CallToolRequest, in whatChangedIn) (*mcp.CallToolResult, any, error) {
	t, err := w.ticket(ctx, in.Ticket)
	if err != nil {
		return nil, nil, err
	}
	since := in.SinceRevision
	if since == 0 {
		since = t.PickedUp
	}
	if since == 0 {
		return nil, nil, refusal("compare the ticket's brief: work on this ticket has not begun; give since_revision, the revision of an earlier answer")
	}
	f, fresh, err := w.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := w.backend.Changes(ctx, t.Tracker, t.Key, read.Since{Revision: since})
	if err != nil {
		return nil, nil, w.failed(ctx, "compare the ticket's brief", err)
	}
	h := headOf(f, fresh, c.To)
	return result(fitting(defaultBudget, func(share float64) (string, any) {
		out := changesOut{head: h, Ticket: ticketOf(f, t), Since: c.From, Material: c.Material, Lines: append([]string{}, c.Lines...),
			Quotes: []words{}, EdgeCases: []edgeCase{}, Withdrawn: append([]string{}, c.Withdrawn...)}
		quotes, edges, questions := part(c.Quotes, share), part(c.EdgeCases, share), part(c.Questions, share)
		out.LeftOut = len(c.Quotes) - len(quotes) + len(c.EdgeCases) - len(edges) + len(c.Questions) - len(questions)
		for _, q := range quotes {
			out.Quotes = append(out.Quotes, wordsOf(f, "quote", q))
		}
		for _, q := range questions {
			out.Quotes = append(out.Quotes, wordsOf(f, "question", q))
		}
		for _, e := range edges {
			out.EdgeCases = append(out.EdgeCases, edgeCase{e.Facet, f.Inline(e.Value), e.Voices, e.Quote.Item})
		}
		return changesText(f, out, append(append([]brief.Quote{}, quotes...), questions...)), out
	}))
}

type searchIn struct {
	Query string `json:"query" jsonschema:"one or two telling words"`
	Limit int    `json:"limit,omitempty" jsonschema:"1 to 50, default 10"`
}

// feedbackOut is the structured answer of search_feedback.
type feedbackOut struct {
	head
	Items   []words `json:"items"`
	More    bool    `json:"more"`
	LeftOut int     `json:"left_out"`
}

func (w *Workspace) searchFeedback(ctx context.Context, _ *mcp.CallToolRequest, in searchIn) (*mcp.CallToolResult, any, error) {
	limit, err := within(in.Limit, "limit", 10, 1, 50)
	if err != nil {
		return nil, nil, err
	}
	if q := strings.TrimSpace(in.Query); q == "" || len(q) > 200 {
		return nil, nil, refusal("search feedback: query has 1 to 200 bytes")
	}
	f, fresh, err := w.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	page, err := w.backend.Feedback(ctx, read.FeedbackQuery{Q: strings.TrimSpace(in.Query), Limit: limit})
	if err != nil {
		return nil, nil, w.failed(ctx, "search feedback", err)
	}
	return result(fitting(defaultBudget, func(share float64) (string, any) {
		shown := part(page.Items, share)
		out := feedbackOut{head: headOf(f, fresh, fresh.Position), Items: []words{}, More: page.NextCursor != "", LeftOut: len(page.Items) - len(shown)}
		var s strings.Builder
		fmt.Fprintf(&s, "%s\n%s\n\n%d items, newest first.\n\n", out.head, f.Notice(), len(shown))
		for _, i := range shown {
			text := excerpt(i.Text, in.Query, 600)
			said := wordsOf(f, "", brief.Quote{Item: i.ID, Source: i.Source, URL: i.URL, SaidAt: i.UpdatedAt, Text: text, Name: i.Customer.Name, Account: i.Account.Name})
			out.Items = append(out.Items, said)
			quote(&s, f, said, text)
		}
		if out.LeftOut > 0 || out.More {
			fmt.Fprintf(&s, "There are more; a narrower query shows others.\n")
		}
		return s.String(), out
	}))
}

type listClustersIn struct {
	Query string `json:"query,omitempty" jsonschema:"words in the name or a quote"`
	Kind  string `json:"kind,omitempty" jsonschema:"bug, feature_request, usability, question, praise or complaint"`
	Limit int    `json:"limit,omitempty" jsonschema:"1 to 50, default 10"`
}

// clustersOut is the structured answer of list_clusters.
type clustersOut struct {
	head
	Clusters []clusterRef `json:"clusters"`
	More     bool         `json:"more"`
	LeftOut  int          `json:"left_out"`
}

func (w *Workspace) listClusters(ctx context.Context, _ *mcp.CallToolRequest, in listClustersIn) (*mcp.CallToolResult, any, error) {
	limit, err := within(in.Limit, "limit", 10, 1, 50)
	if err != nil {
		return nil, nil, err
	}
	switch feedback.Kind(in.Kind) {
	case "", feedback.Bug, feedback.FeatureRequest, feedback.Usability, feedback.Question, feedback.Praise, feedback.Complaint:
	default:
		return nil, nil, refusal("list clusters: kind is one of bug, feature_request, usability, question, praise, complaint")
	}
	f, fresh, err := w.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	page, err := w.backend.Clusters(ctx, read.ClusterQuery{Q: in.Query, Kind: in.Kind, Limit: limit})
	if err != nil {
		return nil, nil, w.failed(ctx, "list clusters", err)
	}
	return result(fitting(defaultBudget, func(share float64) (string, any) {
		shown := part(page.Items, share)
		out := clustersOut{head: headOf(f, fresh, fresh.Position), Clusters: []clusterRef{}, More: page.NextCursor != "", LeftOut: len(page.Items) - len(shown)}
		for _, c := range shown {
			out.Clusters = append(out.Clusters, clusterOf(f, c))
		}
		return clustersText(f, out), out
	}))
}

type getClusterIn struct {
	ID string `json:"id" jsonschema:"a cluster's id"`
}

// clusterOut is the structured answer of get_cluster.
type clusterOut struct {
	head
	Cluster clusterRef `json:"cluster"`
	Quotes  []words    `json:"quotes"`
}

func (w *Workspace) getCluster(ctx context.Context, _ *mcp.CallToolRequest, in getClusterIn) (*mcp.CallToolResult, any, error) {
	if err := clusterID(in.ID); err != nil {
		return nil, nil, err
	}
	c, err := w.backend.Cluster(ctx, in.ID)
	if err != nil {
		return nil, nil, w.failed(ctx, "read cluster", err)
	}
	f, fresh, err := w.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	out := clusterOut{head: headOf(f, fresh, c.Position), Cluster: clusterOf(f, c), Quotes: []words{}}
	out.Cluster.Quote = nil
	for _, q := range c.Quotes {
		out.Quotes = append(out.Quotes, signalWords(f, q))
	}
	return result(clusterText(f, out, c.Quotes), out)
}

type listTicketsIn struct {
	Limit int `json:"limit,omitempty" jsonschema:"1 to 50, default 20"`
}

// ticketsOut is the structured answer of list_tickets.
type ticketsOut struct {
	head
	Tickets []ticketRow `json:"tickets"`
	More    bool        `json:"more"`
}

type ticketRow struct {
	ticketRef
	Revision uint64 `json:"revision"`
	Attached int    `json:"attached"`
	Changed  bool   `json:"changed"`
}

func (w *Workspace) listTickets(ctx context.Context, _ *mcp.CallToolRequest, in listTicketsIn) (*mcp.CallToolResult, any, error) {
	limit, err := within(in.Limit, "limit", 20, 1, 50)
	if err != nil {
		return nil, nil, err
	}
	f, fresh, err := w.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	page, err := w.backend.Tickets(ctx, limit, "")
	if err != nil {
		return nil, nil, w.failed(ctx, "list tickets", err)
	}
	return result(fitting(defaultBudget, func(share float64) (string, any) {
		out := ticketsOut{head: headOf(f, fresh, fresh.Position), Tickets: []ticketRow{}, More: page.NextCursor != ""}
		shown := part(page.Items, share)
		out.More = out.More || len(shown) < len(page.Items)
		for _, t := range shown {
			out.Tickets = append(out.Tickets, ticketRow{ticketOf(f, t), t.Revision, t.Attached, t.Changed})
		}
		return ticketsText(f, out), out
	}))
}

// open begins an answer: a fence of its own, and how current it is.
func (w *Workspace) open(ctx context.Context) (*fence.Fence, api.Freshness, error) {
	f, err := fence.New(w.Random)
	if err != nil {
		return nil, api.Freshness{}, w.failed(ctx, "begin an answer", err)
	}
	fresh, err := w.backend.Freshness(ctx)
	if err != nil {
		return nil, api.Freshness{}, w.failed(ctx, "begin an answer", err)
	}
	return f, fresh, nil
}

func within(n int, name string, otherwise, least, most int) (int, error) {
	if n == 0 {
		return otherwise, nil
	}
	if n < least || n > most {
		return 0, refusal(fmt.Sprintf("%s is a number from %d to %d", name, least, most))
	}
	return n, nil
}

// excerpt is the part of a text around the first place where the query is found, at
// most size bytes, so that a long item shows why it was found.
func excerpt(text, query string, size int) string {
	if len(text) <= size {
		return text
	}
	at := max(0, strings.Index(strings.ToLower(text), strings.ToLower(strings.TrimSpace(query))))
	from := max(0, min(at-size/3, len(text)-size))
	return strings.ToValidUTF8(text[from:min(from+size, len(text))], "")
}
