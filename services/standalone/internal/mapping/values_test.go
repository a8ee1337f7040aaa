package mapping_test

import (
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/standalone/internal/mapping"
)

func TestTimesAsExportsWriteThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2026-03-04T10:11:12.345Z":      "2026-03-04T10:11:12.345Z",
		"2026-03-04T10:11:12+02:00":     "2026-03-04T08:11:12Z",
		"2026-03-04 10:11:12":           "2026-03-04T10:11:12Z",
		"2026-03-04 10:11:12 UTC":       "2026-03-04T10:11:12Z",
		"2026-03-04 10:11:12 -0500":     "2026-03-04T15:11:12Z",
		"2026-03-04":                    "2026-03-04T00:00:00Z",
		"2026/03/04 10:11":              "2026-03-04T10:11:00Z",
		"Mar 4, 2026":                   "2026-03-04T00:00:00Z",
		"March 4, 2026 10:11 PM":        "2026-03-04T22:11:00Z",
		"March 4, 2026 at 10:11 PM":     "2026-03-04T22:11:00Z",
		"4 March 2026":                  "2026-03-04T00:00:00Z",
		"04.03.2026 09:30":              "2026-03-04T09:30:00Z",
		"Wed, 04 Mar 2026 10:11:12 GMT": "2026-03-04T10:11:12Z",
		"1772618400":                    "2026-03-04T10:00:00Z",
		"1772618400000":                 "2026-03-04T10:00:00Z",
		"3/4/2026":                      "2026-03-04T00:00:00Z",
		"3/4/26 1:05 PM":                "2026-03-04T13:05:00Z",
		"yesterday":                     "0001-01-01T00:00:00Z",
		"":                              "0001-01-01T00:00:00Z",
		"5":                             "0001-01-01T00:00:00Z",
		"13/13/2026":                    "0001-01-01T00:00:00Z",
	} {
		if got := mapping.ParseTime(in, false).Format(time.RFC3339Nano); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if got := mapping.ParseTime("3/4/2026 10:00", true); got.Month() != time.April {
		t.Errorf("day first: %s", got)
	}
}

func TestAmountsAsExportsWriteThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		value    float64
		currency string
	}{
		"1200": {1200, ""}, "$1,200.50": {1200.5, "USD"}, "1.200,50 €": {1200.5, "EUR"}, "€120.000": {120000, "EUR"}, "12k": {12000, ""},
		"USD 1.5M": {1.5e6, "USD"}, "1'200 CHF": {1200, "CHF"}, "1,200": {1200, ""}, "12,5": {12.5, ""}, "1.200.000": {1.2e6, ""}, "£0": {0, "GBP"},
	} {
		if value, currency, ok := mapping.ParseAmount(in); !ok || value != want.value || currency != want.currency {
			t.Errorf("%q: got %v %q %v", in, value, currency, ok)
		}
	}
	for _, in := range []string{"", "n/a", "-5"} {
		if value, _, ok := mapping.ParseAmount(in); ok {
			t.Errorf("%q is taken as %v", in, value)
		}
	}
}
