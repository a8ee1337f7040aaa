package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

// childEnv marks a process as an engine and carries its job.
const childEnv = "THROUGHLINE_ENGINE_PROCESS"

// stopGrace is how long the library may take to end before the process exits
// under it: what was acknowledged is on disk already.
const stopGrace = 20 * time.Second

// childJob is what a parent asks of its child.
type childJob struct {
	Library string   `json:"library"`
	Args    []string `json:"args"`
}

// Main turns this process into the engine when a Start made it, and then does
// not return. In every other process it does nothing. The main function of each
// binary that calls Start calls it before anything else.
func Main() {
	text, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	var job childJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		fmt.Fprintln(os.Stderr, "decode engine job:", err)
		os.Exit(2)
	}
	os.Exit(serve(job))
}

// serve runs the library until the standard input ends.
//
// The library executes its query files one after the other: first the one that
// starts the listener, then the read end of a pipe, on which it waits until the
// pipe is closed; then it shuts down. This process stands between its parent's
// pipe and that one so that it can bound the shutdown.
func serve(job childJob) int {
	runtime.LockOSThread()
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		fmt.Fprintln(os.Stderr, "make engine pipe:", err)
		return 2
	}
	// A service manager or a terminal signals every process of a group at once.
	// This one must outlast its parent's last inserts, so only the pipe ends it.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		syscall.Close(pipe[1])
		time.AfterFunc(stopGrace, func() { os.Exit(3) })
	}()
	if err := runLibrary(job.Library, append(job.Args, "--queries-file", "/dev/fd/"+strconv.Itoa(pipe[0]))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runLibrary calls the library's clickhouse-local with args and returns when it
// ends. The calling goroutine must be locked to its thread.
func runLibrary(path string, args []string) error {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("load engine library: %w", err)
	}
	var (
		run     func(argc int32, argv unsafe.Pointer) uintptr
		errText func(result uintptr) string
		destroy func(result uintptr)
	)
	purego.RegisterLibFunc(&run, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&errText, handle, "chdb_result_error")
	purego.RegisterLibFunc(&destroy, handle, "chdb_destroy_query_result")

	var pins runtime.Pinner
	defer pins.Unpin()
	argv := []*byte{}
	for _, arg := range append([]string{"clickhouse"}, args...) {
		text := append([]byte(arg), 0)
		pins.Pin(&text[0])
		argv = append(argv, &text[0])
	}
	argc := int32(len(argv))
	argv = append(argv, nil)
	pins.Pin(&argv[0])

	result := run(argc, unsafe.Pointer(&argv[0]))
	if result == 0 {
		return nil
	}
	defer destroy(result)
	if text := errText(result); text != "" {
		return fmt.Errorf("run engine: %s", text)
	}
	return nil
}
