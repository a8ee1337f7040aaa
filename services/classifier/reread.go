package classifier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
)

// What the chat model was to read and could not is read again once it answers: the event is
// published once more, as the classifier's own, and so takes its place in the order of the
// items like any edit. An event is read again a few times at most, so that a text which no
// model can answer is not paid for every day.

const (
	// mostReadings is how many times an item is read again.
	mostReadings = 4
	// rereadAtOnce is how many items a round takes.
	rereadAtOnce = 50
)

// correctedID names an event that is read again because a decision corrects it.
func correctedID(decision string) string { return "corrected:" + decision }

// rereadID names an event that is read again for the n-th time, for the event of a sequence.
func rereadID(n int, sequence uint64) string { return fmt.Sprintf("reread:%d:%d", n, sequence) }

// readings is how many times the event of an id was read again; 0 for one of the ingestor's.
func readings(id string) int {
	var n int
	var sequence uint64
	if _, err := fmt.Sscanf(id, "reread:%d:%d", &n, &sequence); err != nil {
		return 0
	}
	return n
}

// again reports whether a message is one that is read again.
func again(m bus.Message) bool { return strings.HasPrefix(m.ID, "reread:") || corrected(m) }

// corrected reports whether a message is one that is read again for a person's correction.
func corrected(m bus.Message) bool { return strings.HasPrefix(m.ID, "corrected:") }

// reread looks every so often, until ctx ends, for what the chat model could do better now.
func (s *Service) reread(ctx context.Context) {
	tick := time.NewTicker(s.rereadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.reader.chat.Well() {
			continue
		}
		if n, err := s.rereadOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("read items again", "published", n, "error", err)
		}
	}
}

// rereading is an item as it was read at a sequence, to be read again under the id that id
// gives for its event of then; id fails with errOutdated where it shall not be.
type rereading struct {
	workspace, item string
	sequence        uint64
	id              func(event.Envelope) (string, error)
}

// nextReading names the next time that the chat model reads an event of a sequence.
func nextReading(sequence uint64) func(event.Envelope) (string, error) {
	return func(old event.Envelope) (string, error) {
		n := readings(old.ID) + 1
		if n > mostReadings {
			return "", errOutdated
		}
		return rereadID(n, sequence), nil
	}
}

// rereadOnce publishes some of the items that wait, the newest first, and returns how many.
func (s *Service) rereadOnce(ctx context.Context) (int, error) {
	waiting, err := s.wanting(ctx)
	if err != nil {
		return 0, err
	}
	published := 0
	for _, w := range waiting {
		switch err := s.publishAgain(ctx, w); {
		case err == nil:
			published++
			s.metrics.rereads.Inc()
		case errors.Is(err, bus.ErrFenced), errors.Is(err, errOutdated):
			// Its workspace moved on meanwhile, or the item did: the next round sees.
		default:
			return published, err
		}
	}
	return published, nil
}

func (s *Service) wanting(ctx context.Context) ([]rereading, error) {
	rows, err := s.store.Conn().Query(ctx, `
		SELECT workspace, item, version FROM readings FINAL
		WHERE wanting = 1 AND (empty(?) OR workspace IN ?) ORDER BY version DESC LIMIT ?`, s.workspaces, append([]string{""}, s.workspaces...), rereadAtOnce)
	if err != nil {
		return nil, fmt.Errorf("find items to read again: %w", err)
	}
	defer rows.Close()
	var out []rereading
	for rows.Next() {
		var w rereading
		if err := rows.Scan(&w.workspace, &w.item, &w.sequence); err != nil {
			return nil, fmt.Errorf("find items to read again: %w", err)
		}
		w.id = nextReading(w.sequence)
		out = append(out, w)
	}
	return out, rows.Err()
}

// errOutdated says that an item has changed, or is gone, since it was read.
var errOutdated = errors.New("read again: the item has changed")

// publishAgain publishes an item's event once more, unless a newer one of the item is on its
// way: the ingestor writes an item's row before it publishes the event, so a row that is
// still the same after the end of the subject was looked up has no newer event before it,
// and the fence refuses one after.
func (s *Service) publishAgain(ctx context.Context, w rereading) error {
	subject := bus.Subject("items", w.workspace)
	last, err := s.bus.LastSequence(ctx, bus.Items, subject)
	if err != nil {
		return err
	}
	stream, err := s.bus.JetStream().Stream(ctx, bus.Items)
	if err != nil {
		return fmt.Errorf("read again: %w", bus.Unavailable(err))
	}
	raw, err := stream.GetMsg(ctx, w.sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return errOutdated // older than the stream remembers
	}
	if err != nil {
		return fmt.Errorf("read again: %w", bus.Unavailable(err))
	}
	old, err := event.Decode(raw.Data)
	if err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	p, err := event.Payload[event.Item](old)
	if err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	id, err := w.id(old)
	if err != nil {
		return err
	}
	var current uint64
	if err := s.store.Conn().QueryRow(ctx, `SELECT max(revision) FROM items FINAL WHERE workspace = ? AND id = ? AND deleted = 0`, w.workspace, w.item).Scan(&current); err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	if p.Item.ID != w.item || current != uint64(p.Item.Revision) {
		return errOutdated
	}
	p.Origin.AcceptedAt = s.now()
	e, err := event.New(old.Type, "classifier", w.workspace, p.Item.ID, id, s.now(), p)
	if err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	_, err = s.bus.PublishFenced(ctx, subject, e, last)
	return err
}
