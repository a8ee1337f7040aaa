// Package upload sends feedback to a running server in batches, and remembers beside a
// file how much of it is in, so that an upload that was cut off goes on where it was. Every
// entry has an id, so that sending one twice is sending it once.
package upload

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/problem"
)

// Server is where feedback is sent to. Wait pauses before a request is tried again; it
// returns early, with an error, when ctx ends.
type Server struct {
	URL    string
	Token  string
	Client *http.Client
	Wait   func(ctx context.Context, d time.Duration) error
}

// attempts is how often a batch is sent to a server that is busy or away.
const attempts = 8

// Send posts entries. refused says, by their index, why entries were not taken; the others
// are durable. An error means that none is known to be.
func (s Server) Send(ctx context.Context, entries []json.RawMessage) (refused map[int]string, err error) {
	body, err := json.Marshal(entries)
	if err != nil {
		return nil, fmt.Errorf("send feedback: %w", err)
	}
	for attempt := 1; ; attempt++ {
		var wait time.Duration
		refused, wait, err = s.post(ctx, body)
		if err == nil || wait == 0 || attempt == attempts {
			return refused, err
		}
		if err := s.Wait(ctx, wait*time.Duration(attempt)); err != nil {
			return nil, err
		}
	}
}

// post sends once. wait is how long to wait before another try, 0 where that is no use.
func (s Server) post(ctx context.Context, body []byte) (refused map[int]string, wait time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(s.URL, "/")+"/v1/feedback", bytes.NewReader(body))
	if err != nil {
		return nil, 0, fmt.Errorf("send feedback: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token)
	r.Header.Set("Content-Type", "application/json")
	res, err := s.Client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		return nil, time.Second, fmt.Errorf("ask %s: %w; is it running?", s.URL, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return nil, time.Second, fmt.Errorf("read the answer: %w", err)
	}
	var told struct {
		problem.Document
		Errors []struct {
			Index  int    `json:"index"`
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	_ = json.Unmarshal(answer, &told) // an answer that is not JSON tells nothing more than its status
	switch {
	case res.StatusCode/100 == 2, res.StatusCode == http.StatusUnprocessableEntity && len(told.Errors) > 0:
		refused = map[int]string{}
		for _, e := range told.Errors {
			refused[e.Index] = e.Detail
		}
		return refused, 0, nil
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500:
		wait = time.Second
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 && n <= 300 {
			wait = time.Duration(n) * time.Second
		}
		return nil, wait, fmt.Errorf("%s answered %s", s.URL, res.Status)
	}
	return nil, 0, fmt.Errorf("%s answered %s: %s %s", s.URL, res.Status, told.Title, told.Detail)
}

// Progress is how much of a file is in. It is kept beside the file while that is not all.
type Progress struct {
	path        string
	fingerprint string
	Rows        int // that are in, from the first on
	Kept        bool
}

type progressFile struct {
	Fingerprint string `json:"fingerprint"`
	Rows        int    `json:"rows"`
}

// Resume looks for the progress of an earlier upload of the same file to the same server,
// with the same mapping: fingerprint names all three. Another's progress is ignored.
func Resume(file, fingerprint string) *Progress {
	p := &Progress{path: file + ".import-progress", fingerprint: fingerprint, Kept: true}
	b, err := os.ReadFile(p.path)
	var saved progressFile
	if err == nil && json.Unmarshal(b, &saved) == nil && saved.Fingerprint == fingerprint && saved.Rows > 0 {
		p.Rows = saved.Rows
	}
	return p
}

// Advance notes that rows are in. A folder that cannot be written to costs the resuming,
// not the upload: Kept is then false.
func (p *Progress) Advance(rows int) {
	p.Rows = rows
	b, err := json.Marshal(progressFile{p.fingerprint, rows})
	if err == nil {
		err = os.WriteFile(p.path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(p.path+".new", p.path)
	}
	p.Kept = p.Kept && err == nil
}

// Done forgets the progress: everything is in.
func (p *Progress) Done() { _ = os.Remove(p.path) }
