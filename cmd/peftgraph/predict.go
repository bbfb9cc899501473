package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

func predictCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "text", Usage: "a text; may be given several times (default: the lines of standard input)"},
		&cli.StringFlag{Name: "pair", Usage: "the second text of the pair, with one --text"},
		&cli.IntFlag{Name: "eval-batch-size", Value: train.DefaultSettings().EvalBatch, Usage: "texts per batch"},
		modelFlag(),
	}
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "predict",
		Usage:     "classify texts with a trained run",
		ArgsUsage: "RUN/",
		Flags:     append(flags, outputFlags()...),
		Action:    withPath("run folder", runPredict),
	}
}

// A prediction is one line of predict's JSON.
type prediction struct {
	Text        string    `json:"text"`
	Pair        string    `json:"pair,omitempty"`
	Label       string    `json:"label,omitempty"`
	Probability float64   `json:"probability,omitempty"`
	Value       *float64  `json:"value,omitempty"` // of a regression
	Logits      []float32 `json:"logits"`
}

func runPredict(c *cli.Context, o *console, dir string) error {
	examples, err := texts(c)
	if err != nil {
		return err
	}
	l, err := openTrained(c, o, dir)
	if err != nil {
		return err
	}
	defer l.close()
	d := data.NewDataset(l.reader.tokenizer, examples, l.reader.maxLength)
	if d.Truncated > 0 {
		o.note("%d of %d texts are longer than %d tokens and were cut", d.Truncated, len(examples), l.reader.maxLength)
	}
	p, err := l.predict(c.Context, o, d, c.Int("eval-batch-size"))
	if err != nil {
		return err
	}
	for i, e := range examples {
		if err := l.print(o, e, p, i); err != nil {
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

func (l *loadedRun) print(o *console, e data.Example, p train.Predictions, i int) error {
	row := p.Row(i)
	out := prediction{Text: e.Text, Pair: e.Pair, Logits: row}
	if labels := l.run.Plan.Task.Labels; len(labels) > 0 {
		class := p.Class(i)
		out.Label, out.Probability = labels[class], softmax(row)[class]
	} else {
		v := float64(row[0])
		out.Value = &v
	}
	if o.json {
		line, err := json.Marshal(out)
		if err == nil {
			_, err = fmt.Fprintf(o.out, "%s\n", line)
		}
		return err
	}
	return out.print(o.out)
}

func (p prediction) print(w io.Writer) error {
	text := p.Text
	if p.Pair != "" {
		text += " | " + p.Pair
	}
	var err error
	if p.Value != nil {
		_, err = fmt.Fprintf(w, "%.4f\t%s\n", *p.Value, text)
	} else {
		_, err = fmt.Fprintf(w, "%s\t%.4f\t%s\n", p.Label, p.Probability, text)
	}
	return err
}

func softmax(x []float32) []float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	out := make([]float64, len(x))
	sum := 0.0
	for i, v := range x {
		out[i] = math.Exp(float64(v) - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}
