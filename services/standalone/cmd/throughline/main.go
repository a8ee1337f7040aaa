// Command throughline is the all-in-one: the four services over an embedded broker and
// engine, and the commands that operate them.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/engine"
	"github.com/throughline-dev/throughline/services/standalone/internal/cli"
)

func main() {
	engine.Main() // the binary runs itself again as the embedded engine
	os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
