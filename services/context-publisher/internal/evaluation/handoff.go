package evaluation

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	_ "embed" // the rest of the workspace
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/brief"
)

// Budgets are the sizes, in tokens, at which a handoff's briefs are scored.
var Budgets = []int{1000, 4000}

// Scenario is a ticket, the conversations of a workspace before and after it was picked up,
// and what whoever takes it over will ask. What stands after Later is for the scorer only.
type Scenario struct {
	ID            string            `json:"id"`
	Industry      string            `json:"industry"`
	Languages     []string          `json:"languages"`
	Accounts      []scenarioAccount `json:"accounts"`
	Conversations []conversation    `json:"conversations"`
	Ticket        scenarioTicket    `json:"ticket"`
	Later         []conversation    `json:"later"`

	About      []string   `json:"about_ticket"`
	AboutLater []string   `json:"about_ticket_later"`
	Questions  []question `json:"questions"`
	MustNot    []string   `json:"must_not"`
	Hostile    string     `json:"hostile"`
}

type scenarioAccount struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Value   float64 `json:"value_eur_year"`
	Plan    string  `json:"plan"`
	Segment string  `json:"segment"`
}

type conversation struct {
	ID       string `json:"id"`
	Source   string `json:"source"`
	Account  string `json:"account"`
	Customer struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"customer"`
	Messages []struct {
		At   time.Time `json:"at"`
		From string    `json:"from"`
		Text string    `json:"text"`
	} `json:"messages"`
}

type scenarioTicket struct {
	Tracker    string    `json:"tracker"`
	Key        string    `json:"key"`
	Title      string    `json:"title"`
	Body       string    `json:"body"`
	PickedUpAt time.Time `json:"picked_up_at"`
}

type question struct {
	Q            string `json:"q"`
	Kind         string `json:"kind"`
	Answer       string `json:"answer_regex"`
	InTicket     bool   `json:"in_ticket"`
	Conversation string `json:"conversation"`
	Computed     bool   `json:"computed"`
}

// Found is a signal of a text: what kind it is, and where it stands in bytes.
type Found struct {
	Kind  feedback.Kind
	Start int
	End   int
}

// Extract finds the signals of texts, one list for each.
type Extract func(ctx context.Context, texts []string) ([][]Found, error)

// Scores are what a brief, or a text in its place, was worth. Recall is the share of the
// planted facts that the ticket does not hold and the text tells: in a quote of the
// conversation that holds it (a computed one anywhere), for a baseline anywhere. Trespasses
// counts facts of other conversations.
type Scores struct {
	Asked      int     `json:"asked"`
	Recalled   int     `json:"recalled"`
	Recall     float64 `json:"recall"`
	Trespasses int     `json:"facts_of_distractors"`
}

// HandoffAnswer is what came of one scenario: with what was joined without asking, with what a
// person confirmed of the suggestions besides, and with all the right conversations attached,
// which tells the brief from the joining.
type HandoffAnswer struct {
	ID             string   `json:"id"`
	About          int      `json:"about"` // conversations that concern the ticket
	Joined         []string `json:"joined"`
	Right          int      `json:"joined_right"`
	Outside        int      `json:"joined_of_others"` // of the rest of the workspace
	Suggested      []string `json:"suggested"`
	SuggestedRight int      `json:"suggested_right"`
	// SuggestedOutside counts suggestions from the rest of the workspace.
	SuggestedOutside int    `json:"suggested_of_others"`
	Machine          Handed `json:"machine"`
	Reviewed         Handed `json:"reviewed"`
	Confirmed        Handed `json:"confirmed"`
}

// Handed is what a handoff was worth. The scores are by budget in tokens: of the brief, of
// the ticket's own text, and of every joined text, newest first.
type Handed struct {
	Briefs  []sized           `json:"briefs,omitempty"` // before pick-up and after, at the larger budget
	Answers []told            `json:"answers,omitempty"`
	Brief   map[string]Scores `json:"brief"`
	Ticket  map[string]Scores `json:"baseline_ticket"`
	Newest  map[string]Scores `json:"baseline_newest_first"`
	// Changes counts what was told as changed, Unchanged what of it is older than pick-up.
	Changes   int `json:"changes"`
	Unchanged int `json:"changes_that_are_none"`
	Quotes    int `json:"quotes"`
	Invented  int `json:"quotes_not_verbatim"`
	Escaped   int `json:"hostile_outside_quotes"`
}

func (h *Handed) add(o Handed) {
	add(h.Brief, o.Brief)
	add(h.Ticket, o.Ticket)
	add(h.Newest, o.Newest)
	h.Changes, h.Unchanged, h.Quotes = h.Changes+o.Changes, h.Unchanged+o.Unchanged, h.Quotes+o.Quotes
	h.Invented, h.Escaped = h.Invented+o.Invented, h.Escaped+o.Escaped
}

type sized struct {
	Tokens int    `json:"tokens"`
	Text   string `json:"text"`
}

type told struct {
	Question string `json:"q"`
	Kind     string `json:"kind"`
	Told     bool   `json:"told"`
}

// HandoffReport is the sum over scenarios.
type HandoffReport struct {
	Scenarios          int     `json:"scenarios"`
	Others             int     `json:"other_items"` // beside each scenario's own
	Precision          float64 `json:"joined_precision"`
	Recall             float64 `json:"joined_recall"`
	SuggestedPrecision float64 `json:"suggested_precision"`
	SuggestedRecall    float64 `json:"suggested_recall"`
	Machine            Handed  `json:"machine"`
	Reviewed           Handed  `json:"reviewed"`
	Confirmed          Handed  `json:"confirmed"`
}

// outside begins the ids of the rest of the workspace.
const outside = "other "

//go:embed others.txt.gz
var othersFile []byte

// handoff is a run over scenarios.
type handoff struct {
	embedder embed.Embedder
	extract  Extract
	others   []string
	vectors  [][]float32
}

// Handoff plays every scenario (*.json) of a folder: conversations by time among 5,000
// others, a brief when the ticket is picked up, and one after what came later. It writes a
// line per scenario. Labels are only compared with at the end.
//
// What is measured is how single conversations are joined and suggested to one ticket and what the brief
// makes of them, with the code of the packages attach and brief; which clusters a workspace's
// signals would form is not.
func Handoff(ctx context.Context, scenarios fs.FS, embedder embed.Embedder, extract Extract, w io.Writer) (HandoffReport, error) {
	files, err := fs.Glob(scenarios, "*.json")
	if err != nil || len(files) == 0 {
		return HandoffReport{}, errors.Join(errors.New("evaluate handoff: no scenarios (*.json) in the folder"), err)
	}
	h := &handoff{embedder: embedder, extract: extract}
	if err := h.fill(ctx); err != nil {
		return HandoffReport{}, err
	}
	report := HandoffReport{Others: len(h.others), Machine: empty(), Reviewed: empty(), Confirmed: empty()}
	encoder := json.NewEncoder(w)
	joined, right, suggested, suggestedRight, about := 0, 0, 0, 0, 0
	for _, file := range files {
		body, err := fs.ReadFile(scenarios, file)
		if err != nil {
			return HandoffReport{}, fmt.Errorf("read scenario: %w", err)
		}
		var s Scenario
		if json.Unmarshal(body, &s) != nil || s.ID == "" || s.Ticket.Title == "" {
			return HandoffReport{}, fmt.Errorf("read scenario %s: it is not of the format", path.Base(file))
		}
		a, err := h.play(ctx, s)
		if err != nil {
			return HandoffReport{}, fmt.Errorf("play scenario %s: %w", s.ID, err)
		}
		if err := encoder.Encode(a); err != nil {
			return HandoffReport{}, fmt.Errorf("write answers: %w", err)
		}
		report.Scenarios++
		report.Machine.add(a.Machine)
		report.Reviewed.add(a.Reviewed)
		report.Confirmed.add(a.Confirmed)
		joined, right, about = joined+len(a.Joined)+a.Outside, right+a.Right, about+a.About
		suggested, suggestedRight = suggested+len(a.Suggested)+a.SuggestedOutside, suggestedRight+a.SuggestedRight
	}
	report.Precision, report.Recall = share(right, joined), share(right, about)
	report.SuggestedPrecision, report.SuggestedRecall = share(suggestedRight, suggested), share(suggestedRight, about)
	return report, nil
}

func empty() Handed {
	return Handed{Brief: map[string]Scores{}, Ticket: map[string]Scores{}, Newest: map[string]Scores{}}
}

func add(to, from map[string]Scores) {
	for budget, s := range from {
		sum := to[budget]
		sum.Asked, sum.Recalled, sum.Trespasses = sum.Asked+s.Asked, sum.Recalled+s.Recalled, sum.Trespasses+s.Trespasses
		sum.Recall = share(sum.Recalled, sum.Asked)
		to[budget] = sum
	}
}

// fill embeds the rest of the workspace, once for all scenarios.
func (h *handoff) fill(ctx context.Context) error {
	z, err := gzip.NewReader(bytes.NewReader(othersFile))
	if err != nil {
		return fmt.Errorf("read the rest of the workspace: %w", err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return fmt.Errorf("read the rest of the workspace: %w", err)
	}
	h.others = strings.Split(string(text), "\n")
	for batch := range slices.Chunk(h.others, 256) {
		vectors, err := h.embedder.Embed(ctx, batch)
		if err != nil {
			return fmt.Errorf("embed the rest of the workspace: %w", err)
		}
		h.vectors = append(h.vectors, vectors...)
	}
	return nil
}

// said is what a customer wrote in a conversation, as one text.
func said(c conversation) (text string, at time.Time) {
	var parts []string
	for _, m := range c.Messages {
		if m.From == "customer" {
			parts = append(parts, m.Text)
			at = m.At
		}
	}
	return strings.Join(parts, "\n"), at
}

func (h *handoff) play(ctx context.Context, s Scenario) (HandoffAnswer, error) {
	all := slices.Concat(s.Conversations, s.Later)
	texts := make([]string, len(all))
	for i, c := range all {
		texts[i], _ = said(c)
	}
	vectors, err := h.embedder.Embed(ctx, append(slices.Clone(texts), s.Ticket.Title+"\n"+s.Ticket.Body))
	if err != nil {
		return HandoffAnswer{}, fmt.Errorf("embed: %w", err)
	}
	ticket := attach.Ticket{Key: s.Ticket.Key, Title: s.Ticket.Title, Body: s.Ticket.Body, Space: h.embedder.Space().ID(), Vector: vectors[len(all)]}
	corpus := &attach.Corpus{}
	for _, text := range slices.Concat(texts, h.others) {
		corpus.Add(text)
	}
	m := attach.Matcher{Corpus: corpus}
	a := HandoffAnswer{ID: s.ID, Joined: []string{}, Suggested: []string{}}
	said := make([]attach.Single, 0, len(all)+len(h.others))
	for i, text := range texts {
		said = append(said, attach.Single{Evidence: attach.Evidence{Signal: all[i].ID, Quote: text, Text: text, Vector: vectors[i]}, Space: ticket.Space})
	}
	for i, text := range h.others {
		said = append(said, attach.Single{Evidence: attach.Evidence{Signal: fmt.Sprintf("%s%d", outside, i), Quote: text, Text: text, Vector: h.vectors[i]}, Space: ticket.Space})
	}
	cosines := make([]float64, len(said))
	for i, one := range said {
		cosines[i] = float64(embed.Dot(ticket.Vector, one.Vector))
	}
	around := attach.AroundOf(cosines)
	slices.SortStableFunc(said, func(x, y attach.Single) int {
		return cmp.Compare(embed.Dot(ticket.Vector, y.Vector), embed.Dot(ticket.Vector, x.Vector))
	})
	for _, found := range m.Singles(ticket, said[:min(len(said), attach.NearestSingles)], around, nil) {
		other := strings.HasPrefix(found.Signal, outside)
		switch {
		case other && found.Mode == feedback.Automatic:
			a.Outside++
		case other:
			a.SuggestedOutside++
		case found.Mode == feedback.Automatic:
			a.Joined = append(a.Joined, found.Signal)
		default:
			a.Suggested = append(a.Suggested, found.Signal)
		}
	}
	relevance := map[string]float64{}
	for i, c := range all {
		relevance[c.ID] = m.Relevance(ticket, texts[i], ticket.Space, vectors[i])
	}
	truth := slices.Concat(s.About, s.AboutLater)
	a.About = len(truth)
	a.Right, a.SuggestedRight = among(a.Joined, truth), among(a.Suggested, truth)
	w := workspace{all, texts, vectors, relevance}
	if a.Machine, err = h.handed(ctx, s, w, a.Joined); err != nil {
		return HandoffAnswer{}, err
	}
	right := slices.DeleteFunc(slices.Clone(a.Suggested), func(id string) bool { return !slices.Contains(truth, id) })
	if a.Reviewed, err = h.handed(ctx, s, w, slices.Concat(a.Joined, right)); err != nil {
		return HandoffAnswer{}, err
	}
	a.Confirmed, err = h.handed(ctx, s, w, truth)
	return a, err
}

// workspace is a scenario's conversations in one order, with what is known of each.
type workspace struct {
	all       []conversation
	texts     []string
	vectors   [][]float32
	relevance map[string]float64 // by conversation
}

func among(ids, truth []string) (n int) {
	for _, id := range ids {
		if slices.Contains(truth, id) {
			n++
		}
	}
	return n
}

// handed plays the handoff with these conversations joined: a brief at pick-up, and one
// after what came later.
func (h *handoff) handed(ctx context.Context, s Scenario, w workspace, joined []string) (Handed, error) {
	before := slices.DeleteFunc(slices.Clone(joined), s.later)
	old, err := h.brief(ctx, s, w, before)
	if err != nil {
		return Handed{}, err
	}
	now, err := h.brief(ctx, s, w, joined)
	if err != nil {
		return Handed{}, err
	}
	old.Revision, now.Revision = 1, 2
	return s.score(old, now, joined, w), nil
}

func (s Scenario) later(id string) bool {
	return slices.ContainsFunc(s.Later, func(c conversation) bool { return c.ID == id })
}

// brief builds what the service would from the joined conversations.
func (h *handoff) brief(ctx context.Context, s Scenario, w workspace, joined []string) (brief.Brief, error) {
	in := brief.Input{
		Ticket: feedback.Ticket{Workspace: "eval", Tracker: feedback.Tracker(s.Ticket.Tracker), Key: s.Ticket.Key, Title: s.Ticket.Title, Category: feedback.InProgress},
		Items:  map[string]brief.Item{}, Accounts: map[string]feedback.Account{}, Relevance: map[string]float64{},
	}
	for _, a := range s.Accounts {
		in.Accounts[a.ID] = feedback.Account{ID: a.ID, Name: a.Name, Value: a.Value, Currency: "EUR", Plan: a.Plan, Segment: a.Segment}
	}
	voices := map[string]int{}
	var kept []int
	for i, c := range w.all {
		if slices.Contains(joined, c.ID) {
			kept = append(kept, i)
		}
	}
	if len(kept) == 0 {
		return brief.Build(in), nil
	}
	picked := make([]string, len(kept))
	for n, i := range kept {
		picked[n] = w.texts[i]
	}
	signals, err := h.extract(ctx, picked)
	if err != nil {
		return brief.Brief{}, err
	}
	in.Attached = []brief.Cluster{{ID: "joined", Kind: feedback.Complaint, Mode: feedback.Automatic, Voices: uint32(len(kept))}}
	for n, i := range kept {
		c := w.all[i]
		_, at := said(c)
		in.Items[c.ID] = brief.Item{ID: c.ID, Text: w.texts[i], Source: feedback.Source(c.Source), Name: c.Customer.Name, Account: in.Accounts[c.Account].Name}
		for k, f := range signals[n] {
			id := fmt.Sprintf("%s/%d", c.ID, k)
			in.Signals = append(in.Signals, brief.Signal{ID: id, Item: c.ID, Cluster: "joined", Kind: f.Kind, Span: feedback.Span{Start: f.Start, End: f.End},
				Quote: w.texts[i][f.Start:f.End], Severity: 0.5, Customer: c.Customer.ID, SaidAt: at, Vector: w.vectors[i]})
			in.Relevance[id] = w.relevance[c.ID]
		}
		if v, ok := voices[c.Customer.ID]; ok {
			in.Voices[v].LastSaid = at
		} else {
			voices[c.Customer.ID] = len(in.Voices)
			in.Voices = append(in.Voices, brief.Voice{Customer: c.Customer.ID, Name: c.Customer.Name, Account: c.Account, LastSaid: at})
		}
		if in.FirstSeen.IsZero() || at.Before(in.FirstSeen) {
			in.FirstSeen = at
		}
		if at.After(in.LastSeen) {
			in.LastSeen = at
		}
	}
	in.AsOf = in.LastSeen
	for _, v := range in.Voices {
		if in.AsOf.Sub(v.LastSaid) < 7*24*time.Hour {
			in.LastWeek++
		}
	}
	in.Budget = Budgets[len(Budgets)-1]
	return brief.Build(in), nil
}

// score compares what was made of a scenario with its labels.
func (s Scenario) score(old, now brief.Brief, joined []string, w workspace) Handed {
	a := Handed{Brief: map[string]Scores{}, Ticket: map[string]Scores{}, Newest: map[string]Scores{}}
	changes := brief.Diff(old, now, nil)
	for _, q := range changes.Quotes {
		a.Changes++
		if !s.later(q.Item) {
			a.Unchanged++
		}
	}
	bodies := map[string]string{}
	for i, c := range w.all {
		bodies[c.ID] = w.texts[i]
	}
	for _, q := range quotes(now) {
		a.Quotes++
		if q.End > len(bodies[q.Item]) || brief.Clean(bodies[q.Item][q.Start:q.End]) != q.Text {
			a.Invented++
		}
	}
	newest := s.newestFirst(joined, w)
	for _, budget := range Budgets {
		name := fmt.Sprint(budget)
		fitted := brief.Fit(now, budget)
		text := brief.Markdown(fitted, &changes)
		if feedback.Tokens(text) > budget {
			text = brief.Markdown(fitted, nil)
		}
		a.Brief[name] = s.answered(text, fitted, func(q question, was bool) {
			if budget == Budgets[len(Budgets)-1] {
				a.Answers = append(a.Answers, told{q.Q, q.Kind, was})
			}
		})
		a.Ticket[name] = s.contains(cutTokens(s.Ticket.Title+"\n"+s.Ticket.Body, budget))
		a.Newest[name] = s.contains(cutTokens(newest, budget))
		for l := range strings.Lines(text) {
			if s.Hostile != "" && !strings.HasPrefix(l, ">") && strings.Contains(l, s.Hostile) {
				a.Escaped++
			}
		}
	}
	for _, b := range []brief.Brief{old, now} {
		text := brief.Markdown(b, nil)
		a.Briefs = append(a.Briefs, sized{feedback.Tokens(text), text})
	}
	return a
}

// newestFirst is every joined text, the newest first.
func (s Scenario) newestFirst(joined []string, w workspace) string {
	var order []int
	for i, c := range w.all {
		if slices.Contains(joined, c.ID) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		_, x := said(w.all[i])
		_, y := said(w.all[j])
		return cmp.Or(y.Compare(x), cmp.Compare(i, j))
	})
	var out strings.Builder
	for _, i := range order {
		fmt.Fprintf(&out, "%s: %s\n", w.all[i].Customer.Name, w.texts[i])
	}
	return out.String()
}

func cutTokens(text string, budget int) string { return text[:min(len(text), 4*budget)] }

// answered scores a brief by its quotes; each hears of every question that counts.
func (s Scenario) answered(text string, b brief.Brief, each func(question, bool)) Scores {
	out := s.trespasses(text)
	for _, q := range s.Questions {
		if q.InTicket {
			continue
		}
		answer, err := expression(q.Answer)
		if err != nil {
			continue
		}
		out.Asked++
		told := q.Computed && answer.MatchString(text)
		for _, quote := range quotes(b) {
			told = told || !q.Computed && quote.Item == q.Conversation && (answer.MatchString(quote.Text) || q.Kind == "who" && answer.MatchString(quote.Name))
		}
		if told {
			out.Recalled++
		}
		each(q, told)
	}
	out.Recall = share(out.Recalled, out.Asked)
	return out
}

// contains scores a text without quotes, a baseline.
func (s Scenario) contains(text string) Scores {
	out := s.trespasses(text)
	for _, q := range s.Questions {
		answer, err := expression(q.Answer)
		if q.InTicket || err != nil {
			continue
		}
		out.Asked++
		if answer.MatchString(text) {
			out.Recalled++
		}
	}
	out.Recall = share(out.Recalled, out.Asked)
	return out
}

func (s Scenario) trespasses(text string) (out Scores) {
	for _, m := range s.MustNot {
		if no, err := expression(m); err == nil && no.MatchString(text) {
			out.Trespasses++
		}
	}
	return out
}

func quotes(b brief.Brief) []brief.Quote {
	out := slices.Concat(b.Need, b.Quotes, b.Opposed, b.Questions)
	for _, e := range b.EdgeCases {
		out = append(out, e.Quote)
	}
	return out
}

var (
	notAfter  = regexp.MustCompile(`\(\?<!\[([^\]]*)\]\)`)
	notBefore = regexp.MustCompile(`\(\?!\[?(\\?[^\])]*)\]?\)`)
)

// expression compiles a scorer's expression, whatever the case. RE2 has no look-around:
// "not after" and "not before" a class are written as the text's edge or another character.
func expression(of string) (*regexp.Regexp, error) {
	of = notAfter.ReplaceAllString(of, `(?:^|[^$1])`)
	of = notBefore.ReplaceAllString(of, `(?:$$|[^$1])`)
	return regexp.Compile("(?i)" + of)
}
