package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// onePath returns the command's only positional argument.
func onePath(c *cli.Context, what string) (string, error) {
	if c.NArg() != 1 {
		return "", wrongUsage(c, fmt.Errorf("%s: want one %s, got %d arguments", c.Command.Name, what, c.NArg()))
	}
	return c.Args().First(), nil
}

// withPath is the action of a command that works on its only positional argument.
func withPath(what string, run func(c *cli.Context, o *console, path string) error) cli.ActionFunc {
	return action(func(c *cli.Context, o *console) error {
		path, err := onePath(c, what)
		if err != nil {
			return err
		}
		return run(c, o, path)
	})
}

// runtimeFlags choose the library and the provider.
func runtimeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "provider", Value: "auto", Usage: "where to compute: cpu, cuda or auto", Category: "Runtime", Action: oneOf("provider", append(runtime.Providers(), "auto")...)},
		&cli.IntFlag{Name: "threads", Usage: "threads one operator may use; 0 is one per physical core", Category: "Runtime"},
		ortLibFlag(),
	}
}

func ortLibFlag() cli.Flag {
	return &cli.StringFlag{Name: "ort-lib", Usage: "the libonnxruntime to use (also " + runtime.EnvLibrary + ")", Category: "Runtime"}
}

// engineFrom is what the flags say to compute with; a machine without a library gets one.
func engineFrom(c *cli.Context, o *console) peftgraph.Engine {
	return peftgraph.Engine{Library: c.String("ort-lib"), Provider: c.String("provider"), Threads: c.Int("threads"), Install: true, Note: o.remark,
		Progress: func(step string, done, total int64) { o.progress(step, done, total, "") }}
}

// modelFlag names the base when it isn't where the run remembers it.
func modelFlag() cli.Flag {
	return &cli.StringFlag{Name: "model", Usage: "the model the run was trained on, where it was moved"}
}

func evalBatchFlag() cli.Flag {
	return &cli.IntFlag{Name: "eval-batch-size", Value: train.DefaultSettings().EvalBatch, Usage: "texts per batch"}
}

func thresholdFlag(usage string) cli.Flag {
	return &cli.Float64Flag{Name: "threshold", Value: peftgraph.DefaultThreshold, Usage: usage}
}

// threshold is --threshold where 0 means the default to the library: the smallest number above it admits no difference either.
func threshold(c *cli.Context) float64 {
	if t := c.Float64("threshold"); t != 0 {
		return t
	}
	return math.SmallestNonzeroFloat64
}

const dataCategory = "Data"

// filesUsage says what --data takes.
const filesUsage = "a file, a pattern such as 'part-*.csv', or - for standard input; may be given several times"

// dataFlags say how labelled text is read.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Usage: "format of the data files: " + strings.Join(data.Formats(), ", ") + " (default: by the extension)", Category: dataCategory, Action: oneOf("format", data.Formats()...)},
		&cli.StringFlag{Name: "text-column", Usage: "the text's column, by name or number from 1 (default: found by its name)", Category: dataCategory},
		&cli.StringFlag{Name: "pair-column", Usage: "the second text's column; - for none", Category: dataCategory},
		&cli.StringFlag{Name: "label-column", Usage: "the label's column", Category: dataCategory},
		&cli.BoolFlag{Name: "no-header", Usage: "the first row is data", Category: dataCategory},
		&cli.IntFlag{Name: "label-base", Usage: "the number of the first class, 0 or 1, where labels are numbers of classes that have names", Category: dataCategory},
		&cli.StringFlag{Name: "join", Usage: "what stands between the texts of several columns, given as --text-column title,body (default: a space)", Category: dataCategory},
		&cli.BoolFlag{Name: "strict", Usage: "fail at the first bad row, rather than pass over up to one row in ten", Category: dataCategory},
		&cli.BoolFlag{Name: "latin1", Usage: "the files are in ISO 8859-1, not UTF-8", Category: dataCategory},
	}
}

func dataOptions(c *cli.Context) data.Options {
	opt := data.Options{Format: c.String("format"), TextColumn: c.String("text-column"), PairColumn: c.String("pair-column"),
		LabelColumn: c.String("label-column"), NoHeader: c.Bool("no-header"), Latin1: c.Bool("latin1"), Join: c.String("join"), Strict: c.Bool("strict")}
	if c.IsSet("label-base") {
		base := c.Int("label-base")
		opt.LabelBase = &base
	}
	return opt
}

// placementFlags are the flags that [placementFrom] reads.
func placementFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "base", Usage: "the model the adapters are for: needed where no " + format.PlanFile + " lies beside an adapter"},
		&cli.StringFlag{Name: "labels", Usage: "the classes, by name, in the order of the logits, for adapters whose format has no names"},
		forceFlag(),
	}
}

func forceFlag() cli.Flag {
	return &cli.BoolFlag{Name: "force", Usage: "accept an adapter of another base"}
}

func placementFrom(c *cli.Context, o *console) peftgraph.AdapterOptions {
	return peftgraph.AdapterOptions{Base: c.String("base"), Labels: labelsFrom(c), Force: c.Bool("force"), Note: o.remark}
}

func adapterFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "adapter", Usage: "NAME=RUN/: a task's name and its run folder or injected model; several on one base, in place of RUN/"}
}

// oneOrJoint is the action of a command that works on one run, or on the runs of --adapter.
func oneOrJoint(what string, one func(*cli.Context, *console, string) error, several func(*cli.Context, *console) error) cli.ActionFunc {
	return action(func(c *cli.Context, o *console) error {
		if c.IsSet("adapter") {
			return several(c, o)
		}
		if c.NArg() > 1 {
			return hinted(usagef("%s: want one %s, got %d arguments", c.Command.Name, what, c.NArg()), "--adapter a=RUN/ --adapter b=RUN/ for several on one base")
		}
		return withPath(what, one)(c)
	})
}

// joined opens the runs of --adapter and joins them.
func joined(c *cli.Context) (*peftgraph.Joint, error) {
	if c.NArg() > 0 {
		return nil, hinted(usagef("%s: --adapter takes the place of %s", c.Command.Name, c.Args().First()), "--adapter NAME="+shellQuoted(c.Args().First()))
	}
	var runs []peftgraph.Named
	for _, given := range c.StringSlice("adapter") {
		name, path, ok := strings.Cut(given, "=")
		if !ok || name == "" || path == "" {
			return nil, hinted(usagef("--adapter %s: want NAME=RUN/", given), "--adapter sentiment=run/")
		}
		run, err := peftgraph.OpenRunOn(path, c.String("model"))
		if err != nil {
			return nil, err
		}
		runs = append(runs, peftgraph.Named{Name: name, Run: run})
	}
	return peftgraph.Join(runs...)
}

// shellQuoted is a path as it can be pasted into a shell.
func shellQuoted(path string) string {
	if strings.ContainsAny(path, " '\"$&|;<>()*?[]\\`!#~\t\n") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// filesText is what --data was given, as messages have it.
func filesText(files []string) string {
	var out []string
	for _, path := range files {
		if path == data.Stdin {
			path = "standard input"
		}
		out = append(out, path)
	}
	return strings.Join(out, " ")
}
