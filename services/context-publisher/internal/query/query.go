// Package query says what a failed question to the store means for whoever asked.
package query

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline-dev/throughline/pkg/bus"
	"github.com/throughline-dev/throughline/pkg/store"
)

// Failed says what a query was for, and marks what the store cannot answer now as
// bus.Unavailable, so that a caller answers 503 or tries again for as long as that takes.
// The server's own message is reduced to its code, because it can quote the words that
// were asked for.
func Failed(doing string, err error) error {
	later := store.Retryable(err) || errors.Is(err, context.Canceled)
	var server *clickhouse.Exception
	if errors.As(err, &server) {
		err = fmt.Errorf("server error %d", server.Code)
	}
	err = fmt.Errorf("%s: %w", doing, err)
	if later {
		return bus.Unavailable(err)
	}
	return err
}
