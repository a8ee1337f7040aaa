package evaluation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/services/clusterer/internal/space"
)

// hashed embeds texts as signed hashes of their words: crude, but real enough
// for texts that share words.
type hashed struct{}

func (hashed) Embed(_ context.Context, texts []string) ([][]float32, error) {
	const dimensions = 128
	rows := make([][]float32, len(texts))
	for i, text := range texts {
		rows[i] = make([]float32, dimensions)
		for _, word := range strings.Fields(text) {
			h := fnv.New64a()
			h.Write([]byte(word))
			sum := h.Sum64()
			rows[i][sum%dimensions] += 1 - 2*float32(sum>>63)
		}
	}
	return rows, nil
}

// lines are feedback about a few subjects: three of a subject's six words and
// two of anybody's.
func lines(count int, labelled bool) string {
	random := rand.New(rand.NewPCG(4, 4))
	var out strings.Builder
	for i := range count {
		subject := random.IntN(8)
		var text []string
		for _, w := range random.Perm(6)[:3] {
			text = append(text, fmt.Sprintf("word%d_%d", subject, w))
		}
		text = append(text, fmt.Sprint("noise", random.IntN(200)), fmt.Sprint("noise", random.IntN(200)))
		line := map[string]string{"id": fmt.Sprint("item-", i), "text": strings.Join(text, " ")}
		if labelled {
			line["label"] = fmt.Sprint(subject)
		}
		raw, _ := json.Marshal(line)
		out.Write(raw)
		out.WriteByte('\n')
	}
	return out.String()
}

// ticking is a clock that goes a millisecond further at each look.
func ticking() func() time.Time {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	return func() time.Time { now = now.Add(time.Millisecond); return now }
}

func options() Options { return Options{Space: space.Default(), Now: ticking()} }

func TestStreamsScoresAndWritesEveryLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report, err := Cluster(context.Background(), strings.NewReader(lines(1000, true)), hashed{}, &out, options())
	if err != nil {
		t.Fatal(err)
	}
	clusters := map[string]bool{}
	decoder := json.NewDecoder(&out)
	for i := range 1000 {
		var r result
		if err := decoder.Decode(&r); err != nil || r.ID != fmt.Sprint("item-", i) || r.Cluster == "" {
			t.Fatalf("line %d is %+v, error %v", i, r, err)
		}
		clusters[r.Cluster] = true
	}
	if decoder.More() {
		t.Error("more lines out than in")
	}
	if report.Items != 1000 || report.Clusters != len(clusters) || report.Scores == nil || report.AtArrival == nil {
		t.Fatalf("%+v for %d clusters", report, len(clusters))
	}
	if report.Scores.ARI < 0.8 || report.AtArrival.ARI < 0.75 || report.Scores.Labels != 8 || report.PerSecond <= 0 || report.WithEmbedding <= 0 {
		t.Errorf("scores %+v, at arrival %+v", *report.Scores, *report.AtArrival)
	}
}

func TestBatchesChangeNothing(t *testing.T) {
	t.Parallel()
	var want string
	for _, batch := range []int{1, 7, 0, 5000} {
		o := options()
		o.Batch = batch
		var out bytes.Buffer
		if _, err := Cluster(context.Background(), strings.NewReader(lines(600, false)), hashed{}, &out, o); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = out.String()
		}
		if out.String() != want {
			t.Errorf("batches of %d gave something else", batch)
		}
	}
}

func TestLinesWithoutAnIDHaveTheirNumber(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if _, err := Cluster(context.Background(), strings.NewReader(`{"text":"one"}`+"\n\n"+`{"text":"two"}`), hashed{}, &out, options()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), `{"id":"1",`) || !strings.Contains(out.String(), "\n"+`{"id":"3",`) {
		t.Errorf("wrote %q", out.String())
	}
}

func TestCompareRunsOrdersAndBaselines(t *testing.T) {
	t.Parallel()
	input := lines(600, true)
	c, err := Compare(context.Background(), strings.NewReader(input), hashed{}, options(), Against{Orders: 2, Baselines: true})
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, row := range c.Rows {
		methods = append(methods, row.Method)
		if row.Scores.Items != 600 || row.PerSecond <= 0 || (row.AtArrival != nil) != strings.HasPrefix(row.Method, "throughline") {
			t.Errorf("row %+v", row)
		}
	}
	want := "throughline, as given|throughline, random 1|throughline, random 2|throughline, drifting|k-means, true number given|HDBSCAN|leader"
	if got := strings.Join(methods, "|"); got != want {
		t.Errorf("methods are %s", got)
	}
	alone, err := Cluster(context.Background(), strings.NewReader(input), hashed{}, &bytes.Buffer{}, options())
	if err != nil || *alone.Scores != c.Rows[0].Scores {
		t.Errorf("the given order scores %+v alone and %+v in the table, error %v", alone.Scores, c.Rows[0].Scores, err)
	}
	if _, err := Compare(context.Background(), strings.NewReader(lines(3, false)), hashed{}, options(), Against{}); err == nil {
		t.Error("compared without labels")
	}
}

func TestNoScoresWithoutLabels(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report, err := Cluster(context.Background(), strings.NewReader(lines(20, false)+`{"id":"x","text":"labelled","label":"a"}`), hashed{}, &out, options())
	if err != nil || report.Scores != nil || report.AtArrival != nil || report.Items != 21 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestRefusesBadLinesWithoutRepeatingThem(t *testing.T) {
	t.Parallel()
	const secret = "SECRETWORDS"
	for name, input := range map[string]string{
		"not json":     lines(3, true) + secret,
		"no text":      `{"id":"SECRETWORDS"}`,
		"wrong type":   `{"id":1,"text":"SECRETWORDS"}`,
		"id twice":     `{"id":"a","text":"SECRETWORDS"}` + "\n" + `{"id":"a","text":"SECRETWORDS"}`,
		"nothing":      "\n\n",
		"no direction": `{"id":"a","text":" "}`,
	} {
		var out bytes.Buffer
		_, err := Cluster(context.Background(), strings.NewReader(input), hashed{}, &out, options())
		if err == nil || strings.Contains(err.Error(), secret) || out.Len() > 0 {
			t.Errorf("%s: error %v, %d bytes written", name, err, out.Len())
		}
	}
}

type failing struct{}

func (failing) Embed(context.Context, []string) ([][]float32, error) {
	return nil, errors.New("no encoder")
}

func TestPassesOnWhatTheEncoderSays(t *testing.T) {
	t.Parallel()
	if _, err := Cluster(context.Background(), strings.NewReader(lines(1, true)), failing{}, &bytes.Buffer{}, options()); err == nil || !strings.Contains(err.Error(), "no encoder") {
		t.Errorf("error %v", err)
	}
}
