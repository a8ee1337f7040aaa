// Package webhook reads what comes through a generic signed webhook (Standard Webhooks):
// entries of feedback as /v1/feedback takes them, bare, in an array, or as the data of an
// event whose type ends in "created", "updated" or "deleted".
package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/feedbackapi"
)

// Decode says what a delivery means. It fails if any of its entries is not one.
func Decode(in event.Delivery) ([]change.Change, error) {
	raws, deleted, err := Entries(in.Body)
	if err != nil {
		return nil, fmt.Errorf("decode webhook: %w", err)
	}
	var out []change.Change
	for i, raw := range raws {
		if deleted {
			var e feedbackapi.Entry
			if err := payload.Decode(raw, &e); err != nil || e.ID == "" {
				return nil, fmt.Errorf("decode webhook: entry %d names nothing to delete", i)
			}
			out = append(out, change.ConversationDeleted{Place: e.Place(in.Connection), At: in.ReceivedAt})
			continue
		}
		e, err := feedbackapi.Read(raw)
		if err != nil {
			return nil, fmt.Errorf("decode webhook: entry %d: %w", i, err)
		}
		out = append(out, e.Changes(in.Connection, in.ReceivedAt)...)
	}
	if out == nil {
		return change.None("no entries"), nil
	}
	return out, nil
}

// Entries takes a body apart into its entries, each still to be read. It fails on a body
// that cannot hold any.
func Entries(body []byte) (raws []json.RawMessage, deleted bool, err error) {
	trimmed := strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n")
	if strings.HasPrefix(trimmed, "[") {
		err = payload.Decode(body, &raws)
		return raws, false, err
	}
	var e struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
		Text json.RawMessage `json:"text"`
		Msgs json.RawMessage `json:"messages"`
	}
	if err := payload.Decode(body, &e); err != nil {
		return nil, false, err
	}
	switch {
	case e.Type != "" && len(e.Data) > 0 && e.Data[0] == '[':
		err = payload.Decode(e.Data, &raws)
		return raws, strings.HasSuffix(e.Type, "deleted"), err
	case e.Type != "" && len(e.Data) > 0 && e.Data[0] == '{':
		return []json.RawMessage{e.Data}, strings.HasSuffix(e.Type, "deleted"), nil
	case len(e.Text) > 0 || len(e.Msgs) > 0:
		return []json.RawMessage{body}, false, nil
	}
	return nil, false, errors.New("neither an entry of feedback nor an event with data")
}
