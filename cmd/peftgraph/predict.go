package main

import (
	"bufio"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

func predictCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "text", Usage: "a text; may be given several times (default: the lines of standard input)"},
		&cli.StringFlag{Name: "pair", Usage: "the second text of the pair, with one --text"},
		&cli.IntFlag{Name: "eval-batch-size", Value: train.DefaultSettings().EvalBatch, Usage: "texts per batch"},
		adapterFlag(),
		&cli.StringSliceFlag{Name: "task", Usage: "with --adapter: the task of the texts; may be given several times (default: as a line of standard input says with TASK<TAB>TEXT[<TAB>PAIR], else all)"},
		modelFlag(),
	}
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "predict",
		Usage:     "classify texts with a trained run, or with several on one base at once",
		ArgsUsage: "RUN/ or --adapter NAME=RUN/ …",
		Flags:     append(flags, outputFlags()...),
		Action:    oneOrJoint("run folder", runPredict, predictJoint),
	}
}

func runPredict(c *cli.Context, o *console, dir string) error {
	if c.IsSet("task") {
		return usagef("predict: --task is for several runs, given with --adapter NAME=RUN/")
	}
	examples, err := texts(c)
	if err != nil {
		return err
	}
	l, err := openTrained(c, o, dir)
	if err != nil {
		return err
	}
	defer l.close()
	d, err := l.reader.dataset(&data.Set{Path: "standard input", Examples: examples}, l.run.Plan.Task)
	if err != nil {
		return err
	}
	rows, err := l.predict(c.Context, o, d, c.Int("eval-batch-size"))
	if err != nil {
		return err
	}
	of := multitask.TaskOf("", l.run.Plan)
	for i, windows := range d.Windows() {
		if err := writeAnswer(o, of, d, rows, i, windows); err != nil {
			return err
		}
	}
	return nil
}

// texts returns what --text and --pair give, else the lines of standard input.
func texts(c *cli.Context) ([]data.Example, error) {
	given := c.StringSlice("text")
	if c.IsSet("pair") {
		if len(given) != 1 {
			return nil, usagef("--pair: wants exactly one --text")
		}
		return []data.Example{{Text: given[0], Pair: c.String("pair"), HasPair: true}}, nil
	}
	var out []data.Example
	for _, t := range given {
		out = append(out, data.Example{Text: t})
	}
	if len(given) > 0 {
		return out, nil
	}
	lines := bufio.NewScanner(c.App.Reader)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		out = append(out, data.Example{Text: lines.Text()})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	if len(out) == 0 {
		return nil, usagef("predict: nothing to do: give --text, or lines on standard input")
	}
	return out, nil
}

// writeAnswer prints what an output says of a text.
func writeAnswer(o *console, of multitask.Task, d *data.Dataset, rows [][]float32, example int, windows []int) error {
	t, err := task.Of(of.Task)
	if err != nil {
		return err
	}
	e := d.Examples[example]
	answer := t.Answer(&task.Results{Data: d, Rows: rows, Width: of.Outputs(), Labels: of.Labels}, example, windows)
	if o.json {
		head, err := json.Marshal(struct {
			Task string `json:"task,omitempty"` // where there are several
			Text string `json:"text"`
			Pair string `json:"pair,omitempty"`
		}{of.Name, e.Text, e.Pair})
		if err != nil {
			return err
		}
		body, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.out, "%s,%s\n", head[:len(head)-1], body[1:])
		return err
	}
	text := e.Text
	if e.Pair != "" {
		text += " | " + e.Pair
	}
	for _, line := range answer.Lines() {
		if of.Name != "" {
			line = of.Name + "\t" + line
		}
		if _, err := fmt.Fprintf(o.out, "%s\t%s\n", line, text); err != nil {
			return err
		}
	}
	return nil
}
