package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/train/task"
)

func evalCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "labelled text to judge on", Category: dataCategory},
		evalBatchFlag(),
		modelFlag(),
	}
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "eval",
		Usage:     "judge a trained run, or an injected model as it is, on labelled text",
		ArgsUsage: "RUN/, MODEL.lora.onnx or a deployed folder",
		Flags:     append(flags, outputFlags()...),
		Action:    withPath("run folder or injected model", runEval),
	}
}

func runEval(c *cli.Context, o *console, dir string) error {
	if c.String("data") == "" {
		return usagef("eval: --data is needed")
	}
	run, err := peftgraph.OpenRunOn(dir, c.String("model"))
	if err != nil {
		return err
	}
	e, err := run.Evaluate(c.Context, peftgraph.EvaluateOptions{Engine: engineFrom(c, o), Data: c.String("data"), DataOptions: dataOptions(c), BatchSize: c.Int("eval-batch-size")})
	if err != nil {
		return err
	}
	v := struct {
		Run      string      `json:"run"`
		Data     string      `json:"data"`
		Examples int         `json:"examples"`
		Cut      int         `json:"truncated"` // texts longer than the run's --max-length
		Metrics  task.Scores `json:"metrics"`
		Detail   task.Answer `json:"detail,omitempty"`
	}{dir, c.String("data"), e.Examples, e.Truncated, e.Metrics, e.Detail}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d examples%s\n", v.Data, v.Examples, metricsText(e.Metrics))
		if v.Detail != nil {
			table(w, v.Detail.Lines())
		}
	})
}

// table prints lines whose columns are parted by tabs.
func table(w io.Writer, lines []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(t, line)
	}
	_ = t.Flush() // nothing that writes to w looks for errors
}
