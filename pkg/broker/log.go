package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog hands the lines of nats-server to slog. Debug and trace, which
// carry payloads, are never switched on; the few errors that quote a piece of
// what a client sent lose the quotation.
type serverLog struct {
	logger *slog.Logger
	// fatal is closed at the first fatal line. nats-server expects its logger
	// to end the process there; this one reports it to Start instead.
	fatal chan struct{}
	once  sync.Once
	err   error
}

func newServerLog(logger *slog.Logger) *serverLog {
	return &serverLog{logger: logger.With("component", "broker"), fatal: make(chan struct{})}
}

// Noticef is logged at debug: a server start alone writes thirty notices.
func (l *serverLog) Noticef(format string, v ...any) { l.log(slog.LevelDebug, format, v) }

func (l *serverLog) Warnf(format string, v ...any) { l.log(slog.LevelWarn, format, v) }

func (l *serverLog) Errorf(format string, v ...any) { l.log(slog.LevelError, format, v) }

func (l *serverLog) Fatalf(format string, v ...any) {
	l.log(slog.LevelError, format, v)
	l.once.Do(func() {
		l.err = errors.New(withoutQuotation(fmt.Sprintf(format, v...)))
		close(l.fatal)
	})
}

func (l *serverLog) Debugf(string, ...any) {}

func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) log(level slog.Level, format string, v []any) {
	if l.logger.Enabled(context.Background(), level) {
		l.logger.Log(context.Background(), level, withoutQuotation(fmt.Sprintf(format, v...)))
	}
}

// withoutQuotation cuts a line where nats-server (parser.go, v2.15.2) starts
// to quote the bytes it could not parse.
func withoutQuotation(line string) string {
	for _, start := range []string{"proto='", "(snip: "} {
		if i := strings.Index(line, start); i >= 0 {
			line = line[:i] + "(quotation removed)"
		}
	}
	return line
}

// fatalError returns the first fatal line, or nil.
func (l *serverLog) fatalError() error {
	select {
	case <-l.fatal:
		return l.err
	default:
		return nil
	}
}
