// Package intake is the HTTP edge: vendors' webhooks and the writing half of /v1. It
// answers 2xx only when a delivery is durable, and does nothing with it but that; what it
// means is found out later, so that a mistake there is repaired by a replay.
//
// It refuses bad input with a 4xx problem document that repeats nothing of the request,
// stores nothing of it, and counts it by reason. It never answers a bad request with 5xx.
// When it cannot store, or too much is in flight, it answers 503 with Retry-After.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/problem"
)

// Appender stores a message and returns when it is durable; bus.Committer is one. A
// message id that is known already may be stored again or not: it saves work, no more.
type Appender interface {
	Append(ctx context.Context, m *nats.Msg, msgID string) (seq uint64, dup bool, err error)
}

// acceptTimeout bounds how long a request waits to be durable. Slack waits 3 s, Intercom
// and Linear 5 s.
const acceptTimeout = 2500 * time.Millisecond

// accept makes a delivery durable.
func (in *Intake) accept(ctx context.Context, workspace string, d event.Delivery) (dup bool, err error) {
	e, err := event.New(event.DeliveryAccepted, "ingestor", workspace, d.ID, d.ID, d.ReceivedAt, d)
	if err != nil {
		return false, err
	}
	body, err := event.Encode(e)
	if err != nil {
		return false, err
	}
	m := nats.NewMsg(bus.Subject("deliveries", workspace, d.Connection))
	m.Data = body
	m.Header.Set("Type", string(e.Type))
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	_, dup, err = in.appender.Append(ctx, m, d.ID)
	return dup, err
}

// deliveryID identifies a delivery. The vendor's own id is not enough: it may be used
// again for something else, and only the same bytes are the same delivery.
func deliveryID(connection, vendorID string, body []byte) string {
	sum := sha256.Sum256(body)
	return feedback.ID("dlv", connection, vendorID, hex.EncodeToString(sum[:]))
}

// requestID identifies a delivery of our own API. Two requests are two deliveries, since
// a later one may undo what came between.
func requestID(kind string, body []byte, at time.Time, part int) string {
	sum := sha256.Sum256(body)
	return feedback.ID("dlv", "api", kind, hex.EncodeToString(sum[:]), strconv.FormatInt(at.UnixNano(), 10), strconv.Itoa(part))
}

// failed answers a delivery that could not be made durable.
func (in *Intake) failed(w http.ResponseWriter, err error) (status int) {
	var api *jetstream.APIError
	tooLarge := errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && api.ErrorCode == 10054
	if tooLarge {
		problem.Write(w, http.StatusRequestEntityTooLarge, "the body is too large", "the event log takes no message of this size")
		return http.StatusRequestEntityTooLarge
	}
	in.log.Warn("delivery not durable; the sender was asked to try again", "error", err)
	busy(w, "the delivery could not be stored", "nothing was kept; send it again")
	return http.StatusServiceUnavailable
}

func busy(w http.ResponseWriter, title, detail string) {
	w.Header().Set("Retry-After", "2")
	problem.Write(w, http.StatusServiceUnavailable, title, detail)
}
