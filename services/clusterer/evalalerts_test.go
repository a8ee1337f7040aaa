package clusterer_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/throughline-dev/throughline/services/clusterer"
)

// Four months with everything planted: what should be alarmed about is, at once or within
// hours, and attempts to be heard more than one is are not.
func TestASimulatedYearIsAlarmedAboutWhereItShouldBe(t *testing.T) {
	t.Parallel()
	year := clusterer.DefaultYear()
	year.Days, year.Each, year.Seed = 100, 5, 7
	var out bytes.Buffer
	r, err := clusterer.EvalAlerts(year, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range r.Kinds {
		if k.Planted != 5 || k.Found < 4 || k.Kind != "burst" && k.Early < 4 {
			t.Errorf("%+v", k)
		}
	}
	for _, n := range r.Ignored {
		if n.Alerts > 1 {
			t.Errorf("%+v", n)
		}
	}
	if r.Precision < 0.8 || r.Twice > 1 {
		t.Errorf("precision %.2f, %d told twice", r.Precision, r.Twice)
	}
	if lines := bytes.Count(out.Bytes(), []byte("\n")); lines != r.Alerts {
		t.Errorf("%d lines of %d alerts", lines, r.Alerts)
	}
	var first struct{ Signals []string }
	if err := json.Unmarshal(bytes.SplitN(out.Bytes(), []byte("\n"), 2)[0], &first); err != nil || len(first.Signals) == 0 {
		t.Errorf("the first alert is %v, %v", first, err)
	}
}
