// Package chat has a chat model behind an OpenAI-compatible endpoint find the signals of a
// text, and believes nothing it answers: every quote is looked up in the text and dropped
// where it is not there word for word, every kind and number is checked, an answer that was
// cut off is used as far as it goes.
//
// The text is sent masked (package mask) and fenced as data by a delimiter that its writer
// cannot know. What comes back are spans of the original text. It promises spans that are in
// order, do not overlap and cut through no character; that a call ends within its timeout,
// and is made again, later and later, where that may help; that no more calls are made at
// once, in a minute or for a day's money than is set; that the same text is paid for once;
// that an endpoint which keeps failing is left alone for a while; and errors that hold
// neither the text, the answer nor the key.
package chat

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sashabaranov/go-openai"
	"golang.org/x/time/rate"

	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/pkg/mask"
	"github.com/throughline-dev/throughline/pkg/tracing"
)

// Options say where the model is and what it may cost. Model is required.
type Options struct {
	BaseURL string           // up to and including the version; empty means OpenAI's own
	Model   string           // the provider's name of the model
	APIKey  string           // sent as a bearer token
	Timeout time.Duration    // of one call; 0 means 30 s
	Client  *http.Client     // nil means one of its own
	Now     func() time.Time // the clock; nil means time.Now

	Attempts    int                                              // calls for one text, the first included; 0 means 3
	Pause       func(ctx context.Context, d time.Duration) error // waits between them; nil means a timer
	Concurrency int                                              // calls at once; 0 means 8
	PerMinute   int                                              // calls begun in a minute; 0 means no limit
	Budget      Budget
	Remembered  int // answers kept so as not to ask again; 0 means 4096
}

// Finding is a signal that the model found, with its place in the original text.
type Finding struct {
	feedback.Span
	Kind       feedback.Kind
	Sentiment  float64
	Severity   float64
	Confidence float64
	Area       string
}

// Usage is what the provider says its calls used, in its tokens (where it does not say: what
// was sent and read, by our count), and what that cost.
type Usage struct {
	Prompt, Completion int
	Cost               float64
}

// Answer is what a call gave. Dropped counts what the model answered and could not be kept:
// quotes that are not in the text, kinds that are none of ours, repeats.
type Answer struct {
	Findings []Finding
	Dropped  int
	Usage    Usage
	Repeats  int  // calls after the first
	Recalled bool // given from memory: nobody was called
}

// Failure is why a call gave no answer: one word for a metric, and the HTTP status, 0 where
// none came.
type Failure struct {
	Outcome string // limited, unavailable, timeout, invalid, refused, open or budget
	Status  int
}

func (f *Failure) Error() string {
	if f.Status != 0 {
		return fmt.Sprintf("ask chat model: %s (status %d)", f.Outcome, f.Status)
	}
	return "ask chat model: " + f.Outcome
}

// Outcome is the word for an error of Extract: ok for none.
func Outcome(err error) string {
	var f *Failure
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &f):
		return f.Outcome
	}
	return "unavailable"
}

// Client asks one model. It is safe for concurrent use.
type Client struct {
	api      *openai.Client
	model    string
	timeout  time.Duration
	attempts int
	pause    func(context.Context, time.Duration) error
	slots    chan struct{}
	rate     *rate.Limiter
	breaker  breaker
	purse    purse
	memory   *memory
}

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 1 << 20

// New prepares a client; it calls nobody.
func New(o Options) (*Client, error) {
	if o.Model == "" {
		return nil, errors.New("configure chat model: model is required")
	}
	c := openai.DefaultConfig(o.APIKey)
	if o.BaseURL != "" {
		u, err := url.Parse(o.BaseURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("configure chat model: base_url is not an http address")
		}
		c.BaseURL = strings.TrimRight(o.BaseURL, "/")
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: tracing.Transport(nil)}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Attempts <= 0 {
		o.Attempts = 3
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.Remembered <= 0 {
		o.Remembered = 4096
	}
	if o.Pause == nil {
		o.Pause = pause
	}
	limit := rate.Inf
	if o.PerMinute > 0 {
		limit = rate.Limit(float64(o.PerMinute) / 60)
	}
	if err := o.Budget.check(); err != nil {
		return nil, err
	}
	c.HTTPClient = bounded{o.Client}
	return &Client{
		api: openai.NewClientWithConfig(c), model: o.Model, timeout: o.Timeout, attempts: o.Attempts, pause: o.Pause,
		slots: make(chan struct{}, o.Concurrency), rate: rate.NewLimiter(limit, o.Concurrency),
		breaker: breaker{now: o.Now}, purse: purse{budget: o.Budget, now: o.Now}, memory: newMemory(o.Remembered),
	}, nil
}

// bounded reads no more of an answer than maxAnswer.
type bounded struct{ client *http.Client }

func (b bounded) Do(r *http.Request) (*http.Response, error) {
	response, err := b.client.Do(r)
	if err == nil {
		if told, ok := r.Context().Value(waitKey{}).(*time.Duration); ok {
			seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
			*told = time.Duration(seconds) * time.Second
		}
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxAnswer), response.Body}
	}
	return response, err
}

// maxText is how many bytes of a text are sent.
const maxText = 24 << 10

// Extract asks the model for the signals of text, on behalf of a workspace, whose answers
// serve no other. The error is a *Failure, or the context's; the answer's usage counts then
// too.
func (c *Client) Extract(ctx context.Context, workspace, text string) (Answer, error) {
	masked := mask.Mask(text)
	request := c.request(masked.Text)
	key := keyOf(workspace, PromptVersion, c.model, masked.Text)
	if rows, ok := c.memory.recall(key); ok {
		answer := check(text, masked, rows)
		answer.Recalled = true
		return answer, nil
	}
	var spent Usage
	for attempt := 1; ; attempt++ {
		rows, used, wait, err := c.ask(ctx, request)
		spent.Prompt, spent.Completion, spent.Cost = spent.Prompt+used.Prompt, spent.Completion+used.Completion, spent.Cost+used.Cost
		if err == nil {
			c.memory.keep(key, rows)
			answer := check(text, masked, rows)
			answer.Usage, answer.Repeats = spent, attempt-1
			return answer, nil
		}
		failed := Answer{Usage: spent, Repeats: attempt - 1}
		var f *Failure
		if !errors.As(err, &f) || !f.passes() || attempt == c.attempts {
			return failed, err
		}
		if err := c.pause(ctx, backOff(attempt, wait)); err != nil {
			return failed, err
		}
	}
}

// ask makes one call. wait is how long the endpoint asks to be left alone.
func (c *Client) ask(ctx context.Context, request openai.ChatCompletionRequest) (rows []row, used Usage, wait time.Duration, err error) {
	if !c.breaker.allow() {
		return nil, used, 0, &Failure{Outcome: "open"}
	}
	reserved, ok := c.purse.reserve(sizeOf(request), maxCompletion)
	if !ok {
		return nil, used, 0, &Failure{Outcome: "budget"}
	}
	defer func() { used.Cost = c.purse.settle(reserved, used) }()
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, used, 0, ctx.Err()
	}
	defer func() { <-c.slots }()
	if err := c.rate.Wait(ctx); err != nil {
		return nil, used, 0, cmp.Or(ctx.Err(), error(&Failure{Outcome: "limited"}))
	}
	call, cancel := context.WithTimeout(context.WithValue(ctx, waitKey{}, &wait), c.timeout)
	defer cancel()
	response, err := c.api.CreateChatCompletion(call, request)
	if ctx.Err() != nil {
		return nil, used, wait, ctx.Err()
	}
	if err != nil {
		f := failure(call, err)
		if f.Outcome == "invalid" || f.Outcome == "timeout" {
			used.Prompt = sizeOf(request) // it was worked on, and will be on the bill
		}
		c.breaker.failed(f.Outcome != "refused")
		return nil, used, wait, f
	}
	used = Usage{Prompt: response.Usage.PromptTokens, Completion: response.Usage.CompletionTokens}
	content := ""
	if len(response.Choices) > 0 {
		content = response.Choices[0].Message.Content
	}
	if used.Prompt == 0 {
		used = Usage{Prompt: sizeOf(request), Completion: feedback.Tokens(content)}
	}
	if len(response.Choices) == 0 || response.Choices[0].Message.Refusal != "" {
		c.breaker.failed(false)
		return nil, used, wait, &Failure{Outcome: "invalid"}
	}
	rows, ok = parse(content)
	if !ok {
		c.breaker.failed(false)
		return nil, used, wait, &Failure{Outcome: "invalid"}
	}
	c.breaker.worked()
	return rows, used, wait, nil
}

// Well reports whether a call made now may have an answer: the endpoint is not left alone,
// and today's money is not spent.
func (c *Client) Well() bool { return c.breaker.closed() && c.purse.any() }

// sizeOf counts the tokens of a request.
func sizeOf(request openai.ChatCompletionRequest) int {
	n := 0
	for _, m := range request.Messages {
		n += feedback.Tokens(m.Content)
	}
	return n
}

// PromptVersion changes with the prompt or the schema.
const PromptVersion = "signals-2"

//go:embed prompt.txt
var prompt string

//go:embed schema.json
var schema json.RawMessage

func (c *Client) request(text string) openai.ChatCompletionRequest {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	// The writer of a text would have to write its own hash into it to close this fence.
	sum := sha256.Sum256([]byte(text))
	mark := "customer-" + hex.EncodeToString(sum[:8])
	return openai.ChatCompletionRequest{
		Model: c.model,
		Messages: []openai.ChatCompletionMessage{
			{Role: openai.ChatMessageRoleSystem, Content: strings.ReplaceAll(prompt, "{{mark}}", mark)},
			{Role: openai.ChatMessageRoleUser, Content: "<" + mark + ">\n" + text + "\n</" + mark + ">"},
		},
		Temperature: 0,
		//lint:ignore SA1019 servers that only speak OpenAI's protocol know this name, few know the new one
		MaxTokens: maxCompletion,
		ResponseFormat: &openai.ChatCompletionResponseFormat{
			Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "signals", Strict: true, Schema: schema},
		},
	}
}

func failure(call context.Context, err error) *Failure {
	status := 0
	var api *openai.APIError
	var request *openai.RequestError
	switch {
	case errors.As(err, &api):
		status = api.HTTPStatusCode
	case errors.As(err, &request):
		status = request.HTTPStatusCode
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case call.Err() != nil:
		return &Failure{Outcome: "timeout"}
	case status == http.StatusTooManyRequests:
		return &Failure{"limited", status}
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return &Failure{"refused", status}
	case status == 0 && (errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return &Failure{Outcome: "invalid"}
	}
	return &Failure{"unavailable", status}
}

// row is one element of the model's answer.
type row struct {
	Quote      string  `json:"quote"`
	Kind       string  `json:"kind"`
	Sentiment  float64 `json:"sentiment"`
	Severity   float64 `json:"severity"`
	Confidence float64 `json:"confidence"`
	Area       string  `json:"area"`
}

// parse reads an answer. One that was cut off gives the rows that were complete; one that has
// something around the JSON is read from its first brace. ok is false where it is not an
// answer at all.
func parse(content string) (rows []row, ok bool) {
	start := strings.IndexByte(content, '{')
	if start < 0 {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(content[start:]))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		if name != "signals" {
			var skip json.RawMessage
			if d.Decode(&skip) != nil {
				return nil, false
			}
			continue
		}
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return nil, false
		}
		for d.More() {
			var element json.RawMessage
			if err := d.Decode(&element); err != nil {
				return rows, len(rows) > 0
			}
			var r row
			if json.Unmarshal(element, &r) != nil {
				r = row{} // counted as dropped: it has no quote
			}
			rows = append(rows, r)
		}
		if _, err := d.Token(); err != nil {
			return rows, len(rows) > 0
		}
		return rows, true
	}
	return nil, false
}

// maxArea is the longest product area taken from a model.
const maxArea = 40

// check keeps the rows whose quote is in the text and whose kind is ours.
func check(text string, masked mask.Masked, rows []row) Answer {
	var a Answer
	folded := fold(masked.Text)
	from := 0
	for _, r := range rows {
		kind := feedback.Kind(strings.ToLower(strings.TrimSpace(r.Kind)))
		span, ok := folded.locate(r.Quote, from)
		if !ok {
			span, ok = folded.locate(r.Quote, 0)
		}
		if !ok || !slices.Contains(feedback.Kinds, kind) || kind == feedback.Other {
			a.Dropped++
			continue
		}
		from = span.End
		original := masked.Original(span)
		a.Findings = append(a.Findings, Finding{
			Span: original, Kind: kind, Sentiment: clamp(r.Sentiment, -1), Severity: clamp(r.Severity, 0), Confidence: clamp(r.Confidence, 0),
			Area: areaOf(r.Area, folded),
		})
	}
	slices.SortStableFunc(a.Findings, func(x, y Finding) int { return x.Start - y.Start })
	end := 0
	a.Findings = slices.DeleteFunc(a.Findings, func(f Finding) bool {
		if f.Start < end || f.End <= f.Start || f.End > len(text) {
			a.Dropped++
			return true
		}
		end = f.End
		return false
	})
	return a
}

func clamp(v, low float64) float64 {
	if !(v >= low) { // NaN too
		return low
	}
	return min(v, 1)
}

// areaOf takes a product area as a short lower-case label, or none. It is the one word of
// its own that a model may write, so every word of it is one that the customer used or one
// of common: a model that was talked into it cannot put an order or another customer's name
// there.
func areaOf(s string, text folded) string {
	words := strings.Fields(strings.ToLower(s))
	said := strings.FieldsFunc(text.text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, w := range words {
		if !slices.Contains(said, w) && !slices.Contains(common, w) {
			return ""
		}
	}
	if s = strings.Join(words, " "); len(s) > maxArea {
		return ""
	}
	return s
}

// common are the parts that products have.
var common = strings.Fields(`account accounts admin analytics android api app apps attachments audio audit authentication
backup billing browser calendar charts chat checkout comments connection contacts customization dashboard dashboards data
delivery design desktop devices docs documentation editor email emails export exports files filters forms groups history
home import imports installation interface invoices ios language layout library licenses login mail map maps media messages
messaging mobile navigation notifications offline onboarding orders page pages passwords payment payments performance
permissions playback pricing printing privacy profile profiles projects quality refunds reliability reporting reports roles
search security settings setup sharing shipping signup sound speed stability storage subscription subscriptions support sync
tables tags tasks teams templates tickets translation uploads usability user users video web widgets workflow workflows`)
