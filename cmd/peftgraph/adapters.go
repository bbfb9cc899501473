package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
)

func adaptersCommand() *cli.Command {
	return &cli.Command{
		Name:  "adapters",
		Usage: "look into adapters, convert them between formats, combine and compare them",
		Subcommands: []*cli.Command{
			adaptersListCommand(), adaptersShowCommand(), adaptersConvertCommand(), adaptersCombineCommand(), adaptersDiffCommand(),
		},
	}
}

func adaptersListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the formats and what each calls the methods that it holds",
		Flags: outputFlags(),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("adapters list: takes no arguments")
			}
			return listFormats(newConsole(c))
		},
	}
}

func listFormats(o *console) error {
	type entry struct {
		Name    string            `json:"name"`
		Summary string            `json:"summary"`
		Methods map[string]string `json:"methods"`
	}
	var all []entry
	for _, name := range format.Names() {
		f, err := format.New(name)
		if err != nil {
			return err
		}
		all = append(all, entry{name, f.Summary, f.Methods()})
	}
	return o.result(all, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		defer t.Flush()
		for _, f := range all {
			fmt.Fprintf(t, "%s\t%s\n", f.Name, f.Summary)
		}
		fmt.Fprintf(t, "\nmethod\t")
		for _, f := range all {
			fmt.Fprintf(t, "%s\t", f.Name)
		}
		fmt.Fprintln(t)
		for _, m := range inject.Names() {
			fmt.Fprintf(t, "%s\t", m)
			for _, f := range all {
				own := f.Methods[m]
				if own == "" {
					own = "-"
				}
				fmt.Fprintf(t, "%s\t", own)
			}
			fmt.Fprintln(t)
		}
	})
}

func adaptersShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "say what an adapter holds: methods, settings, head, labels, tensors, base",
		ArgsUsage: "ADAPTER",
		Flags:     append([]cli.Flag{&cli.BoolFlag{Name: "tensors", Usage: "list the tensors"}}, outputFlags()...),
		Action: withPath("adapter", func(c *cli.Context, o *console, path string) error {
			s, err := peftgraph.InspectAdapter(path)
			if err != nil {
				return err
			}
			return o.result(s, func(w io.Writer) { printAdapter(w, s, c.Bool("tensors")) })
		}),
	}
}

func printAdapter(w io.Writer, s *peftgraph.AdapterInfo, tensors bool) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "adapter\t%s\nformat\t%s\n", s.Path, s.Format)
	for _, m := range s.Methods {
		fmt.Fprintf(t, "method\t%s %s\n", m.Name, m.Settings)
	}
	if len(s.Unknown) > 0 {
		fmt.Fprintf(t, "unknown\t%s\n", strings.Join(s.Unknown, ", "))
	}
	switch {
	case s.Task.Type == "":
		fmt.Fprintf(t, "head\tnone\n")
	case len(s.Task.Labels) > 0:
		fmt.Fprintf(t, "head\t%s on %s: %s\n", s.Task.Type, s.Head, strings.Join(s.Task.Labels, ", "))
	default:
		fmt.Fprintf(t, "head\t%s on %s\n", s.Task.Type, s.Head)
	}
	fmt.Fprintf(t, "tensors\t%d, %s parameters, %s bytes\n", len(s.Tensors), thousands(int(s.Parameters)), thousands(int(s.Bytes)))
	base := "it doesn't say"
	if s.Base != "" {
		base = "fingerprint " + s.Base
	}
	fmt.Fprintf(t, "base\t%s\n", base)
	if tensors {
		for _, name := range slices.Sorted(maps.Keys(s.Tensors)) {
			fmt.Fprintf(t, "\t%s\t%v\n", name, s.Tensors[name])
		}
	}
}
