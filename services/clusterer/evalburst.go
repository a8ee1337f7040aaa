package clusterer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/clusterer/internal/burst"
	"github.com/throughline-dev/throughline/services/clusterer/internal/evaluation"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
)

// BurstReport is how well bursts were found.
type BurstReport struct {
	Items  int `json:"items"`
	Bursts int `json:"bursts"`
	// Visible is how many bursts had four signals of three accounts within six hours: the
	// others cannot be told from chance by then, by anybody.
	Visible int `json:"visible_within_6h"`
	BurstFinding
	// Perfect is what the same test finds whose neighbours are those of the same label: with
	// clusters that have no mistakes.
	Perfect BurstFinding `json:"with_perfect_clusters"`
}

// BurstFinding is what was found of planted bursts.
type BurstFinding struct {
	// Found and Early are how many were alerted of at all, and within six hours of their
	// beginning.
	Found int `json:"found"`
	Early int `json:"found_within_6h"`
	// Alerts is how many alerts there were, Precision which part of them was of a burst.
	Alerts    int     `json:"alerts"`
	Precision float64 `json:"precision"`
	// MedianDelay is hours from a burst's beginning to its alert, of those found.
	MedianDelay float64 `json:"median_delay_hours"`
}

// Alerted is an alert as EvalBurst writes it.
type Alerted struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Cluster string    `json:"cluster"`
	Name    string    `json:"name"`
	Label   string    `json:"label"` // that most of its signals have
	Burst   bool      `json:"burst"`
	Signals []string  `json:"signals"`
	P       float64   `json:"p"`
}

type burstKey struct {
	Label string    `json:"label"`
	Start time.Time `json:"burst_start"`
	Hours float64   `json:"hours"`
}

type burstLine struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"ts"`
	Text    string    `json:"text"`
	Label   string    `json:"label"`
	Account string    `json:"account"`
	Revenue float64   `json:"mrr"`
}

// slack is how long after its end a burst may be alerted of.
const slack = 12 * time.Hour

// EvalBurst takes the lines {"id","ts","text","label","account","mrr"?} of r, in order of
// time, as a clusterer would, writes every alert of something new or rising, and compares them with the planted bursts of
// key, lines {"label","burst_start","hours"}. An alert is of a burst if most of its signals
// have the label and it came from the burst's beginning to twelve hours after its end.
func EvalBurst(ctx context.Context, r, key io.Reader, embedder evaluation.Embedder, w io.Writer) (BurstReport, error) {
	lines, err := jsonLines[burstLine](r)
	if err != nil {
		return BurstReport{}, err
	}
	planted, err := jsonLines[burstKey](key)
	if err != nil {
		return BurstReport{}, err
	}
	report := BurstReport{Items: len(lines), Bursts: len(planted)}
	labels, at := map[string]string{}, map[string]time.Time{}
	wo := world.New("eval", world.DefaultOptions())
	var alerts []Alerted
	const batch = 256
	for from := 0; from < len(lines); from += batch {
		part := lines[from:min(from+batch, len(lines))]
		var texts []string
		for _, l := range part {
			texts = append(texts, l.Text)
		}
		vectors, err := embedder.Embed(ctx, texts)
		if err != nil {
			return BurstReport{}, fmt.Errorf("embed texts: %w", err)
		}
		for i, l := range part {
			labels[l.ID], at[l.ID] = l.Label, l.Time
			out, err := wo.Take(world.Input{Classified: &event.Classified{
				ItemSequence: uint64(from + i + 1), Origin: event.Origin{AcceptedAt: l.Time},
				Item: &event.ItemHead{ID: l.ID, Revision: 1, Source: feedback.Import, CreatedAt: l.Time, UpdatedAt: l.Time,
					Customer: feedback.Customer{ID: "cus_" + l.ID}, Account: feedback.AccountRef{ID: l.Account}},
				Signals: []feedback.Signal{{ID: l.ID, Item: l.ID, Revision: 1, Kind: feedback.Other, Quote: l.Text, Space: "eval", Vector: vectors[i]}},
			}})
			if err != nil {
				return BurstReport{}, fmt.Errorf("take line %d: %w", from+i+1, err)
			}
			for _, a := range out.Alerts {
				if a.Kind == "new" || a.Kind == "rising" {
					c, _ := wo.Cluster(a.Cluster)
					alerts = append(alerts, Alerted{At: a.At, Kind: a.Kind, Cluster: a.Cluster, Name: c.Name, Label: majority(a.Signals, labels), Signals: a.Signals, P: a.P})
				}
			}
		}
	}
	report.BurstFinding = compared(alerts, planted)
	report.Perfect = perfect(lines, planted)
	for _, b := range planted {
		said, who := 0, map[string]bool{}
		for _, l := range lines {
			if l.Label == b.Label && !l.Time.Before(b.Start) && !l.Time.After(b.Start.Add(6*time.Hour)) {
				said++
				who[l.Account] = true
			}
		}
		if said >= 4 && len(who) >= 3 {
			report.Visible++
		}
	}
	out := json.NewEncoder(w)
	for _, a := range alerts {
		if err := out.Encode(a); err != nil {
			return BurstReport{}, fmt.Errorf("write alerts: %w", err)
		}
	}
	return report, nil
}

// compared says of each alert whether it is of a burst, and sums up.
func compared(alerts []Alerted, planted []burstKey) BurstFinding {
	f := BurstFinding{Alerts: len(alerts)}
	found := map[int]time.Duration{}
	for i := range alerts {
		a := &alerts[i]
		for k, b := range planted {
			end := b.Start.Add(time.Duration(b.Hours * float64(time.Hour)))
			if a.Label != b.Label || a.At.Before(b.Start) || a.At.After(end.Add(slack)) {
				continue
			}
			a.Burst = true
			if _, known := found[k]; !known {
				found[k] = a.At.Sub(b.Start)
			}
		}
		if a.Burst {
			f.Precision += 1 / float64(len(alerts))
		}
	}
	f.Found = len(found)
	var delays []float64
	for _, d := range found {
		delays = append(delays, d.Hours())
		if d <= 6*time.Hour {
			f.Early++
		}
	}
	slices.Sort(delays)
	if len(delays) > 0 {
		f.MedianDelay = delays[len(delays)/2]
	}
	return f
}

// perfect asks the test of bursts among the signals of the same label, the newest first, and
// tells nothing more of a label for a day after an alert.
func perfect(lines []burstLine, planted []burstKey) BurstFinding {
	var alerts []Alerted
	said := map[string][]burst.Sighting{}
	told := map[string]time.Time{}
	spoken := map[string]int{}
	for n, l := range lines {
		spoken[l.Account]++
		me := burst.Sighting{Signal: l.ID, Person: l.ID, Who: l.Account, Share: float64(spoken[l.Account]) / float64(n+1), At: l.Time}
		share := func(window time.Duration) float64 {
			from, _ := slices.BinarySearchFunc(lines[:n], l.Time.Add(-window), func(o burstLine, t time.Time) int { return o.Time.Compare(t) })
			return float64(n-from) / float64(max(n, 1))
		}
		if a, is := burst.Default().Test(me, said[l.Label], share); is && l.Time.Sub(told[l.Label]) > 24*time.Hour {
			told[l.Label] = l.Time
			alerts = append(alerts, Alerted{At: l.Time, Label: l.Label, Signals: a.Signals})
		}
		said[l.Label] = slices.Insert(said[l.Label], 0, me)
	}
	return compared(alerts, planted)
}

// majority is the label that most signals have; the first in order where equal.
func majority(signals []string, labels map[string]string) string {
	count, best := map[string]int{}, ""
	for _, id := range signals {
		count[labels[id]]++
	}
	for l, n := range count {
		if n > count[best] || n == count[best] && l < best {
			best = l
		}
	}
	return best
}

// jsonLines reads lines of one kind; one that cannot be read is an error that names it.
func jsonLines[T any](r io.Reader) ([]T, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	var out []T
	for number := 1; ; number++ {
		raw, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read line %d: %w", number, err)
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			var v T
			if json.Unmarshal(raw, &v) != nil {
				return nil, fmt.Errorf("read line %d: not a JSON object of this kind", number)
			}
			out = append(out, v)
		}
		if err != nil {
			return out, nil
		}
	}
}
