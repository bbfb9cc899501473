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
		&cli.StringSliceFlag{Name: "data", Usage: "labelled text to judge on: " + filesUsage, Category: dataCategory},
		evalBatchFlag(),
		modelFlag(),
	}
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "eval",
		Usage:     "judge a trained run, or an injected model as it is, on labelled text",
		ArgsUsage: "RUN/ or MODEL.lora.onnx",
		Flags:     append(flags, outputFlags()...),
		Action:    withPath("run folder or injected model", runEval),
	}
}

func runEval(c *cli.Context, o *console, dir string) error {
	files := c.StringSlice("data")
	if len(files) == 0 {
		return usagef("eval: --data is needed")
	}
	run, err := peftgraph.OpenRunOn(dir, c.String("model"))
	if err != nil {
		return err
	}
	e, err := run.Evaluate(c.Context, peftgraph.EvaluateOptions{Engine: engineFrom(c, o), Data: files, DataOptions: dataOptions(c), BatchSize: c.Int("eval-batch-size")})
	if err != nil {
		return err
	}
	v := struct {
		Run      string      `json:"run"`
		Data     string      `json:"data"`
		Examples int         `json:"examples"`
		Cut      int         `json:"truncated"`         // texts longer than the run's --max-length
		Skipped  int         `json:"skipped,omitempty"` // bad rows
		Metrics  task.Scores `json:"metrics"`
		Warnings []string    `json:"warnings,omitempty"`
		Detail   task.Answer `json:"detail,omitempty"`
	}{dir, filesText(files), e.Examples, e.Truncated, e.Skipped, e.Metrics, e.Warnings, e.Detail}
	for _, line := range e.Warnings {
		o.note("note: %s", line)
	}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d examples%s\n", v.Data, v.Examples, metricsText(run.Plan.Task, e.Metrics))
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
