package cli

import "fmt"

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Report every mistake; exit code 2 if there is one."`
	Print configPrintCommand `cmd:"" help:"Print the effective values; secrets show where they come from."`
}

type configCheckCommand struct {
	configFlags
}

func (c *configCheckCommand) Run(s *Streams) error {
	if _, _, err := c.load(s); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.Out, "the configuration is valid")
	return err
}

type configPrintCommand struct {
	configFlags
}

func (c *configPrintCommand) Run(s *Streams) error {
	effective, _, err := c.load(s)
	if err != nil {
		return err
	}
	return effective.Print(s.Out)
}
