package classifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/store"
)

// task is one event on its way to its result. err ends it.
type task struct {
	bus.Message
	item   *event.Item
	result event.Classified
	wants  bool // the chat model is to read it again
	err    error
}

// handle gives each event of a batch its result: decide, write, publish. An event that
// cannot have one fails alone.
func (s *Service) handle(ctx context.Context, batch []bus.Message) []error {
	tasks := make([]*task, len(batch))
	for i, m := range batch {
		tasks[i] = open(m)
		if len(s.workspaces) > 0 && !slices.Contains(s.workspaces, m.Workspace) {
			tasks[i].err = bus.Permanent(errors.New("classify: the workspace is not configured"))
		}
	}
	s.read(ctx, tasks)
	s.write(ctx, tasks)
	s.publish(ctx, tasks)
	errs := make([]error, len(tasks))
	for i, t := range tasks {
		if errs[i] = t.err; t.err == nil {
			s.count(t)
		}
	}
	return errs
}

// open decodes an event and prepares its result. What cannot be decoded now never can.
func open(m bus.Message) *task {
	t := &task{Message: m}
	t.result.ItemSequence = m.Sequence
	switch m.Type {
	case event.ItemReceived, event.ItemEdited, event.ItemDeleted:
		p, err := event.Payload[event.Item](m.Envelope)
		switch {
		case err != nil:
			t.err = bus.Permanent(fmt.Errorf("classify item: %w", err))
			return t
		case p.Item.ID == "" || p.Item.Revision < 1 || p.Item.Workspace != "" && p.Item.Workspace != m.Workspace:
			t.err = bus.Permanent(errors.New("classify item: id, revision or workspace is missing or wrong"))
			return t
		}
		t.item = &p
		t.result.Origin = p.Origin
		t.result.Deleted = m.Type == event.ItemDeleted
		t.result.Item = &event.ItemHead{
			ID: p.Item.ID, Revision: p.Item.Revision, Source: p.Item.Source, Customer: p.Item.Customer,
			Account: p.Item.Account, CreatedAt: p.Item.CreatedAt, UpdatedAt: p.Item.UpdatedAt,
		}
	case event.AccountChanged:
		p, err := event.Payload[event.Account](m.Envelope)
		if err != nil {
			t.err = bus.Permanent(fmt.Errorf("pass account on: %w", err))
			return t
		}
		t.result.Origin, t.result.Account = p.Origin, &p.Account
	case event.CustomerErased:
		p, err := event.Payload[event.Erasure](m.Envelope)
		if err != nil {
			t.err = bus.Permanent(fmt.Errorf("pass erasure on: %w", err))
			return t
		}
		t.result.Origin, t.result.Erasure = p.Origin, &p
	default:
		t.err = bus.Permanent(fmt.Errorf("classify: %s is no event of this stream", m.Type))
	}
	return t
}

// read finds the signals of every item of the batch, embedding all of them in one call. Where
// that fails for a reason of its own (not that the embedder is away), items are read one by
// one, so that the one to blame fails alone.
func (s *Service) read(ctx context.Context, tasks []*task) {
	var items []*task
	var passages []passage
	for _, t := range tasks {
		if t.err == nil && t.item != nil && !t.result.Deleted {
			items, passages = append(items, t), append(passages, passage{t.Workspace, t.item.Item.Text})
		}
	}
	if len(items) == 0 {
		return
	}
	people, err := s.saidOf(ctx, items)
	if err != nil {
		for _, t := range items {
			t.err = storeFailure(ctx, err)
		}
		return
	}
	found, err := s.reader.read(ctx, passages)
	if err == nil {
		for i, t := range items {
			t.result.Signals = s.signals(t, found[i], people[t.Workspace])
			t.wants = found[i].wanting && readings(t.ID) < mostReadings
			t.result.Reading = &event.Reading{
				Language: found[i].language.Code, Unsupported: !found[i].language.Supported, Silence: found[i].silence, By: found[i].by,
			}
		}
		return
	}
	if cause := embedFailure(ctx, err); !bus.IsPermanent(cause) || len(items) == 1 {
		for _, t := range items {
			t.err = cause
		}
		return
	}
	for _, t := range items {
		s.read(ctx, []*task{t})
	}
}

// embedFailure says what becomes of an item whose signals could not be embedded. Vectors of
// another space are no substitute, so a provider that is away or busy is waited for; one that
// refuses a text refuses it for ever.
func embedFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var p *embed.ProviderError
	switch {
	case errors.As(err, &p) && p.RetryAfter > 0:
		return bus.RetryAfter(err, min(p.RetryAfter, time.Minute))
	case errors.As(err, &p) && p.Temporary():
		return bus.RetryAfter(err, 2*time.Second)
	case errors.As(err, &p) && (p.Status == 401 || p.Status == 403 || p.Status == 404):
		// The configuration is wrong, not the item: it waits for an operator.
		return bus.Unavailable(err)
	}
	return bus.Permanent(err)
}

// saidOf looks up what people say of the items' words, by workspace. Items that are new to a
// workspace where nobody ever corrected anything need no look.
func (s *Service) saidOf(ctx context.Context, items []*task) (map[string]said, error) {
	ids := map[string][]string{}
	for _, t := range items {
		known, err := s.corrections.learn(ctx, t.Workspace)
		if err != nil {
			return nil, err
		}
		if known.report.Corrections > 0 || t.item.Item.Revision > 1 || again(t.Message) {
			ids[t.Workspace] = append(ids[t.Workspace], t.item.Item.ID)
		}
	}
	out := map[string]said{}
	for workspace, items := range ids {
		var err error
		if out[workspace], err = s.corrections.of(ctx, workspace, items); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// signals gives findings their identity in an item, which is that of what the classifier
// took them for: one that a person says is of another kind keeps its own.
func (s *Service) signals(t *task, read readout, people said) []feedback.Signal {
	found := read.findings
	item := t.item.Item
	space := s.reader.embedder.Space().ID()
	type words struct {
		kind  feedback.Kind
		quote string
	}
	seen := map[words]int{}
	out := make([]feedback.Signal, 0, len(found))
	for i, f := range found {
		same := words{f.Kind, f.quote}
		id := feedback.SignalID(item.ID, f.Kind, f.quote, seen[same])
		if kind, ok := people[wordsOf(item.ID, f.quote)]; ok {
			end := len(item.Text)
			if i+1 < len(found) {
				end = found[i+1].span.Start
			}
			f = s.reader.as(kind, f, item.Text[f.span.Start:end], read.language)
		}
		out = append(out, feedback.Signal{
			ID: id, Item: item.ID, Revision: item.Revision, Ordinal: i,
			Kind: f.Kind, Span: f.span, Quote: f.quote, Sentiment: f.Sentiment, Severity: f.Severity,
			Confidence: f.Confidence, Area: f.Area, Space: space, Vector: f.vector,
			Attributes: f.attributes,
		})
		seen[same]++
	}
	return out
}

// publish sends the results of the batch in its order.
func (s *Service) publish(ctx context.Context, tasks []*task) {
	start := time.Now()
	var out []bus.Outgoing
	var sent []*task
	for _, t := range tasks {
		if t.err != nil {
			continue
		}
		e, err := event.New(event.ItemClassified, "classifier", t.Workspace, t.Subject(), "classified:"+strconv.FormatUint(t.Sequence, 10), s.now(), t.result)
		if err != nil {
			t.err = bus.Permanent(err)
			continue
		}
		out, sent = append(out, bus.Outgoing{Subject: bus.Subject("signals", t.Workspace), Event: e, Trace: t.Trace}), append(sent, t)
	}
	if len(out) == 0 {
		return
	}
	if err := s.bus.PublishAll(ctx, out); err != nil {
		for _, t := range sent {
			t.err = err
		}
		return
	}
	s.metrics.took("publish", start)
}

// Subject is what the result is about.
func (t *task) Subject() string {
	switch {
	case t.result.Item != nil:
		return t.result.Item.ID
	case t.result.Account != nil:
		return t.result.Account.ID
	}
	return t.result.Erasure.Customer
}

func (s *Service) count(t *task) {
	s.metrics.items.WithLabelValues(string(t.Type)).Inc()
	if t.result.Reading != nil {
		s.metrics.read(t.result.Reading)
	}
	for _, g := range t.result.Signals {
		s.metrics.signals.WithLabelValues(string(g.Kind)).Inc()
	}
}

// write keeps the signals of the batch and withdraws those that are no more. A row that the
// store refuses takes its event out; the rest are written without it.
func (s *Service) write(ctx context.Context, tasks []*task) {
	start := time.Now()
	for {
		err := s.keep(ctx, tasks)
		var refused *refusal
		if errors.As(err, &refused) {
			refused.task.err = bus.Permanent(err)
			continue
		}
		if err != nil {
			for _, t := range tasks {
				if t.err == nil {
					t.err = storeFailure(ctx, err)
				}
			}
			return
		}
		s.metrics.took("write", start)
		return
	}
}

func storeFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if store.Retryable(err) {
		return bus.Unavailable(err)
	}
	return err
}
