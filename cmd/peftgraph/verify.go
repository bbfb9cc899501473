package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
)

func verifyCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "text to compare on (default: random tokens)", Category: dataCategory},
		&cli.StringFlag{Name: "tokenizer", Usage: "tokenizer.json or vocab.txt (default: the one beside A.onnx)", Category: dataCategory},
		&cli.IntFlag{Name: "max-length", Value: peftgraph.DefaultMaxLength, Usage: "tokens after which a text is cut", Category: dataCategory},
		thresholdFlag("largest difference that passes"),
		evalBatchFlag(),
	}
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:        "verify",
		Usage:       "run two models on the same inputs and compare their outputs",
		ArgsUsage:   "A.onnx B.onnx, or deployed folders",
		Description: "Exit status 3 when an output differs by more than the threshold.",
		Flags:       append(flags, outputFlags()...),
		Action:      action(runVerify),
	}
}

func runVerify(c *cli.Context, o *console) error {
	if c.NArg() != 2 {
		return usagef("verify: want two models, got %d arguments", c.NArg())
	}
	res, err := peftgraph.Compare(c.Context, c.Args().Get(0), c.Args().Get(1), peftgraph.CompareOptions{Engine: engineFrom(c, o), Data: c.String("data"),
		DataOptions: dataOptions(c), Tokenizer: c.String("tokenizer"), MaxLength: c.Int("max-length"), BatchSize: c.Int("eval-batch-size")})
	if err != nil {
		return err
	}
	err = o.result(res, func(w io.Writer) {
		for _, d := range res.Outputs {
			fmt.Fprintf(w, "%s: max |Δ| %.2g%s, %d examples\n", d.Name, d.MaxAbs, flipsText(d), res.Examples)
		}
		for _, r := range res.Crosscheck {
			fmt.Fprintf(w, "%s: %s\n", r.Path, readingText(r))
		}
	})
	if err != nil {
		return err
	}
	return res.Check(c.Float64("threshold"))
}

// flipsText is ", 3 label flips", or nothing for an output without labels.
func flipsText(d peftgraph.OutputDelta) string {
	switch {
	case d.Flips < 0:
		return ""
	case d.Flips == 1:
		return ", 1 label flip"
	}
	return fmt.Sprintf(", %d label flips", d.Flips)
}

// readingText is one line; what onnx-go can't read is for --json.
func readingText(r peftgraph.Reading) string {
	if len(r.Skipped) == 0 {
		return fmt.Sprintf("onnx-go reads the same %d nodes and %d initializers", r.Nodes, r.Initializers)
	}
	return fmt.Sprintf("onnx-go reads the same %d nodes and %d of %d initializers (--json lists what it can't read)", r.Nodes, r.Initializers, r.All)
}
