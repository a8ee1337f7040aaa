// Command benchhistory keeps what benchmarks cost, commit by commit, and fails when something
// became dearer.
//
//	benchhistory -record results.txt    # as go test -bench prints them, into history/
//	benchhistory -check results.txt     # against the newest record
//	benchhistory -plot history.svg
//
// Two numbers are gates, because machines agree on them: allocations of an operation, and refs
// of an item, which is its processor time in units of a loop that ran beside it (package
// benchtest). The rest is kept to be looked at.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	dir := flag.String("history", "scripts/benchhistory/history", "folder of the records")
	record := flag.String("record", "", "file of results to keep for the commit that is checked out")
	check := flag.String("check", "", "file of results to compare with the newest record")
	plot := flag.String("plot", "", "file to draw the history into")
	flag.Parse()
	if err := run(os.Stdout, *dir, *record, *check, *plot); err != nil {
		fmt.Fprintln(os.Stderr, "benchhistory:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, dir, record, check, plot string) error {
	if record != "" {
		m, err := measured(record)
		if err != nil {
			return err
		}
		r, err := ofCommit(m)
		if err != nil {
			return err
		}
		name, err := keep(dir, r)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "kept", name)
	}
	if check != "" {
		m, err := measured(check)
		if err != nil {
			return err
		}
		all, err := load(dir)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errors.New("there is no record to compare with")
		}
		if err := Compare(out, all[len(all)-1], m); err != nil {
			return err
		}
	}
	if plot != "" {
		all, err := load(dir)
		if err != nil {
			return err
		}
		return os.WriteFile(plot, []byte(Draw(all)), 0o644)
	}
	return nil
}

func measured(file string) (Measured, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, file)
}

// ofCommit is the record of what is checked out, on this machine.
func ofCommit(m Measured) (Record, error) {
	git := func(args ...string) (string, error) {
		b, err := exec.Command("git", args...).Output()
		return strings.TrimSpace(string(b)), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return Record{}, fmt.Errorf("ask git which commit this is: %w", err)
	}
	at, err := git("log", "-1", "--format=%cI")
	if err != nil {
		return Record{}, fmt.Errorf("ask git when it was made: %w", err)
	}
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return Record{}, err
	}
	return Record{Commit: commit[:12], At: when.UTC(), Machine: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Processor: processor()}, Benchmarks: m}, nil
}

// processor is what the machine calls its processor, "" where it does not say.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// keep writes a record, in place of an earlier one of the same commit.
func keep(dir string, r Record) (string, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, r.At.Format("20060102T150405")+"-"+r.Commit+".json")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return name, os.WriteFile(name, append(b, '\n'), 0o644)
}

// load reads all records, oldest first.
func load(dir string) ([]Record, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var r Record
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Record) int { return a.At.Compare(b.At) })
	return out, nil
}
