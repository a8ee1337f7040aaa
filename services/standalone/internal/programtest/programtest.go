// Package programtest runs programs as an operator would, each in a process of its own, and
// ends them politely or not. Ours are those that `make build` put into bin/.
package programtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for a program; it is reached only when something is broken.
const Patience = 90 * time.Second

// root is the repository, as seen from a test two folders below services/.
var root = filepath.Join("..", "..", "..")

// Binary finds a program that `make build` made.
func Binary(t testing.TB, name string) string {
	t.Helper()
	return built(t, filepath.Join("bin", name), "make build")
}

// NATSServer finds the NATS server that `make nats-server` built.
func NATSServer(t testing.TB) string {
	t.Helper()
	return built(t, filepath.Join(".cache", "nats", "nats-server"), "make nats-server")
}

func built(t testing.TB, name, by string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: run `%s` first", name, by)
	}
	return path
}

// EnginePassword is that of the engine whose folder is dir.
func EnginePassword(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Program is a running process.
type Program struct {
	// Printed is the file that has what it printed, of a program that Run started.
	Printed string

	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; readable once done is closed
}

// ErrEnded says that a program ended before it was ready.
var ErrEnded = errors.New("ended at once")

// Launch runs a program and waits for a line of its output to match; it returns the first
// submatch. Everything it prints goes to log, a line at a time. A program that is not ready
// in time, or ends before, is an error, and nothing is left running.
func Launch(log io.Writer, env []string, match, path string, args ...string) (*Program, string, error) {
	name := filepath.Base(path)
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", fmt.Errorf("start %s: %w", name, err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, "", fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", name, err)
	}
	p := &Program{cmd: cmd, done: make(chan struct{})}
	found := make(chan string, 1)
	pattern := regexp.MustCompile(match)
	var readers sync.WaitGroup
	var writing sync.Mutex
	var once sync.Once
	for _, r := range []io.Reader{out, errs} {
		readers.Go(func() {
			lines := bufio.NewScanner(r)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				writing.Lock()
				fmt.Fprintln(log, lines.Text())
				writing.Unlock()
				if m := pattern.FindStringSubmatch(lines.Text()); m != nil {
					once.Do(func() { found <- m[1] })
				}
			}
		})
	}
	go func() {
		readers.Wait()
		p.err = cmd.Wait()
		close(p.done)
	}()
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case s := <-found:
		return p, s, nil
	case <-p.done:
		return nil, "", fmt.Errorf("start %s: %w: %v", name, ErrEnded, p.err)
	case <-late.C:
		p.Kill()
		return nil, "", fmt.Errorf("start %s: not ready within %s", name, Patience)
	}
}

// Start runs one of our programs: Run, with its path found.
func Start(t testing.TB, env []string, match, name string, args ...string) (*Program, string) {
	t.Helper()
	return Run(t, env, match, Binary(t, name), args...)
}

// Run launches a program that ends with the test. What it prints is shown when the test
// fails.
func Run(t testing.TB, env []string, match, path string, args ...string) (*Program, string) {
	t.Helper()
	log := Log(t, filepath.Base(path))
	p, found, err := Launch(log, env, match, path, args...)
	if err != nil {
		t.Fatal(err)
	}
	p.Printed = log.Name()
	t.Cleanup(func() { p.Stop(t) })
	return p, found
}

// Log is a file for what a program prints, whose end is shown when the test fails.
func Log(t testing.TB, name string) *os.File {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), name+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			lines := strings.Split(string(b), "\n")
			t.Logf("%s printed:\n%s", name, strings.Join(lines[max(0, len(lines)-60):], "\n"))
		}
		_ = log.Close()
	})
	return log
}

// PID is the process's number.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process is gone.
func (p *Program) Done() <-chan struct{} { return p.done }

// Err is how the process ended, nil for exit status 0; read it after Done.
func (p *Program) Err() error { return p.err }

// Stop ends a program politely and holds it to the ten seconds it promises.
func (p *Program) Stop(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
		p.Kill()
		t.Errorf("%s did not stop within ten seconds", filepath.Base(p.cmd.Path))
	}
}

// Kill ends a program with SIGKILL, whatever it does, and waits until it is gone.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Signal sends a signal.
func (p *Program) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }
