package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/train"
)

func gradcheckCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.Float64Flag{Name: "threshold", Value: 1e-6, Usage: "largest relative error against central differences that passes"},
		&cli.Float64Flag{Name: "float32-threshold", Value: 1e-3, Usage: "largest relative error of onnxruntime's float32 gradients against the float64 ones that passes"},
		&cli.IntFlag{Name: "parameters", Value: 12, Usage: "how many parameters to vary, spread over the layers; 0 is all"},
		&cli.IntFlag{Name: "length", Value: 5, Usage: "tokens of the texts made up for it"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "seed of values, tokens and directions"},
	}
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:        "gradcheck",
		Usage:       "check the emitted gradients of an injected model against central differences, in float64, and onnxruntime against both",
		ArgsUsage:   "MODEL.onnx",
		Description: "Exit status 3 when an error is past its threshold.",
		Flags:       append(flags, outputFlags()...),
		Action:      withPath("injected model", runGradcheck),
	}
}

func runGradcheck(c *cli.Context, o *console, path string) error {
	m, err := peftgraph.Open(path)
	if err != nil {
		return err
	}
	res, err := m.CheckGradients(c.Context, peftgraph.GradientOptions{Engine: engineFrom(c, o), Parameters: c.Int("parameters"), Length: max(c.Int("length"), 1), Seed: c.Uint64("seed")})
	if err != nil {
		return err
	}
	if err := o.result(res, func(w io.Writer) { printGradients(w, res) }); err != nil {
		return err
	}
	return res.Check(c.Float64("threshold"), c.Float64("float32-threshold"))
}

func printGradients(w io.Writer, g *peftgraph.Gradients) {
	for _, r := range g.Results {
		fmt.Fprintf(w, "%-70s emitted %+.9e  measured %+.9e  relative error %.1e\n", r.Name, r.Emitted, r.Measured, r.RelErr)
	}
	fmt.Fprintf(w, "worst relative error %.1e over %d parameters, in float64; relative to the largest of the derivative, its usual size (the gradient's norm over the root of its length) and %g\n",
		g.Worst, len(g.Results), train.GradientFloor)
	fmt.Fprintf(w, "onnxruntime's float32 gradients: relative error %.1e over all parameters\n", g.Float32)
}
