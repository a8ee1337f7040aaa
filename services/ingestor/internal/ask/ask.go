// Package ask asks vendors' APIs politely: not faster than they allow, as late as they say to
// come back, and again after what passes. Its errors name the path and the status, never
// credentials and never words.
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	maxAnswer   = 32 << 20
	maxTries    = 9
	firstPause  = time.Second
	unspecified = 30 * time.Second // where a vendor limits and does not say for how long
)

// Longest is the longest pause between two tries that a vendor did not ask for.
const Longest = 5 * time.Minute

// ErrRefused is returned when a vendor will not answer however often it is asked: the
// credentials or their permissions are wrong.
var ErrRefused = errors.New("the vendor refuses")

// Counts are requests to a vendor, and how many of them were tried again.
type Counts struct {
	Requests int `json:"requests"`
	Limited  int `json:"limited"` // 429, waited for as asked
	Retries  int `json:"retries"` // 5xx and broken connections
}

// Client asks one vendor with one set of credentials. It is not safe for concurrent use.
type Client struct {
	HTTP   *http.Client
	Sign   func(*http.Request)                        // adds the credentials
	Wait   func(context.Context, time.Duration) error // waits, or fails with the context's error
	Counts *Counts
}

// Bearer signs with a token.
func Bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// Wait waits by the clock.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ask sends one request and decodes its answer. pause is waited for before it.
func (c *Client) Ask(ctx context.Context, method, address string, pause time.Duration, body, into any) error {
	if err := c.Wait(ctx, pause); err != nil {
		return err
	}
	next := firstPause
	var last error
	for range maxTries {
		after, err := c.once(ctx, method, address, body, into)
		if err == nil || errors.Is(err, ErrRefused) || ctx.Err() != nil {
			return err
		}
		last = err
		if after == 0 {
			after, next = next, min(2*next, Longest)
			c.Counts.Retries++
		} else {
			c.Counts.Limited++
		}
		if err := c.Wait(ctx, after); err != nil {
			return err
		}
	}
	return last
}

// once tries once; after is how long the vendor wants to be left alone, 0 if it does not
// say.
func (c *Client) once(ctx context.Context, method, address string, body, into any) (after time.Duration, err error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, fmt.Errorf("ask vendor: %w", err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, in)
	if err != nil {
		return 0, fmt.Errorf("ask vendor: the address is not one: %w", ErrRefused)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "throughline") // GitHub refuses requests that name none
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	c.Sign(r)
	c.Counts.Requests++
	res, err := c.HTTP.Do(r)
	if err != nil {
		return 0, fmt.Errorf("ask vendor: %s: connection failed", r.URL.Path)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask vendor: %s: the answer broke off", r.URL.Path)
	case res.StatusCode == http.StatusTooManyRequests:
		return retryAfter(res.Header), fmt.Errorf("ask vendor: %s: too many requests", r.URL.Path)
	case res.StatusCode == http.StatusForbidden && (res.Header.Get("Retry-After") != "" || res.Header.Get("X-RateLimit-Remaining") == "0"):
		return retryAfter(res.Header), fmt.Errorf("ask vendor: %s: too many requests", r.URL.Path) // GitHub
	case res.StatusCode == http.StatusBadRequest && bytes.Contains(b, []byte("RATELIMITED")):
		return unspecified, fmt.Errorf("ask vendor: %s: too many requests", r.URL.Path) // Linear
	case res.StatusCode >= 500:
		return 0, fmt.Errorf("ask vendor: %s: HTTP %d", r.URL.Path, res.StatusCode)
	case res.StatusCode/100 != 2:
		return 0, fmt.Errorf("ask vendor: %s: HTTP %d: %w", r.URL.Path, res.StatusCode, ErrRefused)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return 0, fmt.Errorf("ask vendor: %s: the answer is not what is documented", r.URL.Path)
	}
	return 0, nil
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return unspecified
	}
	return max(time.Duration(n)*time.Second, time.Millisecond)
}
