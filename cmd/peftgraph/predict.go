package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
)

func predictCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "text", Usage: "a text; may be given several times (default: the lines of standard input)"},
		&cli.StringFlag{Name: "pair", Usage: "the second text of the pair, with one --text: for question answering the context, --text being the question"},
		&cli.StringSliceFlag{Name: "data", Usage: "texts from files, read as the run's own data unless flags say otherwise: " + filesUsage, Category: dataCategory},
		evalBatchFlag(),
		adapterFlag(),
		&cli.StringSliceFlag{Name: "task", Usage: "with --adapter: the task of the texts; may be given several times (default: as a line of standard input says with TASK<TAB>TEXT[<TAB>PAIR], else all)"},
		modelFlag(),
	}
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "predict",
		Usage:     "answer texts with a trained run, or with several on one base at once",
		ArgsUsage: "RUN/ or --adapter NAME=RUN/ …",
		Description: "Answers come in the order of the texts, as soon as they are there. Each is a line that ends with the text or, where an answer is a list,\n" +
			"the text with lines below it that begin with a tab. --json gives one object a line, with the row's id where it has one.",
		Flags:  append(flags, outputFlags()...),
		Action: oneOrJoint("run folder", runPredict, predictJoint),
	}
}

// A requests is what is asked, as it comes.
type requests = iter.Seq2[peftgraph.Request, error]

func runPredict(c *cli.Context, o *console, dir string) error {
	if c.IsSet("task") {
		return usagef("predict: --task is for several runs, given with --adapter NAME=RUN/")
	}
	asked, err := texts(c)
	if err != nil {
		return err
	}
	run, err := peftgraph.OpenRunOn(dir, c.String("model"))
	if err != nil {
		return err
	}
	if c.IsSet("data") {
		asked = run.Requests(c.StringSlice("data"), dataOptions(c))
	}
	p, err := run.Predictor(c.Context, predictorOptions(c, o))
	if err != nil {
		return err
	}
	return predict(c, o, p, asked)
}

// predictJoint is predict with --adapter.
func predictJoint(c *cli.Context, o *console) error {
	j, err := joined(c)
	if err != nil {
		return err
	}
	asked, err := taskTexts(c, j)
	if err != nil {
		return err
	}
	p, err := j.Predictor(c.Context, predictorOptions(c, o))
	if err != nil {
		return err
	}
	return predict(c, o, p, asked)
}

func predictorOptions(c *cli.Context, o *console) peftgraph.PredictorOptions {
	return peftgraph.PredictorOptions{Engine: engineFrom(c, o), BatchSize: c.Int("eval-batch-size")}
}

// predict prints what is said of each request, in a line of JSON where that was asked for.
func predict(c *cli.Context, o *console, p *peftgraph.Predictor, asked requests) error {
	defer p.Close()
	answers := 0
	skipped, err := p.PredictStream(c.Context, asked, func(p peftgraph.Prediction) error {
		o.end()
		answers++
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
		return nil
	})
	switch {
	case err != nil || answers > 0:
		return err
	case skipped > 0:
		return fmt.Errorf("no row can be read")
	}
	return usagef("predict: nothing to do: give --text, or lines on standard input")
}

// texts returns what --text and --pair give, else the lines of standard input.
func texts(c *cli.Context) (requests, error) {
	given := c.StringSlice("text")
	for _, f := range dataFlags() {
		if name := f.Names()[0]; c.IsSet(name) && !c.IsSet("data") {
			return nil, hinted(usagef("predict: --%s says how --data is read", name), "--data - for rows on standard input")
		}
	}
	if c.IsSet("data") && (len(given) > 0 || c.IsSet("pair")) {
		return nil, usagef("predict: --data has the texts; leave one of --data and --text away")
	}
	if c.IsSet("pair") && len(given) != 1 {
		return nil, usagef("--pair: wants exactly one --text")
	}
	if len(given) == 0 {
		return lines(c), nil
	}
	return func(yield func(peftgraph.Request, error) bool) {
		for _, t := range given {
			if !yield(peftgraph.Request{Text: t, Pair: c.String("pair"), HasPair: c.IsSet("pair")}, nil) {
				return
			}
		}
	}, nil
}

// lines are those of standard input.
func lines(c *cli.Context) requests {
	return func(yield func(peftgraph.Request, error) bool) {
		in := bufio.NewScanner(c.App.Reader)
		in.Buffer(nil, 1<<24)
		for in.Scan() {
			if !yield(peftgraph.Request{Text: in.Text()}, nil) {
				return
			}
		}
		if err := in.Err(); err != nil {
			yield(peftgraph.Request{}, fmt.Errorf("standard input: %w", err))
		}
	}
}

// taskTexts returns what is asked of which task: --task names it for every text, else a line of standard input may, as in
// TASK<TAB>TEXT or TASK<TAB>TEXT<TAB>PAIR; else all tasks get the text.
func taskTexts(c *cli.Context, j *peftgraph.Joint) (requests, error) {
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
	asked, err := texts(c)
	if err != nil {
		return nil, err
	}
	if c.IsSet("data") {
		if len(all) != 1 {
			return nil, hinted(usagef("predict: --data is read as one task's own data: name the task"), "--task "+names[0])
		}
		return j.Requests(all[0], c.StringSlice("data"), dataOptions(c))
	}
	if len(c.StringSlice("text")) > 0 || c.IsSet("task") {
		return forTasks(asked, func(int, *peftgraph.Request) ([]string, error) { return all, nil }), nil
	}
	return forTasks(asked, func(line int, r *peftgraph.Request) ([]string, error) {
		fields := strings.Split(r.Text, "\t")
		if len(fields) == 1 {
			return all, nil
		}
		if !known[fields[0]] || len(fields) > 3 {
			return nil, hinted(fmt.Errorf("standard input, line %d: want TASK<TAB>TEXT or TASK<TAB>TEXT<TAB>PAIR, with a task of --adapter; got %q", line, r.Text),
				"name one task for all lines with --task")
		}
		r.Text = fields[1]
		if len(fields) == 3 {
			r.Pair, r.HasPair = fields[2], true
		}
		return fields[:1], nil
	}), nil
}

// forTasks asks each request of the tasks that of returns for it; line counts from 1.
func forTasks(asked requests, of func(line int, r *peftgraph.Request) ([]string, error)) requests {
	return func(yield func(peftgraph.Request, error) bool) {
		line := 0
		for r, err := range asked {
			var tasks []string
			if line++; err == nil {
				tasks, err = of(line, &r)
			}
			if err != nil {
				yield(r, err)
				return
			}
			for _, r.Adapter = range tasks {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
