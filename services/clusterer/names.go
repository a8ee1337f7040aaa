package clusterer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/throughline-dev/throughline/services/clusterer/internal/name"
)

// NamesReport is how good names are on a labelled set.
type NamesReport = name.Measured

// EvalNames reads JSON lines {"text","label"}, names each label as if it were a cluster, with
// the code of the service, from every other of its texts, writes {"label","name",…} per label,
// and measures the names on the rest. A line that cannot be read is an error that names it.
func EvalNames(r io.Reader, w io.Writer) (NamesReport, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	var texts []name.Text
	for number := 1; ; number++ {
		raw, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return NamesReport{}, fmt.Errorf("read line %d: %w", number, err)
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			var l struct{ Text, Label string }
			if json.Unmarshal(raw, &l) != nil || l.Text == "" || l.Label == "" {
				return NamesReport{}, fmt.Errorf("read line %d: not a JSON object with text and label", number)
			}
			texts = append(texts, name.Text{Label: l.Label, Text: l.Text})
		}
		if err != nil {
			break
		}
	}
	named, report := name.Measure(texts)
	out := json.NewEncoder(w)
	for _, n := range named {
		if err := out.Encode(n); err != nil {
			return NamesReport{}, fmt.Errorf("write names: %w", err)
		}
	}
	return report, nil
}
