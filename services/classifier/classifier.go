// Package classifier is the service that turns feedback items into signals: it reads what the
// ingestor decoded, splits each item into spans that each ask for one thing or tell of one
// problem, judges what they are, embeds them, keeps them in ClickHouse and publishes one
// result per event.
//
// It promises exactly one item.classified event for every event of the items stream that it
// does not give up on, under an id that depends on that event's stream sequence alone; quotes
// that are verbatim substrings of the item's text at their spans; signals that keep their id
// for as long as an edit leaves their words alone; and rows that come out the same whatever
// is delivered twice, out of order, or to another classifier. Personal data of known
// structure never reaches a model (package mask). Without a chat model, or when it fails,
// spans and kinds come from heads that ship with the service.
//
// It refuses events whose payload cannot be read, at once and for good: a gap in the results
// holds up the clusterer. No text of a customer's is ever logged or part of an error.
package classifier

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/store"
	"github.com/throughline-dev/throughline/services/classifier/internal/chat"
	"github.com/throughline-dev/throughline/services/classifier/internal/judge"
)

// Config is what an operator sets.
type Config struct {
	// Workspaces are whose events are read; none means everybody's. An event of another
	// workspace becomes a dead letter, to be retried once that workspace is configured.
	Workspaces []string
	// Chat is the model that extracts, where its provider is "openai"; otherwise the heads
	// that ship with the service do.
	Chat config.Chat
	// RereadEvery is how often items that the chat model could not read are looked for; 0
	// means every minute.
	RereadEvery time.Duration
}

// Deps is what the classifier works with. All of it is required but Now.
type Deps struct {
	Bus        *bus.Bus
	Store      *store.DB
	Embedder   embed.Embedder
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // the clock; nil means time.Now
}

// Service is a classifier. Several may share the work of one event log.
type Service struct {
	bus     *bus.Bus
	store   *store.DB
	log     *slog.Logger
	now     func() time.Time
	reader  *reader
	metrics *metrics

	corrections *corrections
	workspaces  []string
	rereadEvery time.Duration
}

// batchSize is how many events are worked on at once: their spans are embedded in one call
// and their rows written in one insert.
const batchSize = 64

// New prepares a classifier; it starts nothing. It fails where something required is missing
// or the chat model's settings cannot work.
func New(c Config, d Deps) (*Service, error) {
	if d.Bus == nil || d.Store == nil || d.Embedder == nil || d.Logger == nil || d.Registerer == nil {
		return nil, errors.New("new classifier: Bus, Store, Embedder, Logger and Registerer are required")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	m, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, err
	}
	j, err := judge.Shipped()
	if err != nil {
		return nil, err
	}
	r := &reader{judge: j, embedder: d.Embedder, metrics: m, askBelow: c.Chat.AskBelow}
	if c.Chat.Provider == "openai" {
		r.chat, err = chat.New(chat.Options{
			BaseURL: c.Chat.BaseURL, Model: c.Chat.Model, APIKey: c.Chat.APIKey.Value(), Timeout: c.Chat.Timeout, Now: d.Now,
			Attempts: c.Chat.Attempts, Concurrency: c.Chat.Concurrency, PerMinute: c.Chat.PerMinute,
			Budget: chat.Budget{PerDay: c.Chat.BudgetPerDay, PromptPrice: c.Chat.PromptPrice, CompletionPrice: c.Chat.CompletionPrice},
		})
		if err != nil {
			return nil, err
		}
	}
	if space := d.Embedder.Space().ID(); space != j.Space() {
		d.Logger.Info("kinds and sentiment are judged by words alone: the heads know another embedding space", "space", space, "heads", j.Space())
	}
	own := &corrections{store: d.Store, space: d.Embedder.Space().ID(), now: d.Now, heads: map[string]learnt{}}
	r.own = own.head
	return &Service{
		bus: d.Bus, store: d.Store, log: d.Logger, now: d.Now, reader: r, metrics: m,
		corrections: own, workspaces: c.Workspaces, rereadEvery: cmp.Or(c.RereadEvery, time.Minute),
	}, nil
}

// Run classifies until ctx ends. It leaves what it has not settled to be delivered again, to
// this process or another.
func (s *Service) Run(ctx context.Context) error {
	if s.reader.chat != nil {
		ctx, cancel := context.WithCancel(ctx)
		var rereading sync.WaitGroup
		defer rereading.Wait()
		defer cancel()
		rereading.Go(func() { s.reread(ctx) })
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		return s.bus.Consume(ctx, bus.Consumer{Durable: bus.Classifier, Stream: bus.Items, Batch: batchSize, Attempts: 3}, s.handle)
	})
	work.Go(func() error {
		return s.bus.Consume(ctx, bus.Consumer{
			Durable: bus.ClassifierDecisions, Stream: bus.Signals, Filters: []string{"decisions.>"},
		}, bus.Each(s.obey))
	})
	return work.Wait()
}

// Register adds nothing: the classifier is spoken to over the bus.
func (s *Service) Register(*http.ServeMux) {}
