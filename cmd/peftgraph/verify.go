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
	"github.com/peftgraph/peftgraph/inject/multitask"
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
	x, closeX, err := e.side(c.Context, a, a)
	if err != nil {
		return err
	}
	defer closeX()
	y, closeY, err := e.side(c.Context, b, b)
	if err != nil {
		return err
	}
	defer closeY()
	d, err := verifyData(c, o, x.info, filepath.Dir(a))
	if err != nil {
		return err
	}
	pairs, err := compare(c.Context, o, d, c.Int("eval-batch-size"), x, y)
	if err != nil {
		return err
	}
	res := verified{comparison: pairs[0]}
	for i, path := range []string{a, b} {
		r, err := crossRead(path, []side{x, y}[i].graph)
		if err != nil {
			return err
		}
		res.Crosscheck = append(res.Crosscheck, r)
	}
	if err := o.result(res, res.print); err != nil {
		return err
	}
	return res.check(c.Float64("threshold"))
}

// verified is the JSON form of what verify prints.
type verified struct {
	comparison
	Crosscheck []reading `json:"crosscheck"`
}

func (v verified) print(w io.Writer) {
	v.comparison.print(w)
	for _, r := range v.Crosscheck {
		fmt.Fprintf(w, "%s: %s\n", r.Path, r)
	}
}

// side loads a model from its file, as a user's program would, and with the settings that such a program gets. name is what
// errors call it.
func (e *engine) side(ctx context.Context, name, path string) (side, func(), error) {
	g, err := onnxfile.Load(path)
	if err != nil {
		return side{}, nil, err
	}
	info, err := models.Describe(g)
	if err != nil {
		return side{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	tasks, err := multitask.ReadTasks(g)
	if err != nil {
		return side{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	opt := runtime.Stock()
	opt.Name, opt.Provider, opt.Threads = name, e.provider, e.threads
	// Models that take turns would otherwise lose their cores to the last one's threads, which look for work a while yet.
	opt.Config = map[string]string{"session.force_spinning_stop": "1"}
	s, err := e.NewSessionFromFile(ctx, path, opt)
	if err != nil {
		return side{}, nil, err
	}
	out := side{exec: s, graph: g, info: info, provider: s.Provider(), tasks: len(tasks)}
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

// A reading is what onnx-go, an independent reader, found equal in a file.
type reading struct {
	Path         string   `json:"file"`
	Nodes        int      `json:"nodes"`
	Initializers int      `json:"initializers"`
	All          int      `json:"all_initializers"`
	Skipped      []string `json:"not_compared"`
}

// crossRead compares our reading of a file with onnx-go's.
func crossRead(path string, g *graph.Graph) (reading, error) {
	r, err := crosscheck.Compare(path, g)
	if err != nil {
		return reading{}, err
	}
	return reading{path, r.Nodes, r.Initializers, len(g.Initializers()), append([]string{}, r.Skipped...)}, nil
}

// String is one line; what onnx-go can't read is for --json.
func (r reading) String() string {
	if len(r.Skipped) == 0 {
		return fmt.Sprintf("onnx-go reads the same %d nodes and %d initializers", r.Nodes, r.Initializers)
	}
	return fmt.Sprintf("onnx-go reads the same %d nodes and %d of %d initializers (--json lists what it can't read)", r.Nodes, r.Initializers, r.All)
}
