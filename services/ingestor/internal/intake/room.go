package intake

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// bodyWithin is how long a body may take to come in: vendors send from data centres.
const bodyWithin = 5 * time.Second

// The bytes that bodies may hold while they come in, all together, and what one begins with.
const (
	roomBytes  = 64 << 20
	firstBytes = 4 << 10
)

var errNoRoom = errors.New("too many bytes are coming in")

// room is what bodies may hold while they come in: whoever sends many at once, and never ends
// them, takes that much and no more.
type room struct{ held atomic.Int64 }

// read reads a body to its end. It fails with errNoRoom where others hold too much.
func (o *room) read(from io.Reader) ([]byte, error) {
	body := make([]byte, 0, firstBytes)
	held := int64(cap(body))
	defer func() { o.held.Add(-held) }()
	if o.held.Add(held) > roomBytes {
		return nil, errNoRoom
	}
	for {
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		case len(body) < cap(body):
			continue
		}
		more := int64(cap(body)) // it doubles
		held += more
		if o.held.Add(more) > roomBytes {
			return nil, errNoRoom
		}
		body = append(make([]byte, 0, 2*cap(body)), body...)
	}
}
