package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/throughline-dev/throughline/services/clusterer"
)

// writeRows writes a comparison's rows as JSON lines.
func writeRows(w io.Writer, c clusterer.Comparison) error {
	encoder := json.NewEncoder(w)
	for _, row := range c.Rows {
		if err := encoder.Encode(row); err != nil {
			return fmt.Errorf("write comparison: %w", err)
		}
	}
	return nil
}

// clusterTable prints a comparison for a person.
func clusterTable(w io.Writer, c clusterer.Comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "method\tNMI\tARI\tB3\tV\tclusters\tover true\talone\tat arrival NMI/ARI\tmoves per signal\titems/s")
	for _, r := range c.Rows {
		arrival, moves := "", ""
		if r.AtArrival != nil {
			arrival = fmt.Sprintf("%.3f/%.3f", r.AtArrival.NMI, r.AtArrival.ARI)
			moves = fmt.Sprintf("%.2f", r.Churn)
		}
		over := float64(r.Scores.Clusters) / float64(r.Scores.Labels)
		fmt.Fprintf(t, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%d\t%.2f\t%.3f\t%s\t%s\t%.0f\n",
			r.Method, r.Scores.NMI, r.Scores.ARI, r.Scores.B3, r.Scores.V, r.Scores.Clusters, over, r.Scores.Alone, arrival, moves, r.PerSecond)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d items; spread of NMI over orders %.3f\n", c.Items, c.Spread)
	return err
}
