package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/combine"
	"github.com/peftgraph/peftgraph/inject/format"
)

// writeFlags are the flags of the commands that write an adapter.
func writeFlags(what string) []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "to", Value: format.HFPEFT, Usage: "the format to write: " + strings.Join(format.Names(), ", "), Action: oneOf("to", format.Names()...)},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: what},
	}
	return append(flags, placementFlags()...)
}

// writeAdapter writes an adapter into --output, where nothing may be yet.
func writeAdapter(c *cli.Context, o *console, a *peftgraph.Adapter) error {
	out, to := c.String("output"), c.String("to")
	if out == "" {
		return usagef("adapters %s: -o is needed", c.Command.Name)
	}
	if err := a.Save(out, to); err != nil {
		return err
	}
	if to == format.HFPEFT && !format.PEFTReadsHead(a.Plan) {
		o.note("to PEFT this is an adapter of the bare encoder: Hugging Face's %s has no classifier on %s; apply classifier.weight and classifier.bias of the file yourself",
			a.Plan.Encoder.Family, a.Plan.Head.Kind)
	}
	return nil
}

func adaptersConvertCommand() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "write an adapter, or the one in an injected model, in another format",
		ArgsUsage: "ADAPTER",
		Flags:     append(append(writeFlags("the folder or file to write"), layoutFlag()), outputFlags()...),
		Action:    withPath("adapter", convertAdapter),
	}
}

func convertAdapter(c *cli.Context, o *console, path string) error {
	a, err := peftgraph.OpenAdapter(path, placementFrom(c, o))
	if err != nil {
		return err
	}
	if layout := c.String("layout"); layout != "" {
		if err := a.Relayout(layout); err != nil {
			return err
		}
		o.note("virtual tokens trained in one place stand in another now: the outputs are not what they were; train on from here")
	}
	if err := writeAdapter(c, o, a); err != nil {
		return err
	}
	v := struct {
		Output     string `json:"output"`
		Format     string `json:"format"`
		Parameters int    `json:"parameters"`
	}{c.String("output"), c.String("to"), a.Plan.Parameters()}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s, %s\n", v.Output, v.Format, planText(a.Plan))
	})
}

func layoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "layout", Usage: "write virtual tokens for the other library's placement, peft or adapterhub, which changes what the model computes",
		Action: oneOf("layout", inject.LayoutPEFT, inject.LayoutAdapterHub)}
}

func adaptersCombineCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "method", Value: "cat", Usage: "how: " + combineMethods(), Action: oneOf("method", combine.Methods()...)},
		&cli.StringFlag{Name: "weights", Usage: "one number for each adapter: 0.7,0.3 (default: the same for all, together 1)"},
		&cli.IntFlag{Name: "rank", Usage: "rank of the result of a method that ends in svd (default: the largest of the adapters')"},
		&cli.Float64Flag{Name: "density", Value: 0.5, Usage: "share of the elements that ties, dare and magnitude_prune keep"},
		&cli.StringFlag{Name: "signs", Value: "total", Usage: "how ties elects a sign: total or frequency", Action: oneOf("signs", "total", "frequency")},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "seed of what dare drops"},
		&cli.StringFlag{Name: "keep-head", Usage: "the adapter whose head is kept; otherwise heads of the same labels are averaged"},
	}
	flags = append(flags, writeFlags("the folder or file to write")...)
	return &cli.Command{
		Name:      "combine",
		Usage:     "make one LoRA adapter of several on the same base, and say how far it is from their weighted sum",
		ArgsUsage: "ADAPTER ADAPTER...",
		Flags:     append(flags, outputFlags()...),
		Action:    action(combineAdapters),
	}
}

func combineMethods() string {
	var out []string
	for _, m := range combine.Methods() {
		out = append(out, m+" ("+combine.Summary(m)+")")
	}
	return strings.Join(out, ", ")
}

func combineAdapters(c *cli.Context, o *console) error {
	adapters, err := openAdapters(c, o, 2)
	if err != nil {
		return err
	}
	weights, err := weightsFrom(c)
	if err != nil {
		return err
	}
	r, err := peftgraph.CombineAdapters(adapters, weights, combine.Options{Method: c.String("method"), Rank: c.Int("rank"), Density: c.Float64("density"),
		Signs: c.String("signs"), Seed: c.Uint64("seed"), Head: c.String("keep-head"), Force: c.Bool("force")})
	if err != nil {
		return err
	}
	if err := writeAdapter(c, o, &peftgraph.Adapter{Plan: r.Plan, Values: r.Values}); err != nil {
		return err
	}
	v := struct {
		Output  string          `json:"output"`
		Method  string          `json:"method"`
		Errors  []combine.Error `json:"errors"`
		Total   combine.Error   `json:"total"`
		Adapter string          `json:"adapter"`
	}{c.String("output"), c.String("method"), r.Errors, r.Total(), planText(r.Plan)}
	return o.result(v, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "module\tnorm of the weighted sum\tdistance from it\t")
		for _, e := range append(v.Errors, v.Total) {
			fmt.Fprintf(t, "%s\t%.4g\t%.2g\t%s\n", e.Module, e.Norm, e.Distance, share(e.Distance, e.Norm))
		}
		_ = t.Flush()
		fmt.Fprintf(w, "%s: %s by %s\n", v.Output, v.Adapter, v.Method)
	})
}

// share is "12.3 %", or nothing where there is no whole.
func share(part, whole float64) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf("%.2g %%", 100*part/whole)
}

// openAdapters loads the adapters that the arguments name, at least so many.
func openAdapters(c *cli.Context, o *console, least int) ([]*peftgraph.Adapter, error) {
	if c.NArg() < least {
		return nil, usagef("adapters %s: want at least %d adapters, got %d", c.Command.Name, least, c.NArg())
	}
	var adapters []*peftgraph.Adapter
	for _, path := range c.Args().Slice() {
		a, err := peftgraph.OpenAdapter(path, placementFrom(c, o))
		if err != nil {
			return nil, err
		}
		adapters = append(adapters, a)
	}
	return adapters, nil
}

// weightsFrom reads --weights, nil without it.
func weightsFrom(c *cli.Context) ([]float64, error) {
	if c.String("weights") == "" {
		return nil, nil
	}
	var weights []float64
	for _, p := range strings.Split(c.String("weights"), ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || x-x != 0 {
			return nil, usagef("--weights: %q is no number", p)
		}
		weights = append(weights, x)
	}
	return weights, nil
}

func adaptersDiffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "compare two adapters: norms of the updates and of the heads, and of their differences",
		ArgsUsage: "ADAPTER ADAPTER",
		Flags:     append(placementFlags(), outputFlags()...),
		Action: action(func(c *cli.Context, o *console) error {
			if c.NArg() != 2 {
				return usagef("adapters diff: want two adapters, got %d", c.NArg())
			}
			adapters, err := openAdapters(c, o, 2)
			if err != nil {
				return err
			}
			rows, err := peftgraph.DiffAdapters(adapters[0], adapters[1], c.Bool("force"))
			if err != nil {
				return err
			}
			return o.result(rows, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				defer t.Flush()
				fmt.Fprintln(t, "place\tnorm of the first\tof the second\tof the difference")
				for _, d := range rows {
					fmt.Fprintf(t, "%s\t%.4g\t%.4g\t%.4g\n", d.Place, d.A, d.B, d.Distance)
				}
			})
		}),
	}
}
