package main

import (
	"bufio"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scrape is one look at /metrics: values by series, as they are written.
type scrape map[string]float64

func (c *contender) metrics() (scrape, error) {
	client := &http.Client{Timeout: 30 * time.Second}
	res, err := client.Get("http://" + c.address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out := scrape{}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		series, value, ok := cutLast(lines.Text())
		if !ok || strings.HasPrefix(series, "#") {
			continue
		}
		if out[series], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("read metrics: %w", err)
		}
	}
	return out, lines.Err()
}

func cutLast(line string) (before, after string, ok bool) {
	at := strings.LastIndexByte(line, ' ')
	if at < 0 {
		return "", "", false
	}
	return line[:at], line[at+1:], true
}

func (s scrape) value(series string) float64 { return s[series] }

// by returns the values of a metric that carries the label, by the label's value; where
// another label must have a value too, with is that: `outcome="ok"`.
func (s scrape) by(metric, label, with string) map[string]float64 {
	out := map[string]float64{}
	for series, v := range s {
		labels, ok := strings.CutPrefix(series, metric+"{")
		if !ok || !strings.Contains(labels, with) {
			continue
		}
		if _, rest, ok := strings.Cut(labels, label+"=\""); ok {
			name, _, _ := strings.Cut(rest, "\"")
			out[name] += v
		}
	}
	return out
}

// quantile reads a quantile from the buckets of a histogram, as Prometheus does, of what was
// observed since an earlier scrape, and of how many that is.
func (s scrape) quantile(q float64, since scrape, metric, with string) (value, count float64) {
	now, then := s.by(metric+"_bucket", "le", with), since.by(metric+"_bucket", "le", with)
	bounds := map[float64]float64{}
	for le, n := range now {
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil {
			continue
		}
		bounds[bound] = n - then[le]
	}
	count = bounds[math.Inf(1)]
	lower, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(bounds)) {
		if bounds[bound] >= q*count && bounds[bound] > below {
			if math.IsInf(bound, 1) {
				return lower, count
			}
			return lower + (bound-lower)*(q*count-below)/(bounds[bound]-below), count
		}
		lower, below = bound, bounds[bound]
	}
	return math.NaN(), count
}
