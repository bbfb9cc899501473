package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
)

func predictCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "text", Usage: "a text; may be given several times (default: the lines of standard input)"},
		&cli.StringFlag{Name: "pair", Usage: "the second text of the pair, with one --text"},
		evalBatchFlag(),
		adapterFlag(),
		&cli.StringSliceFlag{Name: "task", Usage: "with --adapter: the task of the texts; may be given several times (default: as a line of standard input says with TASK<TAB>TEXT[<TAB>PAIR], else all)"},
		modelFlag(),
	}
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "predict",
		Usage:     "classify texts with a trained run, or with several on one base at once",
		ArgsUsage: "RUN/, a deployed folder, or --adapter NAME=RUN/ …",
		Flags:     append(flags, outputFlags()...),
		Action:    oneOrJoint("run folder", runPredict, predictJoint),
	}
}

func runPredict(c *cli.Context, o *console, dir string) error {
	if c.IsSet("task") {
		return usagef("predict: --task is for several runs, given with --adapter NAME=RUN/")
	}
	requests, err := texts(c)
	if err != nil {
		return err
	}
	run, err := peftgraph.OpenRunOn(dir, c.String("model"))
	if err != nil {
		return err
	}
	p, err := run.Predictor(c.Context, predictorOptions(c, o))
	if err != nil {
		return err
	}
	return predict(c, o, p, requests)
}

// predictJoint is predict with --adapter.
func predictJoint(c *cli.Context, o *console) error {
	j, err := joined(c)
	if err != nil {
		return err
	}
	requests, err := taskTexts(c, j)
	if err != nil {
		return err
	}
	p, err := j.Predictor(c.Context, predictorOptions(c, o))
	if err != nil {
		return err
	}
	return predict(c, o, p, requests)
}

func predictorOptions(c *cli.Context, o *console) peftgraph.PredictorOptions {
	return peftgraph.PredictorOptions{Engine: engineFrom(c, o), BatchSize: c.Int("eval-batch-size")}
}

// predict prints what is said of each request, in a line of JSON where that was asked for.
func predict(c *cli.Context, o *console, p *peftgraph.Predictor, requests []peftgraph.Request) error {
	defer p.Close()
	predictions, err := p.PredictEach(c.Context, requests...)
	if err != nil {
		return err
	}
	o.end()
	for _, p := range predictions {
		lines := p.Lines()
		if o.json {
			text, err := json.Marshal(p)
			if err != nil {
				return err
			}
			lines = []string{string(text)}
		}
		for _, line := range lines {
			if _, err := fmt.Fprintln(o.out, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts returns what --text and --pair give, else the lines of standard input.
func texts(c *cli.Context) ([]peftgraph.Request, error) {
	given := c.StringSlice("text")
	if c.IsSet("pair") {
		if len(given) != 1 {
			return nil, usagef("--pair: wants exactly one --text")
		}
		return []peftgraph.Request{{Text: given[0], Pair: c.String("pair"), HasPair: true}}, nil
	}
	var out []peftgraph.Request
	for _, t := range given {
		out = append(out, peftgraph.Request{Text: t})
	}
	if len(given) > 0 {
		return out, nil
	}
	lines := bufio.NewScanner(c.App.Reader)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		out = append(out, peftgraph.Request{Text: lines.Text()})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	if len(out) == 0 {
		return nil, usagef("predict: nothing to do: give --text, or lines on standard input")
	}
	return out, nil
}

// taskTexts returns what is asked of which task: --task names it for every text, else a line of standard input may, as in
// TASK<TAB>TEXT or TASK<TAB>TEXT<TAB>PAIR; else all tasks get the text.
func taskTexts(c *cli.Context, j *peftgraph.Joint) ([]peftgraph.Request, error) {
	var names []string
	known := map[string]bool{}
	for _, t := range j.Tasks {
		names, known[t.Name] = append(names, t.Name), true
	}
	all := names
	if given := c.StringSlice("task"); len(given) > 0 {
		all = given
	}
	for _, name := range all {
		if !known[name] {
			return nil, usagef("task %q: the adapters given are %s", name, strings.Join(names, ", "))
		}
	}
	requests, err := texts(c)
	if err != nil {
		return nil, err
	}
	fromLines := len(c.StringSlice("text")) == 0 && !c.IsSet("task")
	var out []peftgraph.Request
	for i, r := range requests {
		tasks := all
		if fields := strings.Split(r.Text, "\t"); fromLines && len(fields) > 1 {
			if !known[fields[0]] || len(fields) > 3 {
				return nil, hinted(fmt.Errorf("standard input, line %d: want TASK<TAB>TEXT or TASK<TAB>TEXT<TAB>PAIR, with a task of --adapter; got %q", i+1, r.Text),
					"name one task for all lines with --task")
			}
			tasks, r.Text = fields[:1], fields[1]
			if len(fields) == 3 {
				r.Pair, r.HasPair = fields[2], true
			}
		}
		for _, r.Adapter = range tasks {
			out = append(out, r)
		}
	}
	return out, nil
}
