package intake

import (
	"encoding/json"
	"errors"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/problem"
	"github.com/throughline-dev/throughline/services/ingestor/internal/signature"
)

// endpoint is where one connection's vendor posts to.
type endpoint struct {
	workspace  string
	connection config.Connection
	verifier   *signature.Verifier
	limit      int64  // bytes of a body
	pace       *limit // of signed deliveries
}

// refusal is why a delivery is not accepted: an answer, and a word for the metric.
type refusal struct {
	status        int
	reason        string
	title, detail string
}

func (in *Intake) webhook(w http.ResponseWriter, r *http.Request) {
	e, ok := in.endpoints[r.PathValue("connection")]
	if !ok {
		in.refuse(w, nil, &refusal{http.StatusNotFound, "unknown connection", "there is no such connection", "the URL ends with the id of a connection of the configuration"})
		return
	}
	switch r.Method {
	case http.MethodPost:
	case http.MethodHead: // Intercom asks before it saves a URL
		w.WriteHeader(http.StatusOK)
		return
	default:
		w.Header().Set("Allow", "POST, HEAD")
		in.refuse(w, e, &refusal{http.StatusMethodNotAllowed, "method", "webhooks are posted", "send a POST request"})
		return
	}
	start := in.now()
	defer func() {
		in.metrics.seconds.WithLabelValues(e.connection.Type).Observe(in.now().Sub(start).Seconds())
	}()
	if len(in.slots) == cap(in.slots) {
		in.turnAway(w, e)
		return
	}
	// No slot is held while a body comes in: slow senders would hold all of them.
	body, no := in.body(w, r, e)
	if no != nil {
		in.refuse(w, e, no)
		return
	}
	select {
	case in.slots <- struct{}{}:
		defer func() { <-in.slots }()
	default:
		in.turnAway(w, e)
		return
	}
	in.receive(w, r, e, body)
}

// turnAway answers a delivery for which there is no room now.
func (in *Intake) turnAway(w http.ResponseWriter, e *endpoint) {
	in.metrics.deliveries.WithLabelValues(e.connection.Type, "failed").Inc()
	busy(w, "too many deliveries are in flight", "send it again")
}

// receive verifies, looks at and stores one delivery, in that order.
func (in *Intake) receive(w http.ResponseWriter, r *http.Request, e *endpoint, body []byte) {
	if err := e.verifier.Verify(r.Header.Get, body); err != nil {
		in.refuse(w, e, &refusal{http.StatusUnauthorized, signatureReason(err), "the signature is not valid", ""})
		return
	}
	// Only what is signed counts: strangers cannot use a vendor's share up.
	if wait := e.pace.take(in.now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		in.refuse(w, e, &refusal{http.StatusTooManyRequests, "rate limited", "more deliveries than the connection may send", "send it again later"})
		return
	}
	l, no := look(e.connection.Type, r.Header, body)
	if no != nil {
		in.refuse(w, e, no)
		return
	}
	kind := e.connection.Type
	if l.answered {
		in.metrics.deliveries.WithLabelValues(kind, "answered").Inc()
		l.answer(w)
		return
	}
	d := event.Delivery{
		ID: deliveryID(e.connection.ID, l.id, body), Connection: e.connection.ID, Kind: kind,
		ReceivedAt: in.now().UTC(), Headers: kept(r.Header), Body: body,
	}
	dup, err := in.accept(r.Context(), e.workspace, d)
	switch {
	case err != nil:
		in.metrics.deliveries.WithLabelValues(kind, "failed").Inc()
		in.health.failed(e.connection.ID, "not durable", in.now())
		in.failed(w, err)
		return
	case dup:
		in.metrics.deliveries.WithLabelValues(kind, "duplicate").Inc()
	default:
		in.metrics.deliveries.WithLabelValues(kind, "accepted").Inc()
	}
	in.health.received(e.connection.ID, in.now())
	w.WriteHeader(http.StatusOK)
}

func (in *Intake) refuse(w http.ResponseWriter, e *endpoint, no *refusal) {
	kind := "unknown"
	if e != nil {
		kind = e.connection.Type
		in.health.failed(e.connection.ID, no.reason, in.now())
		in.log.Debug("delivery refused", "connection", e.connection.ID, "reason", no.reason)
	}
	in.metrics.refused.WithLabelValues(kind, no.reason).Inc()
	in.metrics.deliveries.WithLabelValues(kind, "refused").Inc()
	if no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	problem.Write(w, no.status, no.title, no.detail)
}

// body reads at most the limit, within bodyWithin. What is not plain JSON or a form, or is
// compressed, is refused before a byte of it is read.
func (in *Intake) body(w http.ResponseWriter, r *http.Request, e *endpoint) ([]byte, *refusal) {
	large := &refusal{http.StatusRequestEntityTooLarge, "too large", "the body is too large", ""}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, &refusal{http.StatusUnsupportedMediaType, "media type", "compressed bodies are not taken", ""}
	}
	if !accepts(e.connection.Type, mediaType(r.Header)) {
		return nil, &refusal{http.StatusUnsupportedMediaType, "media type", "the content type is not taken", "configure the webhook to send application/json"}
	}
	if r.ContentLength > e.limit {
		return nil, large
	}
	// A writer without a connection has no deadline, and nobody who is slow.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWithin))
	body, err := in.room.read(http.MaxBytesReader(w, r.Body, e.limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errNoRoom):
		return nil, &refusal{http.StatusServiceUnavailable, "no room", "too much is being sent at once", "send it again"}
	case errors.As(err, &tooLarge):
		return nil, large
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "cut off", "the body could not be read to its end", ""}
	}
	return body, nil
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return h.Get("Content-Type")
	}
	return t
}

// accepts reports whether a kind of connection may send a media type. A missing one is
// taken as JSON.
func accepts(kind, media string) bool {
	switch {
	case media == "", media == "application/json", strings.HasSuffix(media, "+json"):
		return true
	case media == "application/x-www-form-urlencoded":
		return kind == "slack" || kind == "email"
	case media == "text/plain":
		return kind == "zendesk" || kind == "email" // triggers; Amazon SNS
	case media == "multipart/form-data", media == "message/rfc822":
		return kind == "email"
	}
	return false
}

func signatureReason(err error) string {
	switch {
	case errors.Is(err, signature.ErrNoSecret):
		return "no secret"
	case errors.Is(err, signature.ErrStale):
		return "stale signature"
	case errors.Is(err, signature.ErrMissing):
		return "no signature"
	}
	return "bad signature"
}

// keep lists the headers that decoding needs, or that say how a delivery came to be.
var keep = []string{
	"Content-Type", "X-Slack-Retry-Num", "X-Slack-Retry-Reason", "X-GitHub-Event", "X-GitHub-Delivery",
	"Linear-Event", "Linear-Delivery", "X-Atlassian-Webhook-Identifier", "X-Atlassian-Webhook-Retry", "Webhook-Id", "Webhook-Timestamp",
}

func kept(h http.Header) map[string]string {
	out := map[string]string{}
	for _, name := range keep {
		if v := h.Get(name); v != "" && len(v) <= 512 {
			out[strings.ToLower(name)] = strings.ToValidUTF8(v, "")
		}
	}
	return out
}

// answerJSON writes a protocol answer.
func answerJSON(v any) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

func answerNothing(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }
