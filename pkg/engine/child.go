package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// maxLog is the size in bytes past which a start moves the log to engine.log.1.
const maxLog = 16 << 20

// child is one engine process. Its standard input is a pipe that this process
// holds: when the pipe closes, by stop or by this process's death, it ends.
type child struct {
	command  *exec.Cmd
	lifeline io.Closer
	once     sync.Once
	done     chan struct{} // closed when the process is gone
	err      error         // how it ended; readable after done
}

// spawn starts a child over the engine's folder; it does not wait for it to
// answer.
func (e *Engine) spawn() (*child, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	tables := filepath.Join(e.dir, tablesDir)
	if err := os.MkdirAll(tables, 0o700); err != nil {
		return nil, fmt.Errorf("make tables folder: %w", err)
	}
	job, err := json.Marshal(childJob{
		Library: e.library,
		Args: []string{
			"--config-file", filepath.Join(e.dir, serverFile),
			"--path", tables,
			"--listen_host", "127.0.0.1",
			"--tcp_port", strconv.Itoa(e.port),
			"--log-level", "warning",
			"--queries-file", filepath.Join(e.dir, listenFile),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode engine job: %w", err)
	}
	log, err := openLog(filepath.Join(e.dir, logFile))
	if err != nil {
		return nil, err
	}
	defer log.Close()

	command := exec.Command(executable)
	command.Env = append(os.Environ(), childEnv+"="+string(job))
	command.Dir = e.dir
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{e.lock.file}
	// A group of its own: a Ctrl-C in the terminal is for the parent, which then
	// stops the engine in its turn.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make engine's lifeline: %w", err)
	}
	if err := command.Start(); err != nil {
		lifeline.Close()
		return nil, fmt.Errorf("run engine process: %w", err)
	}
	c := &child{command: command, lifeline: lifeline, done: make(chan struct{})}
	go func() {
		c.err = command.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.command.Process.Pid }

// stop asks the process to end.
func (c *child) stop() { c.once.Do(func() { c.lifeline.Close() }) }

// kill ends the process now and waits for that.
func (c *child) kill() {
	if err := c.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.stop()
	}
	<-c.done
}

// exit says how an ended process ended.
func (c *child) exit() string {
	if c.err == nil {
		return "exit status 0"
	}
	return c.err.Error()
}

// openLog opens the engine's log for appending, moving a large one aside.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate engine log: %w", err)
		}
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open engine log: %w", err)
	}
	return log, nil
}

// lastLine is the last line of a log that is not blank, for an error message.
func lastLine(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return "no log"
	}
	defer file.Close()
	const tail = 4 << 10
	if info, err := file.Stat(); err == nil && info.Size() > tail {
		if _, err := file.Seek(-tail, io.SeekEnd); err != nil {
			return "no log"
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
