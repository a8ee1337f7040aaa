package broker_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/bus"
)

// The crash tests run this test binary again as a child that appends messages
// as fast as it can and writes a line to its standard output for each one that
// was acknowledged, until it is killed.
const (
	childDir        = "BROKER_CHILD_DIR"        // of its broker; set: be a child
	childDurability = "BROKER_CHILD_DURABILITY" // of its broker
	childRound      = "BROKER_CHILD_ROUND"      // first part of its ids
	childRetry      = "BROKER_CHILD_RETRY"      // ids to append first, as a vendor's retry
	childWriters    = 16
)

// streamConfig has blocks of 4 MB, so that a run crosses from one to the next,
// and compresses those that are full, as production streams do.
func streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, MaxBytes: 512 << 20, Discard: jetstream.DiscardNew,
		Compression: jetstream.S2Compression, Duplicates: 30 * time.Minute,
	}
}

// body is the 1.5 KB that belong to an id; they do not compress.
func body(id string) []byte {
	b := make([]byte, 1536)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(id))).Read(b) // never fails
	return b
}

func runChild() int {
	if err := child(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func child(ctx context.Context) error {
	s, err := broker.Start(ctx, broker.Options{
		Dir: os.Getenv(childDir), Durability: broker.Durability(os.Getenv(childDurability)),
		MaxStore: 1 << 40, Reserve: broker.Reserve{Bytes: 1},
	})
	if err != nil {
		return err
	}
	nc, err := s.Connect()
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, streamConfig()); err != nil {
		return err
	}
	// That the stream exists is durable in every mode, so that what the modes
	// differ in is the messages.
	if err := syncFileSystemOf(os.Getenv(childDir)); err != nil {
		return err
	}
	committer := bus.NewCommitter(js, s, bus.CommitterOptions{})
	appendOne := func(id string) error {
		if _, _, err := committer.Append(ctx, &nats.Msg{Subject: "s." + id, Data: body(id)}, id); err != nil {
			return err
		}
		// One write per line: what was acknowledged is in the pipe.
		_, err := os.Stdout.WriteString(id + "\n")
		return err
	}
	for _, id := range strings.FieldsFunc(os.Getenv(childRetry), func(r rune) bool { return r == ',' }) {
		if err := appendOne(id); err != nil {
			return err
		}
	}
	failed := make(chan error)
	for writer := range childWriters {
		go func() {
			for i := 0; ; i++ {
				if err := appendOne(fmt.Sprintf("%s-%d-%d", os.Getenv(childRound), writer, i)); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// process is a running child, and what it said was acknowledged.
type process struct {
	cmd  *exec.Cmd
	eof  chan struct{} // closed when everything it wrote was read
	mu   sync.Mutex
	acks []string
	more *sync.Cond
	gone bool
}

func startChild(t *testing.T, dir string, durability broker.Durability, round string, retry []string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(),
		childDir+"="+dir, childDurability+"="+string(durability), childRound+"="+round, childRetry+"="+strings.Join(retry, ","))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, eof: make(chan struct{})}
	p.more = sync.NewCond(&p.mu)
	go p.read(out)
	t.Cleanup(func() { p.kill(t) })
	return p
}

func (p *process) read(out io.Reader) {
	defer close(p.eof)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		p.acks = append(p.acks, lines.Text())
		p.more.Broadcast()
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.gone = true
	p.more.Broadcast()
	p.mu.Unlock()
}

// waitFor returns when the child has reported n messages.
func (p *process) waitFor(t *testing.T, n int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.acks) < n && !p.gone {
		p.more.Wait()
	}
	if p.gone {
		t.Fatalf("the child ended by itself after %d messages", len(p.acks))
	}
}

// kill ends the child with SIGKILL and returns all that it reported before.
func (p *process) kill(t *testing.T) []string {
	t.Helper()
	if p.cmd.ProcessState == nil {
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-p.eof // before Wait, which closes the pipe
		var exit *exec.ExitError
		if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the child ended otherwise than by our signal: %v", err)
		}
	}
	return p.acks
}

// compare reads the store in dir and counts the acknowledged ids that it has
// lost, has twice or has altered.
func compare(t *testing.T, dir string, acked []string) (lost, twice, altered int) {
	t.Helper()
	s, err := broker.Start(t.Context(), broker.Options{Dir: dir, MaxStore: 1 << 40, Reserve: broker.Reserve{Bytes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stored := make(map[string]int)
	stream, err := js.Stream(t.Context(), "S")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return len(acked), 0, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for read, all := 0, int(stream.CachedInfo().State.Msgs); read < all; {
		batch, err := consumer.Fetch(min(500, all-read), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatalf("read the store: %v", err)
		}
		before := read
		for msg := range batch.Messages() {
			read++
			id := strings.TrimPrefix(msg.Subject(), "s.")
			stored[id]++
			if string(msg.Data()) != string(body(id)) {
				altered++
			}
		}
		if err := batch.Error(); err != nil || read == before {
			t.Fatalf("read the store: %d of %d messages, %v", read, all, err)
		}
	}
	for _, id := range acked {
		if stored[id] == 0 {
			lost++
		}
	}
	for _, n := range stored {
		if n > 1 {
			twice++
		}
	}
	return lost, twice, altered
}

func TestKillLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var acked, inDoubt []string
	for round := range 10 {
		name := fmt.Sprintf("r%d", round)
		p := startChild(t, dir, broker.Barrier, name, inDoubt)
		p.waitFor(t, len(inDoubt)+20+rand.IntN(400))
		reported := p.kill(t)
		acked = append(acked, reported...)
		inDoubt = unanswered(name, reported)
	}
	lost, twice, altered := compare(t, dir, acked)
	if lost+twice+altered > 0 {
		t.Errorf("of %d acknowledged: %d lost, %d stored twice, %d altered", len(acked), lost, twice, altered)
	}
	t.Logf("10 kills, %d acknowledged, %d lost, %d stored twice", len(acked), lost, twice)
}

// unanswered is what a vendor would send again: each writer's message after its
// last acknowledged one.
func unanswered(round string, acked []string) (ids []string) {
	next := make([]int, childWriters)
	for _, id := range acked {
		var writer, i int
		if _, err := fmt.Sscanf(id, round+"-%d-%d", &writer, &i); err == nil {
			next[writer] = max(next[writer], i+1)
		}
	}
	for writer, i := range next {
		ids = append(ids, fmt.Sprintf("%s-%d-%d", round, writer, i))
	}
	return ids
}
