package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// runRows imports a CSV file of so many rows into throughline with its own command, and prints
// how fast the rows were durable and what memory the command took.
func runRows(throughline string, rows int) error {
	dir, err := os.MkdirTemp("", "bench-ingest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "reviews.csv")
	if err := writeRows(file, rows); err != nil {
		return err
	}
	c, err := startOurs(throughline, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	cmd := exec.Command(throughline, "import", file, "--yes", "--json", "--url", "http://"+c.address)
	cmd.Env = append(os.Environ(), "THROUGHLINE_TOKEN="+token)
	cmd.Stderr = os.Stderr
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	took := time.Since(start)
	var report json.RawMessage
	if err := json.Unmarshal(out, &report); err != nil {
		return fmt.Errorf("import: read its report: %w", err)
	}
	fmt.Printf("%s\n%d rows were durable within %s: %.0f rows/s\n", report, rows, took.Round(100*time.Millisecond), float64(rows)/took.Seconds())
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		fmt.Printf("the command took at most %d MB of memory; the server holds %.0f MB\n", u.Maxrss>>10, sum(c.rss()))
	}
	return nil
}

// writeRows writes reviews as a store exports them; each row says something of its own.
func writeRows(file string, rows int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewWriterSize(f, 1<<20)
	w := csv.NewWriter(buffered)
	at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range rows + 1 {
		row := []string{"id", "text", "author", "email", "created_at"}
		if n > 0 {
			row = []string{strconv.Itoa(n), fmt.Sprintf("%s (%d)", said[n%len(said)], n), fmt.Sprintf("Customer %d", n%50000), fmt.Sprintf("c%d@company%d.example", n%50000, n%900), at.Add(time.Duration(n) * 20 * time.Second).Format(time.RFC3339)}
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return buffered.Flush()
}
