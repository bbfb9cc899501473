package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

func evalCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "labelled text to judge on", Category: dataCategory},
		&cli.IntFlag{Name: "eval-batch-size", Value: train.DefaultSettings().EvalBatch, Usage: "texts per batch"},
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
	if c.String("data") == "" {
		return usagef("eval: --data is needed")
	}
	l, err := openTrained(c, o, dir)
	if err != nil {
		return err
	}
	defer l.close()
	run := l.run
	set, err := data.Read(c.String("data"), readAs(c, run))
	if err != nil {
		return err
	}
	d, err := l.reader.dataset(set, run.Plan.Task)
	if err != nil {
		return err
	}
	p, err := l.predict(c.Context, o, d, c.Int("eval-batch-size"))
	if err != nil {
		return err
	}
	t, err := task.Of(run.Plan.Task)
	if err != nil {
		return err
	}
	results := &task.Results{Data: d, Rows: p, Width: run.Plan.Task.Outputs(), Labels: run.Plan.Task.Labels}
	scores, err := t.Evaluate(results)
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
	}{dir, c.String("data"), len(set.Examples), d.Truncated, scores, nil}
	if t, ok := t.(task.Detailer); ok {
		if v.Detail, err = t.Detail(results); err != nil {
			return err
		}
	}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d examples%s\n", v.Data, v.Examples, metricsText(scores))
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

// readAs is how the run's own data was read, where no flag says otherwise.
func readAs(c *cli.Context, run *train.Run) data.Options {
	opt := dataOptions(c)
	as := columns(run)
	if opt == (data.Options{}) && run.Data.Format != "" {
		return as
	}
	opt.Schema = as.Schema
	return opt
}
