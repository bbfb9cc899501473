package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
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
		Action: func(c *cli.Context) error {
			path, err := onePath(c, "adapter")
			if err != nil {
				return err
			}
			s, err := shown(path)
			if err != nil {
				return err
			}
			return newConsole(c).result(s, func(w io.Writer) { s.print(w, c.Bool("tensors")) })
		},
	}
}

// shownAdapter is the JSON form of what show prints.
type shownAdapter struct {
	Path       string             `json:"path"`
	Format     string             `json:"format"`
	Methods    []inject.Applied   `json:"methods"`
	Task       inject.Task        `json:"task"`
	Head       inject.HeadKind    `json:"head,omitempty"`
	Base       string             `json:"base,omitempty"`
	Unknown    []string           `json:"unknown,omitempty"` // settings that this version reads over
	Placed     bool               `json:"placed"`            // whether it says where in a model its tensors go
	Parameters int64              `json:"parameters"`
	Bytes      int64              `json:"bytes"`
	Tensors    map[string][]int64 `json:"tensors"`
}

func shown(path string) (*shownAdapter, error) {
	if filepath.Ext(path) == ".onnx" {
		p, err := adapterOf(path)
		if err != nil {
			return nil, err
		}
		s := &shownAdapter{Path: path, Format: "injected model", Methods: p.plan.Methods, Task: p.plan.Task, Head: p.plan.Head.Kind, Base: p.plan.Base, Placed: true}
		s.count(p.values)
		return s, nil
	}
	a, err := format.Load(path)
	if err != nil {
		return nil, err
	}
	s := &shownAdapter{Path: path, Format: a.Format, Methods: []inject.Applied{}, Task: a.Task, Head: a.Head, Base: a.Base, Unknown: a.Unknown, Placed: a.Plan != nil}
	for _, m := range a.Methods {
		name, err := inject.NameOf(m)
		if err != nil {
			return nil, err
		}
		settings, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		s.Methods = append(s.Methods, inject.Applied{Name: name, Settings: settings})
	}
	s.count(a.Tensors)
	return s, nil
}

func (s *shownAdapter) count(tensors map[string]*graph.Tensor) {
	s.Tensors = map[string][]int64{}
	for name, t := range tensors {
		s.Tensors[name] = t.Dims
		s.Parameters += t.Len()
		s.Bytes += t.Len() * t.DType.Size()
	}
}

func (s *shownAdapter) print(w io.Writer, tensors bool) {
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
