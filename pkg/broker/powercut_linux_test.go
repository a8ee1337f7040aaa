package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/throughline-dev/throughline/pkg/broker"
	"github.com/throughline-dev/throughline/pkg/bus"
)

// powerCuts is how many cuts to try, from BROKER_POWER_CUTS, else 4.
func powerCuts(t *testing.T) int {
	t.Helper()
	value := os.Getenv("BROKER_POWER_CUTS")
	if value == "" {
		return 4
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		t.Fatalf("BROKER_POWER_CUTS is %q, want a number from 1", value)
	}
	return n
}

// A power cut is made of a file system in a file: a child stores messages on
// it, is stopped at a random moment, and the file is copied as it is then: it
// has what reached the device, and not what only was in the page cache. The
// copy is mounted, which replays its journal as a boot would, and a broker is
// started on it.
//
// What this does not do is tear or reorder sectors in a disk's own cache.

func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	total := 0
	for range powerCuts(t) {
		acked, lost, twice, altered := powerCut(t, broker.Barrier)
		if lost+twice+altered > 0 {
			t.Errorf("of %d acknowledged: %d lost, %d stored twice, %d altered", acked, lost, twice, altered)
		}
		total += acked
	}
	t.Logf("%d power cuts, %d acknowledged", powerCuts(t), total)
}

// The same with JetStream's own acknowledgement. It has to lose messages: if it
// does not, the test above could not have failed either.
func TestPowerCutWithoutBarrierLosesMessages(t *testing.T) {
	t.Parallel()
	acked, lost, _, _ := powerCut(t, broker.None)
	if lost == 0 {
		t.Errorf("none of %d acknowledged messages was lost without a sync: the power cut cuts nothing", acked)
	}
	t.Logf("1 power cut, %d acknowledged, %d lost", acked, lost)
}

func powerCut(t *testing.T, durability broker.Durability) (acked, lost, twice, altered int) {
	t.Helper()
	before := newImage(t, t.TempDir(), 96<<20)
	before.mount(t)
	dir := filepath.Join(before.point, "broker")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := startChild(t, dir, durability, "cut", nil)
	p.waitFor(t, 200+rand.IntN(6000))
	freeze(t, p.cmd.Process.Pid)
	after := before.copy(t)
	reported := p.kill(t)
	before.unmount(t)
	after.mount(t)
	defer after.unmount(t)
	lost, twice, altered = compare(t, filepath.Join(after.point, "broker"), reported)
	return len(reported), lost, twice, altered
}

// freeze stops a process and returns when all of its threads have stopped.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			t.Fatalf("stop the child: status %x, %v", status, err)
		}
		return
	}
}

// image is an ext4 file system in a file.
type image struct {
	file    string
	point   string // where it is mounted
	mounted bool
}

// needed explains a machine that cannot run these tests. They fail rather than
// skip there: nobody should believe that they passed.
const needed = "this test needs root, a free loop device, mount (util-linux) and mkfs.ext4 (e2fsprogs); " +
	"run it as root (in a container: --privileged), or leave it out by name with -skip 'PowerCut|WriteError|DiskFull'"

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s\n%s", name, args, err, bytes.TrimSpace(out), needed)
	}
}

func newImage(t *testing.T, dir string, size int64) *image {
	t.Helper()
	i := &image{file: filepath.Join(dir, "image")}
	f, err := os.Create(i.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", i.file)
	return i
}

func (i *image) mount(t *testing.T) {
	t.Helper()
	i.point = t.TempDir()
	run(t, "mount", "-o", "loop", i.file, i.point)
	i.mounted = true
	t.Cleanup(func() { i.unmount(t) })
}

func (i *image) unmount(t *testing.T) {
	t.Helper()
	if i.mounted {
		i.mounted = false
		run(t, "umount", i.point)
	}
}

// copy returns the image as it is on its device now.
func (i *image) copy(t *testing.T) *image {
	t.Helper()
	from, err := os.Open(i.file)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	copied := &image{file: filepath.Join(t.TempDir(), "image")}
	to, err := os.Create(copied.file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return copied
}

func syncFileSystemOf(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// mountTmpfs returns a directory in memory that holds at most size bytes.
func mountTmpfs(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "tmpfs", dir)
	t.Cleanup(func() { run(t, "umount", dir) })
	return dir
}

// A disk that fails: the file system is in a file in memory, which is larger
// than that memory, so that at some point the device cannot write any more and
// a real fsync returns a real error. After it nothing is acknowledged, not even
// when the device works again. What was acknowledged before is not compared:
// the loop driver reports a write that was cut short as complete, so this
// device lies just before it fails.
func TestWriteErrorEndsAcknowledging(t *testing.T) {
	t.Parallel()
	memory := mountTmpfs(t, 12<<20)
	disk := newImage(t, memory, 64<<20)
	disk.mount(t)
	s := start(t, broker.Options{Dir: filepath.Join(disk.point, "broker"), MaxStore: 1 << 40})
	nc, js, _ := open(t, s)
	committer := bus.NewCommitter(js, s, bus.CommitterOptions{MaxWait: time.Second})

	var acked atomic.Int64
	var writers sync.WaitGroup
	for writer := range childWriters {
		writers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("eio-%d-%d", writer, i)
				if _, _, err := committer.Append(t.Context(), &nats.Msg{Subject: "s." + id, Data: body(id)}, id); err != nil {
					return
				}
				acked.Add(1)
			}
		})
	}
	writers.Wait()
	if acked.Load() == 0 {
		t.Error("nothing was acknowledged while the disk worked")
	}
	select {
	case <-s.Failed():
	default:
		t.Fatal("the writers met an error, but no fsync failed")
	}
	if err := s.Healthy(t.Context()); err == nil {
		t.Error("the broker is healthy")
	}
	run(t, "mount", "-o", "remount,size=512m", memory) // the device recovers
	if _, _, err := committer.Append(t.Context(), &nats.Msg{Subject: "s.after", Data: body("after")}, "after"); err == nil {
		t.Error("a message is acknowledged after a failed fsync")
	}
	if err := committer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	nc.Close()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d acknowledged before the error", acked.Load())
}

// A full disk: appends are refused while there is still room for the broker to
// live in, and accepted again as soon as space is freed, without a restart.
func TestDiskFullIsRefusedAndHeals(t *testing.T) {
	t.Parallel()
	memory := mountTmpfs(t, 64<<20)
	s := start(t, broker.Options{Dir: filepath.Join(memory, "broker"), MaxStore: 1 << 40, Reserve: broker.Reserve{Bytes: 24 << 20}})
	_, js, stream := open(t, s)
	committer := bus.NewCommitter(js, s, bus.CommitterOptions{Admit: s.CheckSpace})
	defer committer.Close(t.Context())
	appendOne := func(id string) error {
		_, _, err := committer.Append(t.Context(), &nats.Msg{Subject: "s." + id, Data: body(id)}, id)
		return err
	}
	if err := appendOne("before"); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(memory, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<20), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := appendOne("while"); !errors.Is(err, broker.ErrNoSpace) {
		t.Errorf("append on a full disk: %v", err)
	}
	if err := s.Healthy(t.Context()); !errors.Is(err, broker.ErrNoSpace) {
		t.Errorf("health on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := appendOne("after"); err != nil {
		t.Errorf("append after space was freed: %v", err)
	}
	if err := s.Healthy(t.Context()); err != nil {
		t.Errorf("health after space was freed: %v", err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.State.Subjects; len(got) != 2 || got["s.before"] != 1 || got["s.after"] != 1 {
		t.Errorf("stored %v", got)
	}
}
