package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// RowError says that one row of an Insert cannot be written as it is, however
// often it is tried. Nothing of that Insert was written: the caller gives that
// row up and inserts the others. The message names the place and never the
// value.
type RowError struct {
	// Table and Index say which row of the call, counting from 0.
	Table string
	Index int
	// Reason is one of a few fixed phrases.
	Reason string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("append row %d to %s: %s", e.Index, e.Table, e.Reason)
}

// transient are the server's error codes that a later try can get past: time,
// memory, load, disk, network and Keeper. Source: ClickHouse's
// src/Common/ErrorCodes.cpp.
var transient = map[int32]bool{
	3:   true, // UNEXPECTED_END_OF_FILE
	32:  true, // ATTEMPT_TO_READ_AFTER_EOF
	101: true, // UNEXPECTED_PACKET_FROM_CLIENT
	159: true, // TIMEOUT_EXCEEDED
	173: true, // CANNOT_ALLOCATE_MEMORY
	198: true, // DNS_ERROR
	202: true, // TOO_MANY_SIMULTANEOUS_QUERIES
	203: true, // NO_FREE_CONNECTION
	209: true, // SOCKET_TIMEOUT
	210: true, // NETWORK_ERROR
	225: true, // NO_ZOOKEEPER
	236: true, // ABORTED
	241: true, // MEMORY_LIMIT_EXCEEDED
	242: true, // TABLE_IS_READ_ONLY
	243: true, // NOT_ENOUGH_SPACE
	252: true, // TOO_MANY_PARTS
	254: true, // NO_ACTIVE_REPLICAS
	279: true, // ALL_CONNECTION_TRIES_FAILED
	285: true, // TOO_FEW_LIVE_REPLICAS
	286: true, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
	289: true, // REPLICA_IS_NOT_IN_QUORUM
	319: true, // UNKNOWN_STATUS_OF_INSERT
	394: true, // QUERY_WAS_CANCELLED
	415: true, // ALL_REPLICAS_LOST
	425: true, // SYSTEM_ERROR
	439: true, // CANNOT_SCHEDULE_TASK
	473: true, // DEADLOCK_AVOIDED
	517: true, // CANNOT_ASSIGN_ALTER
	999: true, // KEEPER_EXCEPTION
}

// Retryable says whether doing the same again later can succeed: the server or
// the way to it was at fault, not the statement or the rows. A cancelled context
// is not retryable (the caller has left); a passed deadline is.
func Retryable(err error) bool {
	var row *RowError
	if err == nil || errors.As(err, &row) || errors.Is(err, context.Canceled) {
		return false
	}
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return transient[exception.Code]
	}
	var network net.Error
	if errors.As(err, &network) {
		return true
	}
	for _, sign := range []error{
		context.DeadlineExceeded, clickhouse.ErrAcquireConnTimeout, driver.ErrBadConn, net.ErrClosed,
		io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE,
	} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// Reason is an error's kind in a few words, for logs: the server's code or where
// else it came from. Unlike the error's text it never quotes a value, which
// servers do with what a query was given.
func Reason(err error) string {
	var row *RowError
	var exception *clickhouse.Exception
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &row):
		return row.Error()
	case errors.As(err, &exception):
		return fmt.Sprintf("server error %d", exception.Code)
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case Retryable(err):
		return "connection failed"
	default:
		return "refused by the driver"
	}
}
