package clusterer

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
	"github.com/throughline-dev/throughline/services/clusterer/internal/world"
	"github.com/throughline-dev/throughline/services/clusterer/internal/year"
)

// Year is the size of a simulated year.
type Year = year.Options

// DefaultYear is that of a team with 40 signals a day.
func DefaultYear() Year { return year.Default() }

// YearReport is what a clusterer alarmed about in a simulated year.
type YearReport struct {
	Signals int         `json:"signals"`
	Days    int         `json:"days"`
	Kinds   []YearKind  `json:"kinds"`   // that should be alarmed about
	Ignored []YearNoise `json:"ignored"` // that should not
	// Alerts is how many alerts there were, Right how many of them were of something that was
	// planted to be alarmed about, Twice how many said again what another had said.
	Alerts    int     `json:"alerts"`
	Right     int     `json:"right"`
	Twice     int     `json:"twice"`
	Precision float64 `json:"precision"`
	// FalsePerWeek is how often a team is disturbed for nothing.
	FalsePerWeek float64 `json:"false_per_week"`
}

// YearKind is how a kind of what should be alarmed about was found.
type YearKind struct {
	Kind    string `json:"kind"`
	Planted int    `json:"planted"`
	Found   int    `json:"found"`
	// Early is how many were found within the hour (spikes, leaving) or within six (bursts).
	Early       int     `json:"found_early"`
	MedianDelay float64 `json:"median_delay_hours"`
}

// YearNoise is how often something was alarmed about that should not be.
type YearNoise struct {
	Kind    string `json:"kind"`
	Planted int    `json:"planted"`
	Alerts  int    `json:"alerts"`
}

// EvalAlerts lets a clusterer live through a simulated year, writes every alert to w, and
// compares them with what was planted. An alert is of what was planted if most of its signals
// are part of it.
func EvalAlerts(o Year, w io.Writer) (YearReport, error) {
	said, planted := year.Make(o)
	report := YearReport{Signals: len(said), Days: o.Days}
	wo := world.New("eval", world.DefaultOptions())
	sequence := uint64(0)
	take := func(c event.Classified) (world.Outcome, error) {
		sequence++
		c.ItemSequence = sequence
		return wo.Take(world.Input{Sequence: sequence, Classified: &c})
	}
	for n := range year.Accounts {
		if _, err := take(event.Classified{Account: &feedback.Account{ID: year.Account(n), Name: year.Account(n), Value: year.Value(n)}}); err != nil {
			return YearReport{}, fmt.Errorf("take account: %w", err)
		}
	}
	of := map[string]int{}
	first := map[int]time.Duration{}
	noise := map[year.Kind]int{}
	out := json.NewEncoder(w)
	for n, s := range said {
		id := fmt.Sprintf("sig_%06d", n)
		of[id] = s.Planted
		o, err := take(event.Classified{
			Origin: event.Origin{AcceptedAt: s.At},
			Item: &event.ItemHead{ID: id, Revision: 1, Source: feedback.Import, CreatedAt: s.At, UpdatedAt: s.At,
				Customer: feedback.Customer{ID: s.Customer}, Account: feedback.AccountRef{ID: s.Account}},
			Signals: []feedback.Signal{{ID: id, Item: id, Revision: 1, Kind: feedback.Bug, Quote: s.Quote, Severity: s.Severity, Space: "year", Vector: s.Vector}},
		})
		if err != nil {
			return YearReport{}, fmt.Errorf("take signal %d: %w", n, err)
		}
		for _, a := range o.Alerts {
			report.Alerts++
			p := mostOf(a.Signals, of)
			kind := ""
			switch {
			case p < 0:
				for _, loud := range planted {
					if loud.Kind == year.Loud && !a.At.Before(loud.From) && a.At.Before(loud.To) {
						noise[year.Loud]++
						kind = string(year.Loud)
					}
				}
			case right(planted[p].Kind):
				report.Right++
				if _, known := first[p]; known {
					report.Twice++
				} else {
					first[p] = a.At.Sub(planted[p].From)
				}
				kind = string(planted[p].Kind)
			default:
				noise[planted[p].Kind]++
				kind = string(planted[p].Kind)
			}
			if err := out.Encode(map[string]any{"at": a.At, "kind": a.Kind, "of": kind, "signals": a.Signals, "p": a.P}); err != nil {
				return YearReport{}, fmt.Errorf("write alerts: %w", err)
			}
		}
	}
	for _, kind := range year.Kinds {
		count, early := 0, time.Hour
		if kind == year.Burst {
			early = 6 * time.Hour
		}
		k := YearKind{Kind: string(kind)}
		var delays []float64
		for i, p := range planted {
			if p.Kind != kind {
				continue
			}
			count++
			if d, found := first[i]; found {
				k.Found++
				delays = append(delays, d.Hours())
				if d <= early {
					k.Early++
				}
			}
		}
		if !right(kind) {
			report.Ignored = append(report.Ignored, YearNoise{string(kind), count, noise[kind]})
			continue
		}
		k.Planted = count
		if slices.Sort(delays); len(delays) > 0 {
			k.MedianDelay = delays[len(delays)/2]
		}
		report.Kinds = append(report.Kinds, k)
	}
	if report.Alerts > 0 {
		report.Precision = float64(report.Right) / float64(report.Alerts)
	}
	report.FalsePerWeek = float64(report.Alerts-report.Right) / float64(o.Days) * 7
	return report, nil
}

func right(k year.Kind) bool { return k == year.Burst || k == year.Spike || k == year.Leaving }

// mostOf is what most of some signals are part of, -1 for nothing that was planted.
func mostOf(signals []string, of map[string]int) int {
	count := map[int]int{}
	for _, id := range signals {
		count[of[id]]++
	}
	for p, n := range count {
		if p >= 0 && 2*n > len(signals) {
			return p
		}
	}
	return -1
}
