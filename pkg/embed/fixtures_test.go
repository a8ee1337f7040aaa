package embed

import (
	"os"
	"path/filepath"
)

// models is where the weights are; a test that needs them fails without them.
func models() string {
	if dir := os.Getenv("THROUGHLINE_MODELS"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", ".cache", "models")
}

var feedback = []string{
	"the export button does nothing on safari",
	"please add dark mode to the mobile app",
	"i was charged twice for my subscription, refund me!",
	"love the new dashboard but it takes 30 seconds to load",
}
