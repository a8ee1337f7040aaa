package tracker

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/throughline-dev/throughline/services/context-publisher/internal/tracker/markup"
)

// oneLine makes a text one clean line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(markup.Clean(s)), " ")
}

// digest is a short fingerprint of what was written beside the comment.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// summary is the beginning of a block as plain text, for the one-line places
// trackers have.
func summary(markdown string, limit int) string {
	return markup.CutUnits(oneLine(markup.Text(markup.Parse(markdown))), limit)
}
