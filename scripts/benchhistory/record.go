package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
)

// Measured are the figures of each benchmark by unit.
type Measured map[string]map[string]Figure

// Figure is what repetitions came to. What disturbs a measurement makes it worse: the best is
// the code's, the median what the machine usually gives.
type Figure struct {
	Best   float64 `json:"best"`
	Median float64 `json:"median"`
}

// Machine is where it was measured.
type Machine struct {
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Cores     int    `json:"cores"`
	Processor string `json:"processor,omitempty"`
}

// Record is what the benchmarks of one commit came to.
type Record struct {
	Commit     string    `json:"commit"`
	At         time.Time `json:"at"`
	Machine    Machine   `json:"machine"`
	Benchmarks Measured  `json:"benchmarks"`
}

// Units that are gates.
const (
	Allocations = "allocs/op"
	Refs        = "refs/item"
)

// Worse is how much more than recorded is too much.
const Worse = 1.10

// Read reads what go test -bench printed. A benchmark is called by its package, without the
// repository's path, and its name, without the number of processors. It fails on results that
// are none, and where there are none.
func Read(r io.Reader, name string) (Measured, error) {
	all := map[string]map[string][]float64{}
	reader := benchfmt.NewReader(r, name)
	for reader.Scan() {
		switch one := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, one
		case *benchfmt.Result:
			pkg := strings.TrimPrefix(one.GetConfig("pkg"), "github.com/throughline-dev/throughline/")
			base, parts := one.Name.Parts()
			for _, p := range parts {
				if !strings.HasPrefix(string(p), "-") {
					base = append(slices.Clone(base), p...)
				}
			}
			called := pkg + " " + string(base)
			if all[called] == nil {
				all[called] = map[string][]float64{}
			}
			for _, v := range one.Values {
				value, unit := v.Value, v.Unit
				if v.OrigUnit != "" {
					value, unit = v.OrigValue, v.OrigUnit
				}
				all[called][unit] = append(all[called][unit], value)
			}
		}
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("there are no results of benchmarks in " + name)
	}
	out := Measured{}
	for called, units := range all {
		out[called] = map[string]Figure{}
		for unit, values := range units {
			slices.Sort(values)
			f := Figure{Best: values[0], Median: values[(len(values)-1)/2]}
			if strings.HasSuffix(unit, "/s") || strings.HasSuffix(unit, "/cpu-s") {
				f.Best = values[len(values)-1]
			}
			out[called][unit] = f
		}
	}
	return out, nil
}

// Compare prints each gate beside its record, and fails where one is worse than it may be, or is
// missing: where not even the best repetition is within a tenth of what is usual. What only
// computes repeats within some percent; what waits for the disk does not.
func Compare(out io.Writer, baseline Record, now Measured) error {
	var failures []error
	fmt.Fprintf(out, "compared with %s of %s\n", baseline.Commit, baseline.At.Format(time.DateOnly))
	for _, name := range slices.Sorted(maps.Keys(baseline.Benchmarks)) {
		for _, unit := range []string{Allocations, Refs} {
			recorded, gated := baseline.Benchmarks[name][unit]
			if !gated {
				continue
			}
			measured, there := now[name][unit]
			was, is := recorded.Median, measured.Best
			if !there {
				failures = append(failures, fmt.Errorf("%s has no %s any more; where that is meant, record anew", name, unit))
				continue
			}
			fmt.Fprintf(out, "%-60s %12.4g → %12.4g %s (%+.1f %%)\n", name, was, is, unit, 100*(is-was)/math.Max(was, 1e-9))
			// Half an allocation is what rounding makes of none.
			if is > Worse*was && (unit != Allocations || is > was+0.5) {
				failures = append(failures, fmt.Errorf("%s: %.4g %s, recorded are %.4g: %.0f %% more", name, is, unit, was, 100*(is-was)/math.Max(was, 1e-9)))
			}
		}
	}
	return errors.Join(failures...)
}
