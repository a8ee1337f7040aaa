package chat

import "github.com/throughline-dev/throughline/pkg/mask"

// Read is what an answer with this content gives for a text.
func Read(text, content string) []Finding {
	rows, _ := parse(content)
	return check(text, mask.Mask(text), rows).Findings
}
