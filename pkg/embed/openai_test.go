package embed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const apiKey = "sk-test-0123456789"

// embeddingsAPI stands in for a provider's cloud: POST /v1/embeddings, as
// documented, with faults to order. Its vectors have eight dimensions, are not
// of unit length, and come back in reverse order, which the index allows.
type embeddingsAPI struct {
	mu       sync.Mutex
	requests [][]string
	lengths  []int
	faults   []func(w http.ResponseWriter)
}

func (a *embeddingsAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Input      []string `json:"input"`
		Model      string   `json:"model"`
		Dimensions int      `json:"dimensions"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, request.Input)
	a.lengths = append(a.lengths, request.Dimensions)
	if len(a.faults) > 0 {
		fault := a.faults[0]
		a.faults = a.faults[1:]
		fault(w)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/embeddings" || request.Model != "test-embedding" ||
		r.Header.Get("Authorization") != "Bearer "+apiKey || slices.Contains(request.Input, "") {
		refuse(http.StatusBadRequest, nil, "bad request")(w)
		return
	}
	width := 8
	if request.Dimensions > 0 {
		width = request.Dimensions
	}
	type embedding struct {
		Object    string    `json:"object"`
		Index     int       `json:"index"`
		Embedding []float32 `json:"embedding"`
	}
	answer := struct {
		Object string      `json:"object"`
		Model  string      `json:"model"`
		Data   []embedding `json:"data"`
	}{Object: "list", Model: request.Model}
	for i := len(request.Input) - 1; i >= 0; i-- {
		answer.Data = append(answer.Data, embedding{"embedding", i, direction(request.Input[i], width)})
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// sent lists the texts of every request, and lengths the dimensions asked for.
func (a *embeddingsAPI) sent() (requests [][]string, lengths []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests), slices.Clone(a.lengths)
}

// direction is a vector that tells texts of different lengths apart.
func direction(text string, width int) []float32 {
	v := make([]float32, width)
	v[0], v[1] = 3, float32(len(text))
	return v
}

func refuse(status int, header http.Header, message string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%q,"type":"test_error","code":"test"}}`, message)
	}
}

func answer(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { fmt.Fprint(w, body) }
}

func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// clock is the test's time: waiting takes none, and is written down.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) waited() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.waits)
}

func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.waits = append(c.waits, d)
	return ctx.Err()
}

func provide(t *testing.T, o OpenAIOptions, faults ...func(http.ResponseWriter)) (Embedder, *embeddingsAPI, *clock) {
	t.Helper()
	api := &embeddingsAPI{faults: faults}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	c := &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	o.BaseURL, o.APIKey, o.Model = server.URL+"/v1", apiKey, "test-embedding"
	o.Dimensions = max(o.Dimensions, 8)
	o.Client = server.Client()
	o.Now, o.Wait = c.read, c.wait
	e, err := NewOpenAI(o)
	if err != nil {
		t.Fatal(err)
	}
	return e, api, c
}

func TestProviderVectorsAreInOrderAndOfLengthOne(t *testing.T) {
	t.Parallel()
	e, api, _ := provide(t, OpenAIOptions{BatchSize: 2})
	texts := []string{"a", "bb", "", "\x00 \n", "cccc", "ddddd\x00", "ff\xff"}
	v := embed(t, e, texts...)
	for i, sent := range []string{"a", "bb", "", "", "cccc", "ddddd", "ff"} {
		assertUnit(t, v[i])
		if sent == "" {
			if v[i][7] != 1 {
				t.Errorf("text %d, which says nothing, has another vector: %v", i, v[i])
			}
			continue
		}
		want := direction(sent, 8)
		if got := v[i][1] / v[i][0]; math.Abs(float64(got-want[1]/want[0])) > 1e-5 {
			t.Errorf("text %d has the vector of another: %v", i, v[i])
		}
	}
	requests, lengths := api.sent()
	if want := [][]string{{"a", "bb"}, {"cccc", "ddddd"}, {"ff"}}; fmt.Sprint(requests) != fmt.Sprint(want) {
		t.Errorf("sent %q, want %q", requests, want)
	}
	if slices.Max(lengths) != 0 {
		t.Error("asked for shorter vectors unasked")
	}
}

func TestLongTextsAreCutAndSpreadOverRequests(t *testing.T) {
	t.Parallel()
	e, api, _ := provide(t, OpenAIOptions{})
	embed(t, e, slices.Repeat([]string{strings.Repeat("é", 1<<20)}, 70)...)
	requests, _ := api.sent()
	for _, request := range requests {
		total := 0
		for _, text := range request {
			total += len(text)
			if len(text) > providerTextBytes {
				t.Fatalf("sent a text of %d bytes", len(text))
			}
		}
		if total > providerRequestBytes {
			t.Fatalf("sent a request of %d bytes", total)
		}
	}
}

func TestShorterVectorsOnRequest(t *testing.T) {
	t.Parallel()
	e, api, _ := provide(t, OpenAIOptions{Dimensions: 16, Shorten: true})
	v := embed(t, e, "a")[0]
	if _, lengths := api.sent(); len(v) != 16 || lengths[0] != 16 {
		t.Fatalf("%d dimensions, asked for %v", len(v), lengths)
	}
}

func TestPassingFailuresAreRetriedWhenTheProviderSays(t *testing.T) {
	t.Parallel()
	e, api, clock := provide(t, OpenAIOptions{},
		refuse(http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}, "slow down"),
		refuse(http.StatusServiceUnavailable, http.Header{"Retry-After": {"Sun, 22 Nov 2026 12:00:12 GMT"}}, "later"),
		refuse(http.StatusInternalServerError, nil, "oops"),
		hangUp,
	)
	assertUnit(t, embed(t, e, "a")[0])
	want := []time.Duration{7 * time.Second, 5 * time.Second, 2 * time.Second, 4 * time.Second}
	if !slices.Equal(clock.waited(), want) {
		t.Errorf("waited %v, want %v", clock.waited(), want)
	}
	requests, _ := api.sent()
	for _, request := range requests {
		if !slices.Equal(request, []string{"a"}) {
			t.Errorf("sent again as %q", request)
		}
	}
}

func TestLastingFailures(t *testing.T) {
	t.Parallel()
	const secret = "the customer's own words"
	for name, c := range map[string]struct {
		fault     func(http.ResponseWriter)
		times     int
		status    int
		after     time.Duration
		temporary bool
		requests  int
	}{
		"bad key":          {refuse(http.StatusUnauthorized, nil, apiKey), 1, 401, 0, false, 1},
		"bad request":      {refuse(http.StatusBadRequest, nil, secret), 1, 400, 0, false, 1},
		"redirected":       {refuse(http.StatusNotModified, nil, secret), 1, 304, 0, false, 1},
		"down":             {refuse(http.StatusBadGateway, nil, secret), 9, 502, 0, true, 3},
		"silent":           {hangUp, 9, 0, 0, true, 3},
		"hour-long limit":  {refuse(http.StatusTooManyRequests, http.Header{"Retry-After": {"3600"}}, secret), 9, 429, time.Hour, true, 1},
		"nonsense of time": {refuse(http.StatusTooManyRequests, http.Header{"Retry-After": {"soon"}}, secret), 9, 429, 0, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, api, _ := provide(t, OpenAIOptions{Retries: 2}, slices.Repeat([]func(http.ResponseWriter){c.fault}, c.times)...)
			_, err := e.Embed(context.Background(), []string{secret})
			var failure *ProviderError
			if !errors.As(err, &failure) {
				t.Fatalf("got %v", err)
			}
			if failure.Status != c.status || failure.RetryAfter != c.after || failure.Temporary() != c.temporary {
				t.Errorf("got %+v", failure)
			}
			if requests, _ := api.sent(); len(requests) != c.requests {
				t.Errorf("%d requests, want %d", len(requests), c.requests)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), apiKey) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func TestAnswersThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"not JSON":        `<html>the customer's own words</html>`,
		"cut short":       `{"data":[{"index":0,"embedding":[1,0`,
		"empty":           `{"data":[]}`,
		"one missing":     `{"data":[{"index":0,"embedding":[1,0,0,0,0,0,0,0]}]}`,
		"one twice":       `{"data":[{"index":0,"embedding":[1,0,0,0,0,0,0,0]},{"index":0,"embedding":[1,0,0,0,0,0,0,0]}]}`,
		"out of range":    `{"data":[{"index":0,"embedding":[1,0,0,0,0,0,0,0]},{"index":-1,"embedding":[1,0,0,0,0,0,0,0]}]}`,
		"other dimension": `{"data":[{"index":0,"embedding":[1,0,0]},{"index":1,"embedding":[1,0,0]}]}`,
		"no direction":    `{"data":[{"index":0,"embedding":[0,0,0,0,0,0,0,0]},{"index":1,"embedding":[1,0,0,0,0,0,0,0]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _, _ := provide(t, OpenAIOptions{}, answer(body))
			v, err := e.Embed(context.Background(), []string{"a", "b"})
			if err == nil {
				t.Fatalf("accepted as %v", v)
			}
			if strings.Contains(err.Error(), "customer") {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
}

func TestEndedContextEndsTheWaitForTheProvider(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	e, api, _ := provide(t, OpenAIOptions{}, func(w http.ResponseWriter) {
		cancel()
		refuse(http.StatusServiceUnavailable, nil, "down")(w)
	})
	if _, err := e.Embed(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if requests, _ := api.sent(); len(requests) != 1 {
		t.Errorf("asked %d times", len(requests))
	}
}

func TestRealWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := wait(context.Background(), time.Nanosecond); err != nil {
		t.Fatal(err)
	}
}

func TestDimensionsAreDiscovered(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&embeddingsAPI{})
	t.Cleanup(server.Close)
	n, err := DiscoverDimensions(context.Background(), OpenAIOptions{BaseURL: server.URL + "/v1/", APIKey: apiKey, Model: "test-embedding"})
	if err != nil || n != 8 {
		t.Fatalf("got %d, %v", n, err)
	}
}

func TestProviderOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]OpenAIOptions{
		"no model":      {Dimensions: 8},
		"no dimensions": {Model: "m"},
		"no scheme":     {Model: "m", Dimensions: 8, BaseURL: "host/v1"},
		"no host":       {Model: "m", Dimensions: 8, BaseURL: "https://"},
		"not a URL":     {Model: "m", Dimensions: 8, BaseURL: "http://a b"},
	} {
		if _, err := NewOpenAI(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestProviderSpaces(t *testing.T) {
	t.Parallel()
	ids := map[string]int{}
	for _, o := range []OpenAIOptions{
		{Model: "m", Dimensions: 8},
		{Model: "m", Dimensions: 8, APIKey: "another key is the same space"},
		{Model: "n", Dimensions: 8},
		{Model: "m", Dimensions: 16},
		{Model: "m", Dimensions: 8, Shorten: true},
		{Model: "m", Dimensions: 8, BaseURL: "http://127.0.0.1:1/v1"},
		{Model: "m", Dimensions: 8, Provider: "house"},
		{Model: "m", Dimensions: 8, Provider: "house", BaseURL: "http://127.0.0.1:1/v1"},
	} {
		e, err := NewOpenAI(o)
		if err != nil {
			t.Fatal(err)
		}
		ids[e.Space().ID()]++
	}
	if len(ids) != 6 {
		t.Errorf("spaces: %v", ids)
	}
}
