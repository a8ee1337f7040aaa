package intake

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestBodiesThatComeInShareTheirRoom(t *testing.T) {
	t.Parallel()
	var o room
	for _, size := range []int{0, 1, firstBytes - 1, firstBytes, firstBytes + 1, 1 << 20} {
		want := bytes.Repeat([]byte("x"), size)
		got, err := o.read(bytes.NewReader(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	if _, err := o.read(io.MultiReader(strings.NewReader("half"), broken{})); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that breaks off: %v", err)
	}
	if held := o.held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
	o.held.Store(roomBytes - 2*firstBytes)
	if _, err := o.read(strings.NewReader("small")); err != nil {
		t.Errorf("a small body where there is room for one: %v", err)
	}
	if _, err := o.read(bytes.NewReader(make([]byte, 4*firstBytes))); !errors.Is(err, errNoRoom) {
		t.Errorf("a body that needs more room than there is: %v", err)
	}
	if held := o.held.Load(); held != roomBytes-2*firstBytes {
		t.Errorf("%d bytes are held", held)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
