package embed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sashabaranov/go-openai"

	"github.com/throughline-dev/throughline/pkg/embed/internal/lexical"
	"github.com/throughline-dev/throughline/pkg/tracing"
)

// OpenAIOptions say where an OpenAI-compatible provider is, and how to ask it.
// Model and Dimensions are required; every other zero value has a default.
type OpenAIOptions struct {
	// BaseURL is the address up to and including the version: "https://host/v1".
	// Empty means OpenAI's own.
	BaseURL string
	// APIKey is sent as a bearer token. It appears in no error.
	APIKey string
	// Model is the provider's name for the model.
	Model string
	// Provider names who answers, and is part of the space: the same model name
	// at two providers need not be the same model. Empty means BaseURL.
	Provider string
	// Dimensions is the length of the vectors to expect; any other length is an
	// error. DiscoverDimensions finds it where it is not known.
	Dimensions int
	// Shorten asks the provider to cut its vectors to Dimensions. Not every
	// provider and model can.
	Shorten bool

	// BatchSize is the most texts in one request; zero means 128.
	BatchSize int
	// Retries is how often a request is sent again after a failure that may pass
	// (no connection, 408, 429, 5xx); zero means 4, negative none.
	Retries int
	// LongestWait is the longest pause before a retry; zero means 30 seconds. A
	// provider that asks for more gets no retry: see ProviderError.
	LongestWait time.Duration
	// Client sends the requests. Nil means one with a timeout of a minute.
	Client *http.Client
	// Now and Wait are the clock. Nil means the real one. Wait returns the
	// context's error if that ends first.
	Now  func() time.Time
	Wait func(context.Context, time.Duration) error
}

// ProviderError says that the provider refused, or failed after every retry. It
// holds nothing of what was sent or answered.
type ProviderError struct {
	// Status is the HTTP status, or zero where no answer came.
	Status int
	// RetryAfter is how long the provider asked to be left alone, or zero.
	RetryAfter time.Duration
	// Cause is the failure of the connection, where no answer came.
	Cause error
}

func (e *ProviderError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("no answer from the embedding provider: %v", e.Cause)
	}
	return fmt.Sprintf("embedding provider answered %d %s", e.Status, http.StatusText(e.Status))
}

func (e *ProviderError) Unwrap() error { return e.Cause }

// Temporary reports whether the same request may succeed later.
func (e *ProviderError) Temporary() bool { return e.Status == 0 || retryable(e.Status) }

// How much goes into one request and comes out of one answer. Providers count
// tokens, of which a text has at most one per byte: 256 KiB stays below OpenAI's
// 300,000 for a request, 8,000 bytes below its 8,192 for a text.
const (
	providerTextBytes    = 8000
	providerRequestBytes = 256 << 10
	providerAnswerBytes  = 64 << 20
)

// NewOpenAI returns an embedder that asks an OpenAI-compatible provider. Texts
// are sent as they are, but for control characters and what lies beyond 8,000
// bytes; text that says nothing is never sent and has an axis to itself.
//
// The same text gives the same vector only as far as the provider keeps to
// that: put Cached before it, and record what a replay must repeat.
func NewOpenAI(o OpenAIOptions) (Embedder, error) {
	if o.Dimensions <= 0 {
		return nil, errors.New("configure embedding provider: dimensions must be set to the length of the model's vectors")
	}
	return newProvider(o)
}

// DiscoverDimensions asks the provider for one vector, and returns its length.
func DiscoverDimensions(ctx context.Context, o OpenAIOptions) (int, error) {
	o.Shorten = false
	p, err := newProvider(o)
	if err != nil {
		return 0, err
	}
	answer, err := p.ask(ctx, []string{"how long is a vector?"})
	if err != nil {
		return 0, fmt.Errorf("discover embedding dimensions: %w", err)
	}
	if len(answer) != 1 || len(answer[0].Embedding) == 0 {
		return 0, errors.New("discover embedding dimensions: the provider answered without a vector")
	}
	return len(answer[0].Embedding), nil
}

type provider struct {
	options OpenAIOptions
	client  *openai.Client
}

func newProvider(o OpenAIOptions) (*provider, error) {
	if o.Model == "" {
		return nil, errors.New("configure embedding provider: model is empty")
	}
	config := openai.DefaultConfig(o.APIKey)
	if o.BaseURL != "" {
		config.BaseURL = strings.TrimRight(o.BaseURL, "/")
	}
	if u, err := url.Parse(config.BaseURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("configure embedding provider: base URL must be http(s)://host/path")
	}
	if o.Provider == "" {
		o.Provider = config.BaseURL
	}
	if o.BatchSize <= 0 {
		o.BatchSize = 128
	}
	if o.Retries == 0 {
		o.Retries = 4
	}
	if o.LongestWait <= 0 {
		o.LongestWait = 30 * time.Second
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: time.Minute, Transport: tracing.Transport(nil)}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	config.HTTPClient = patient{o}
	return &provider{options: o, client: openai.NewClientWithConfig(config)}, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (p *provider) Space() Space {
	o := p.options
	return Space{
		Model:      o.Model,
		Version:    version("provider-1", o.Provider, o.Model, strconv.Itoa(o.Dimensions), strconv.FormatBool(o.Shorten)),
		Dimensions: o.Dimensions,
	}
}

func (p *provider) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([][]float32, len(texts))
	var batch []string
	var places []int
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		vectors, err := p.embedBatch(ctx, batch)
		if err != nil {
			return fmt.Errorf("embed through provider: %w", err)
		}
		for i, at := range places {
			out[at] = vectors[i]
		}
		batch, places, size = nil, nil, 0
		return nil
	}
	for i, text := range texts {
		text = sendable(text)
		if text == "" {
			out[i] = make([]float32, p.options.Dimensions)
			out[i][p.options.Dimensions-1] = 1
			continue
		}
		if len(batch) == p.options.BatchSize || size+len(text) > providerRequestBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		batch, places, size = append(batch, text), append(places, i), size+len(text)
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return out, nil
}

// sendable makes text fit for a JSON request: valid, without control
// characters, trimmed, and short enough.
func sendable(text string) string {
	text = strings.ToValidUTF8(head(text, providerTextBytes), " ")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}

// embedBatch asks for the vectors of texts and checks what comes back: one for
// each, every one of the right length and of a direction.
func (p *provider) embedBatch(ctx context.Context, texts []string) ([][]float32, error) {
	answer, err := p.ask(ctx, texts)
	if err != nil {
		return nil, err
	}
	if len(answer) != len(texts) {
		return nil, fmt.Errorf("the provider answered %d vectors for %d texts", len(answer), len(texts))
	}
	out := make([][]float32, len(texts))
	for _, e := range answer {
		if e.Index < 0 || e.Index >= len(texts) || out[e.Index] != nil {
			return nil, fmt.Errorf("the provider answered twice, or out of range, for text %d of %d", e.Index, len(texts))
		}
		if len(e.Embedding) != p.options.Dimensions {
			return nil, fmt.Errorf("the provider's vectors have %d dimensions, configured are %d", len(e.Embedding), p.options.Dimensions)
		}
		if !lexical.Unit(e.Embedding) {
			return nil, errors.New("the provider answered a vector without direction")
		}
		out[e.Index] = e.Embedding
	}
	return out, nil
}

// ask sends one request. What a provider says about a failure may quote the
// customer, so only its status is passed on.
func (p *provider) ask(ctx context.Context, texts []string) ([]openai.Embedding, error) {
	request := openai.EmbeddingRequest{Input: texts, Model: openai.EmbeddingModel(p.options.Model)}
	if p.options.Shorten {
		request.Dimensions = p.options.Dimensions
	}
	response, err := p.client.CreateEmbeddings(ctx, request)
	var refused *ProviderError
	switch {
	case err == nil:
		return response.Data, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &refused):
		return nil, refused
	default:
		return nil, errors.New("the provider's answer could not be decoded")
	}
}

// patient sends a request again after failures that may pass, as long as the
// provider asks or else 0.5, 1, 2… seconds later. It turns every answer but
// success into a ProviderError.
type patient struct{ options OpenAIOptions }

func (p patient) Do(request *http.Request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		response, failure := p.once(request)
		if failure == nil {
			return response, nil
		}
		pause := min(500*time.Millisecond<<min(attempt, 10), p.options.LongestWait)
		if failure.RetryAfter > 0 {
			pause = failure.RetryAfter
		}
		if !failure.Temporary() || attempt >= p.options.Retries || pause > p.options.LongestWait || request.Context().Err() != nil {
			return nil, failure
		}
		if err := p.options.Wait(request.Context(), pause); err != nil {
			return nil, err
		}
		body, err := request.GetBody()
		if err != nil {
			return nil, fmt.Errorf("send again: %w", err)
		}
		request.Body = body
	}
}

func (p patient) once(request *http.Request) (*http.Response, *ProviderError) {
	response, err := p.options.Client.Do(request)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // without the address, which may carry a secret
		}
		return nil, &ProviderError{Cause: err}
	}
	if response.StatusCode == http.StatusOK {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, providerAnswerBytes), response.Body}
		return response, nil
	}
	// Read a little of the answer so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	_ = response.Body.Close()
	return nil, &ProviderError{
		Status:     response.StatusCode,
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), p.options.Now()),
	}
}

func retryable(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// retryAfter reads the header of that name (RFC 9110, 10.2.3): seconds or a
// date. Anything else, and what has passed, is zero.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), 24*60*60)) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}
