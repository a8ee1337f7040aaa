// Package evaluation measures, on labelled data and with the service's own code, how well
// feedback finds its ticket and what a brief is worth to whoever takes the ticket over:
// `throughline eval attach` and `throughline eval handoff`.
//
// It promises that labels are only compared with at the end, that input is streamed (of
// tickets, what the service keeps of them stays in memory), and that an error names the
// line and never its text.
package evaluation

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/throughline-dev/throughline/pkg/embed"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/context-publisher/internal/attach"
)

// AttachReport is what matching feedback to tickets was worth. The shares of Recall, MRR
// and MAP are of the lines that name their ticket. MAP equals MRR, since a line names one.
type AttachReport struct {
	Tickets int     `json:"tickets"`
	Items   int     `json:"items"`
	Labeled int     `json:"labeled"` // lines that name their ticket
	Recall1 float64 `json:"recall_at_1"`
	Recall5 float64 `json:"recall_at_5"`
	Recall  float64 `json:"recall_at_10"`
	MRR     float64 `json:"mrr"`
	MAP     float64 `json:"map"`
	// Coverage is the share of labeled lines that were attached without being asked, and
	// Precision the share of these that were attached to the right ticket, with the lower
	// end of its 95 % interval (Wilson 1927).
	Coverage       float64 `json:"coverage"`
	Precision      float64 `json:"precision"`
	PrecisionLower float64 `json:"precision_lower_95"`
	// Unasked counts automatic attachments of lines that name no ticket, and
	// PrecisionWithUnasked is the precision if each of them is taken to be wrong.
	Unasked              int     `json:"automatic_without_label"`
	PrecisionWithUnasked float64 `json:"precision_with_unlabeled"`
	PerSecond            float64 `json:"items_per_second"`
}

// listed is how many tickets an answer names.
const listed = 10

// maxMeant is how much of a text is embedded, in bytes: what follows is logs and traces
// more often than meaning.
const maxMeant = 800

type ticketLine struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Body  string `json:"body"`
}

type feedbackLine struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Ticket string `json:"ticket"`
}

type attachAnswer struct {
	ID        string         `json:"id"`
	Tickets   []scoredTicket `json:"tickets"`
	Automatic bool           `json:"automatic"` // the first of them would be attached without being asked
}

type scoredTicket struct {
	ID    string  `json:"id"`
	Score float64 `json:"score"`
}

// Attach reads tickets {"id","title","body"} and feedback {"id","text","ticket"?}, both
// JSON lines, and writes {"id","tickets":[{"id","score"}],"automatic"} for each line of
// feedback, best ticket first, at most ten. Feedback is no answer to a ticket of its own id.
func Attach(ctx context.Context, tickets, input io.Reader, embedder embed.Embedder, w io.Writer, now func() time.Time) (AttachReport, error) {
	m, known, err := board(ctx, tickets, embedder)
	if err != nil {
		return AttachReport{}, err
	}
	report := AttachReport{Tickets: len(known)}
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	begun := now()
	automatic, right, rank := 0, 0, 0.0
	err = lines(input, "feedback", func(batch []feedbackLine) error {
		vectors, err := embedAll(ctx, embedder, batch, func(l feedbackLine) string { return l.Text })
		if err != nil {
			return err
		}
		for i, l := range batch {
			if l.ID == "" || l.Text == "" {
				return errors.New("feedback needs an id and a text")
			}
			if own, ok := known[l.ID]; ok {
				m.Board.Remove("", own.Key)
			}
			ranked, mode := m.Best(attach.Candidate{Space: embedder.Space().ID(), Evidence: []attach.Evidence{
				{Signal: l.ID, Quote: l.Text, Text: l.Text, Vector: vectors[i]}}}, listed)
			if own, ok := known[l.ID]; ok {
				m.Board.Put(own)
			}
			answer := attachAnswer{ID: l.ID, Tickets: []scoredTicket{}, Automatic: mode == feedback.Automatic}
			place := 0
			for n, r := range ranked {
				answer.Tickets = append(answer.Tickets, scoredTicket{r.Ticket.Key, r.Score})
				if r.Ticket.Key == l.Ticket {
					place = n + 1
				}
			}
			report.Items++
			switch {
			case l.Ticket == "" && answer.Automatic:
				report.Unasked++
			case l.Ticket != "":
				report.Labeled++
				if place > 0 {
					rank += 1 / float64(place)
					report.Recall++
				}
				if place > 0 && place <= 5 {
					report.Recall5++
				}
				if place == 1 {
					report.Recall1++
				}
				if answer.Automatic {
					automatic++
					if place == 1 {
						right++
					}
				}
			}
			if err := encoder.Encode(answer); err != nil {
				return fmt.Errorf("write answers: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return AttachReport{}, err
	}
	if err := out.Flush(); err != nil {
		return AttachReport{}, fmt.Errorf("write answers: %w", err)
	}
	if report.Labeled > 0 {
		n := float64(report.Labeled)
		report.Recall1, report.Recall5, report.Recall = report.Recall1/n, report.Recall5/n, report.Recall/n
		report.MRR, report.Coverage = rank/n, float64(automatic)/n
		report.MAP = report.MRR
	}
	report.Precision, report.PrecisionLower = share(right, automatic), wilson(right, automatic)
	report.PrecisionWithUnasked = share(right, automatic+report.Unasked)
	if spent := now().Sub(begun).Seconds(); spent > 0 {
		report.PerSecond = float64(report.Items) / spent
	}
	return report, nil
}

// board reads tickets twice as the service would: their words are counted first and
// weighed after.
func board(ctx context.Context, tickets io.Reader, embedder embed.Embedder) (attach.Matcher, map[string]attach.Ticket, error) {
	corpus := &attach.Corpus{}
	known := map[string]attach.Ticket{}
	err := lines(tickets, "tickets", func(batch []ticketLine) error {
		vectors, err := embedAll(ctx, embedder, batch, func(l ticketLine) string { return l.Title + "\n" + l.Body })
		if err != nil {
			return err
		}
		for i, l := range batch {
			if _, twice := known[l.ID]; twice || l.ID == "" {
				return errors.New("a ticket needs an id of its own")
			}
			corpus.Add(l.Title + "\n" + l.Body)
			known[l.ID] = attach.Ticket{Key: l.ID, Title: l.Title, Body: l.Body, Space: embedder.Space().ID(), Vector: vectors[i]}
		}
		return nil
	})
	m := attach.Matcher{Corpus: corpus, Board: attach.NewBoard(corpus)}
	for _, t := range known {
		m.Board.Put(t)
	}
	return m, known, err
}

func embedAll[T any](ctx context.Context, embedder embed.Embedder, batch []T, text func(T) string) ([][]float32, error) {
	texts := make([]string, len(batch))
	for i, l := range batch {
		texts[i] = text(l)
		texts[i] = texts[i][:min(len(texts[i]), maxMeant)]
	}
	vectors, err := embedder.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	return vectors, nil
}

// lines decodes JSON lines and hands them over 64 at a time. An error names the last line
// that was read.
func lines[T any](from io.Reader, what string, take func([]T) error) error {
	in := bufio.NewReaderSize(from, 1<<16)
	var batch []T
	for number := 1; ; number++ {
		raw, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", what, err)
		}
		last := err != nil
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			var l T
			if json.Unmarshal(raw, &l) != nil {
				return fmt.Errorf("read %s: line %d is not the JSON it should be", what, number)
			}
			batch = append(batch, l)
		}
		if len(batch) == 64 || last && len(batch) > 0 {
			if err := take(batch); err != nil {
				return fmt.Errorf("read %s up to line %d: %w", what, number, err)
			}
			batch = batch[:0]
		}
		if last {
			return nil
		}
	}
}

func share(of, all int) float64 {
	if all == 0 {
		return 0
	}
	return float64(of) / float64(all)
}

// wilson is the lower end of the 95 % score interval of a share.
func wilson(of, all int) float64 {
	if all == 0 {
		return 0
	}
	const z = 1.959964
	n, p := float64(all), share(of, all)
	return (p + z*z/(2*n) - z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))) / (1 + z*z/n)
}
