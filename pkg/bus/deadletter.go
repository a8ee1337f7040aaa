package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

// DeadLetter is an event given up on, kept with its reason, replayable. Body is the
// event as it was, envelope included, and may hold customers' words.
type DeadLetter struct {
	ID        string    `json:"id"`
	Workspace string    `json:"workspace"`
	Durable   string    `json:"durable"`
	Reason    string    `json:"reason"`
	Attempts  int       `json:"attempts"`
	Type      string    `json:"type"`
	Stream    string    `json:"stream"`
	Sequence  uint64    `json:"sequence"`
	Subject   string    `json:"subject"`
	FirstAt   time.Time `json:"first_failure,omitzero"` // of all attempts, those before a retry included
	At        time.Time `json:"at"`                     // the last failure, when it was given up on
	Body      []byte    `json:"body,omitempty"`
}

// Headers of a dead letter; they describe, the body is the original message.
const (
	headerDurable   = "Durable"
	headerReason    = "Reason"
	headerAttempts  = "Attempts"
	headerFirst     = "First-Failure"    // also of an event that was put back
	headerEarlier   = "Earlier-Attempts" // of an event that was put back
	headerStream    = "Original-Stream"
	headerSequence  = "Original-Sequence"
	headerSubject   = "Original-Subject"
	headerType      = "Type"
	headerWorkspace = "Workspace"
)

func (b *Bus) bury(ctx context.Context, durable, stream string, p pending, first time.Time, reason error) error {
	earlier, _ := strconv.Atoi(p.raw.Headers().Get(headerEarlier))
	shard, workspace := "00", "unknown"
	if p.Workspace != "" && ValidWorkspace(p.Workspace) {
		shard, workspace = feedback.ShardToken(p.Workspace), p.Workspace
	}
	m := nats.NewMsg("deadletters." + shard + "." + workspace + "." + durable)
	m.Data = p.raw.Data()
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s:%s:%d", durable, stream, p.Sequence))
	m.Header.Set(headerDurable, durable)
	m.Header.Set(headerReason, reason.Error())
	m.Header.Set(headerAttempts, strconv.Itoa(earlier+p.Attempt))
	m.Header.Set(headerFirst, first.Format(time.RFC3339Nano))
	m.Header.Set(headerStream, stream)
	m.Header.Set(headerSequence, strconv.FormatUint(p.Sequence, 10))
	m.Header.Set(headerSubject, p.Subject)
	m.Header.Set(headerType, string(p.Type))
	m.Header.Set(headerWorkspace, workspace)
	inject(p.Trace.Within(ctx), m.Header)
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return err
	}
	return b.sync.Sync(ctx)
}

// ErrNoDeadLetter is returned for an id that names no dead letter of the workspace.
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetters lists a workspace's dead letters, oldest first, at most limit of them,
// starting after the id `after` ("" for the beginning). Bodies are left out.
func (b *Bus) DeadLetters(ctx context.Context, workspace, after string, limit int) ([]DeadLetter, error) {
	s, err := b.js.Stream(ctx, DeadLetters)
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", Unavailable(err))
	}
	var from uint64
	if after != "" {
		if from, err = strconv.ParseUint(after, 10, 64); err != nil {
			return nil, ErrNoDeadLetter
		}
	}
	filter := Subject("deadletters", workspace) + ".*"
	var out []DeadLetter
	for seq := from + 1; len(out) < limit; {
		m, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letters: %w", Unavailable(err))
		}
		d := letter(m)
		d.Body = nil
		out = append(out, d)
		seq = m.Sequence + 1
	}
	return out, nil
}

// DeadLetter returns one dead letter with its body, or ErrNoDeadLetter.
func (b *Bus) DeadLetter(ctx context.Context, workspace, id string) (DeadLetter, error) {
	seq, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return DeadLetter{}, ErrNoDeadLetter
	}
	s, err := b.js.Stream(ctx, DeadLetters)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("open dead letters: %w", Unavailable(err))
	}
	m, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return DeadLetter{}, ErrNoDeadLetter
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("read dead letter: %w", Unavailable(err))
	}
	d := letter(m)
	if d.Workspace != workspace {
		return DeadLetter{}, ErrNoDeadLetter
	}
	return d, nil
}

// RetryDeadLetter puts the event back on its subject, as a new message, and drops the
// dead letter.
func (b *Bus) RetryDeadLetter(ctx context.Context, workspace, id string) error {
	d, err := b.DeadLetter(ctx, workspace, id)
	if err != nil {
		return err
	}
	m := nats.NewMsg(d.Subject)
	m.Data = d.Body
	m.Header.Set(jetstream.MsgIDHeader, "retry:"+d.ID)
	m.Header.Set("Type", d.Type)
	m.Header.Set(headerEarlier, strconv.Itoa(d.Attempts))
	if !d.FirstAt.IsZero() {
		m.Header.Set(headerFirst, d.FirstAt.Format(time.RFC3339Nano))
	}
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("retry dead letter: %w", Unavailable(err))
	}
	if err := b.sync.Sync(ctx); err != nil {
		return fmt.Errorf("retry dead letter: %w", Unavailable(err))
	}
	return b.DropDeadLetter(ctx, workspace, id)
}

// DropDeadLetter removes a dead letter for good, its body overwritten.
func (b *Bus) DropDeadLetter(ctx context.Context, workspace, id string) error {
	d, err := b.DeadLetter(ctx, workspace, id)
	if err != nil {
		return err
	}
	s, err := b.js.Stream(ctx, DeadLetters)
	if err != nil {
		return fmt.Errorf("open dead letters: %w", Unavailable(err))
	}
	seq, _ := strconv.ParseUint(d.ID, 10, 64)
	if err := s.SecureDeleteMsg(ctx, seq); err != nil {
		return fmt.Errorf("drop dead letter: %w", Unavailable(err))
	}
	return nil
}

// BuriedSequence reads, from a message of the dead letters stream, the stream sequence of
// the event that was given up on.
func BuriedSequence(m jetstream.Msg) (uint64, bool) {
	n, err := strconv.ParseUint(m.Headers().Get(headerSequence), 10, 64)
	return n, err == nil
}

func letter(m *jetstream.RawStreamMsg) DeadLetter {
	attempts, _ := strconv.Atoi(m.Header.Get(headerAttempts))
	seq, _ := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	first, _ := time.Parse(time.RFC3339Nano, m.Header.Get(headerFirst)) // older ones have none
	return DeadLetter{
		ID: strconv.FormatUint(m.Sequence, 10), Workspace: m.Header.Get(headerWorkspace),
		Durable: m.Header.Get(headerDurable), Reason: m.Header.Get(headerReason), Attempts: attempts,
		Type: m.Header.Get(headerType), Stream: m.Header.Get(headerStream), Sequence: seq,
		Subject: m.Header.Get(headerSubject), FirstAt: first, At: m.Time, Body: m.Data,
	}
}

// Envelope reads the event that was given up on; it fails where that was the reason.
func (d DeadLetter) Envelope() (event.Envelope, error) { return event.Decode(d.Body) }
