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

// A prediction is one line of predict's JSON.
type prediction struct {
	Task        string    `json:"task,omitempty"` // where there are several
	Text        string    `json:"text"`
	Pair        string    `json:"pair,omitempty"`
	Label       string    `json:"label,omitempty"`
	Probability float64   `json:"probability,omitempty"`
	Value       *float64  `json:"value,omitempty"` // of a regression
	Logits      []float32 `json:"logits"`
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
	d := data.NewDataset(l.reader.tokenizer, examples, l.reader.maxLength)
	if d.Truncated > 0 {
		o.note("%d of %d texts are longer than %d tokens and were cut", d.Truncated, len(examples), l.reader.maxLength)
	}
	p, err := l.predict(c.Context, o, d, c.Int("eval-batch-size"))
	if err != nil {
		return err
	}
	for i, e := range examples {
		if err := newPrediction(e, l.run.Plan.Task.Labels, p.Row(i)).write(o); err != nil {
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

// newPrediction reads logits as a class, where there are labels, else as a value.
func newPrediction(e data.Example, labels []string, logits []float32) prediction {
	out := prediction{Text: e.Text, Pair: e.Pair, Logits: logits}
	if len(labels) == 0 {
		v := float64(logits[0])
		out.Value = &v
		return out
	}
	p := softmax(logits)
	class := largest(p)
	out.Label, out.Probability = labels[class], p[class]
	return out
}

// write prints one line, of JSON where that was asked for.
func (p prediction) write(o *console) error {
	if !o.json {
		return p.print(o.out)
	}
	line, err := json.Marshal(p)
	if err == nil {
		_, err = fmt.Fprintf(o.out, "%s\n", line)
	}
	return err
}

func (p prediction) print(w io.Writer) error {
	text := p.Text
	if p.Pair != "" {
		text += " | " + p.Pair
	}
	line := fmt.Sprintf("%s\t%.4f\t%s\n", p.Label, p.Probability, text)
	if p.Value != nil {
		line = fmt.Sprintf("%.4f\t%s\n", *p.Value, text)
	}
	if p.Task != "" {
		line = p.Task + "\t" + line
	}
	_, err := io.WriteString(w, line)
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
