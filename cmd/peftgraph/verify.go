package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/crosscheck"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

func verifyCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "text to compare on (default: random tokens)", Category: dataCategory},
		&cli.StringFlag{Name: "tokenizer", Usage: "tokenizer.json or vocab.txt (default: the one beside A.onnx)", Category: dataCategory},
		&cli.IntFlag{Name: "max-length", Value: 128, Usage: "tokens after which a text is cut", Category: dataCategory},
		&cli.Float64Flag{Name: "threshold", Value: defaultThreshold, Usage: "largest difference that passes"},
		&cli.IntFlag{Name: "eval-batch-size", Value: train.DefaultSettings().EvalBatch, Usage: "texts per batch"},
	}
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:        "verify",
		Usage:       "run two models on the same inputs and compare their outputs",
		ArgsUsage:   "A.onnx B.onnx",
		Description: "Exit status 3 when an output differs by more than the threshold.",
		Flags:       append(flags, outputFlags()...),
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usagef("verify: want two models, got %d arguments", c.NArg())
			}
			return runVerify(c, newConsole(c), c.Args().Get(0), c.Args().Get(1))
		},
	}
}

func runVerify(c *cli.Context, o *console, a, b string) error {
	e, err := openEngine(c.Context, c, o)
	if err != nil {
		return err
	}
	x, closeX, err := e.side(c.Context, a)
	if err != nil {
		return err
	}
	defer closeX()
	y, closeY, err := e.side(c.Context, b)
	if err != nil {
		return err
	}
	defer closeY()
	d, err := verifyData(c, o, x.info, filepath.Dir(a))
	if err != nil {
		return err
	}
	res, err := compare(c.Context, o, x, y, d, c.Int("eval-batch-size"))
	if err != nil {
		return err
	}
	for i, path := range []string{a, b} {
		note, err := crossRead(path, []side{x, y}[i].graph)
		if err != nil {
			return err
		}
		res.Notes = append(res.Notes, note...)
	}
	if err := o.result(res, func(w io.Writer) { res.print(w) }); err != nil {
		return err
	}
	return res.check(c.Float64("threshold"))
}

// side loads a model from its file, as a user's program would.
func (e *engine) side(ctx context.Context, path string) (side, func(), error) {
	g, err := onnxfile.Load(path)
	if err != nil {
		return side{}, nil, err
	}
	info, err := models.Describe(g)
	if err != nil {
		return side{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	s, err := e.NewSessionFromFile(ctx, path, runtime.Options{Provider: e.provider, Threads: e.threads})
	if err != nil {
		return side{}, nil, err
	}
	out := side{exec: s, graph: g, info: info}
	for _, v := range g.Outputs() {
		out.outputs = append(out.outputs, v.Name())
	}
	return out, func() { _ = s.Close() }, nil
}

// verifyData reads --data, or makes tokens up.
func verifyData(c *cli.Context, o *console, info models.Info, dir string) (*data.Dataset, error) {
	if c.String("data") == "" {
		return madeUp(info.Vocab, min(c.Int("max-length"), info.Positions)), nil
	}
	opt := dataOptions(c)
	opt.NoLabel = true
	set, err := data.Read(c.String("data"), opt)
	if err != nil {
		return nil, err
	}
	tokenizer := c.String("tokenizer")
	if tokenizer == "" {
		tokenizer = dir
	}
	r, err := newReader(o, tokenizer, c.Int("max-length"), info)
	if err != nil {
		return nil, err
	}
	return data.NewDataset(r.tokenizer, set.Examples, r.maxLength), nil
}

// crossRead compares our reading of a file with onnx-go's, an independent one, and says what that skipped.
func crossRead(path string, g *graph.Graph) ([]string, error) {
	r, err := crosscheck.Compare(path, g)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("%s: onnx-go reads the same %d nodes and %d initializers", path, r.Nodes, r.Initializers)}
	for _, s := range r.Skipped {
		lines = append(lines, "  not compared: "+s)
	}
	return lines, nil
}
