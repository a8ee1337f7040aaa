// Package audit keeps the log of who did what, when and from where, in the table audit. Rows
// are added and never changed.
//
// It promises one row for each thing that was done, as soon as it is done, and a line in the
// process's own log where the store could not take one. It refuses to keep what was said: of a
// request it keeps the route and the path, never the body or the query.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/store"
)

// patience is how long the store is given to take a row.
const patience = 5 * time.Second

// longest is how many bytes of a path, or of what a proxy says, are kept.
const longest = 300

// Log writes the audit log. It is safe for concurrent use.
type Log struct {
	db     *store.DB
	log    *slog.Logger
	now    func() time.Time
	random io.Reader
}

// New makes a Log.
func New(db *store.DB, log *slog.Logger, now func() time.Time) *Log {
	return &Log{db: db, log: log, now: now, random: rand.Reader}
}

// Record notes a request that was answered with a status. It waits for the store, also where
// the request's own context is over.
func (l *Log) Record(ctx context.Context, who access.Principal, r *http.Request, status int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var b [12]byte
	_, err := io.ReadFull(l.random, b[:])
	id := "aud_" + hex.EncodeToString(b[:])
	route := r.Pattern
	if route == "" {
		route = r.Method
	}
	if err == nil {
		err = l.db.Insert(ctx, "audit", []string{"workspace", "at", "id", "who", "via", "route", "target", "status", "address", "forwarded"},
			[][]any{{who.Workspace, l.now().UTC(), id, who.Name, string(who.Via), route, short(r.URL.EscapedPath()), uint16(status), address(r), short(r.Header.Get("X-Forwarded-For"))}}, id)
	}
	if err != nil {
		l.log.ErrorContext(ctx, "audit row could not be written", "workspace", who.Workspace, "who", who.Name, "route", route, "status", status, "error", err)
	}
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// short cuts what somebody outside wrote to what can be shown.
func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), longest)]
}
