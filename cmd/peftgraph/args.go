package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// reorder moves a command's flags before its positional arguments: urfave/cli v2 silently takes flags that come later as
// arguments. A lone "--" ends the flags, as everywhere.
func reorder(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	out := []string{args[0]}
	rest := args[1:]
	flags := app.Flags
	commands := app.Commands
	for len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		cmd := find(commands, rest[0])
		if cmd == nil {
			break
		}
		out, rest = append(out, rest[0]), rest[1:]
		flags, commands = cmd.Flags, cmd.Subcommands
	}
	var positional []string
	for i := 0; i < len(rest); i++ {
		arg := rest[i]
		if arg == "--" {
			positional = append(positional, rest[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			positional = append(positional, arg)
			continue
		}
		out = append(out, arg)
		if !takesValue(flags, arg) {
			continue
		}
		if i++; i == len(rest) {
			return out // the parser says that the value is missing; behind it, the "--" would be taken for the value
		}
		out = append(out, rest[i])
	}
	if len(positional) > 0 {
		out = append(append(out, "--"), positional...)
	}
	return out
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue reports whether the argument is a flag that the next argument belongs to.
func takesValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				d, ok := f.(cli.DocGenerationFlag)
				return ok && d.TakesValue()
			}
		}
	}
	return false
}

// oneOf is the action of a flag whose value is one of a few names.
func oneOf(flag string, names ...string) func(*cli.Context, string) error {
	return func(_ *cli.Context, value string) error {
		if value == "" || slices.Contains(names, value) {
			return nil
		}
		return usagef("--%s %q: unknown; known are %s", flag, value, strings.Join(names, ", "))
	}
}
