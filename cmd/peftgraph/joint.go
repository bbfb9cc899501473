package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// A joint is several trained runs on one base, joined into one graph.
type joint struct {
	runs      []*train.Run
	parts     []multitask.Part // by task, as they were joined
	graph     *graph.Graph
	info      models.Info // of what any batch can have
	tasks     []multitask.Task
	readers   []*reader
	predictor *train.Predictor
	close     func()
}

func adapterFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "adapter", Usage: "NAME=RUN/: a task's name and its run folder or injected model; several on one base, in place of RUN/"}
}

// oneOrJoint is the action of a command that works on one path, or on the runs of --adapter.
func oneOrJoint(what string, one func(*cli.Context, *console, string) error, several func(*cli.Context, *console) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.IsSet("adapter") {
			return several(c, newConsole(c))
		}
		if c.NArg() > 1 {
			return hintedError{usagef("%s: want one %s, got %d arguments", c.Command.Name, what, c.NArg()), "--adapter a=RUN/ --adapter b=RUN/ for several on one base"}
		}
		return withPath(what, one)(c)
	}
}

// joinTrained loads the runs of --adapter and joins them.
func joinTrained(c *cli.Context, o *console) (*joint, error) {
	if c.NArg() > 0 {
		return nil, hintedError{usagef("%s: --adapter takes the place of %s", c.Command.Name, c.Args().First()), "--adapter NAME=" + shellQuoted(c.Args().First())}
	}
	j := &joint{}
	for _, given := range c.StringSlice("adapter") {
		name, path, ok := strings.Cut(given, "=")
		if !ok || name == "" || path == "" {
			return nil, hintedError{usagef("--adapter %s: want NAME=RUN/", given), "--adapter sentiment=run/"}
		}
		run, g, err := trainedRun(c, path)
		if err != nil {
			return nil, err
		}
		r, err := runReader(o, run)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(detach(g, run.Plan), deploy(g, run.Plan)); err != nil {
			return nil, err
		}
		j.runs, j.readers = append(j.runs, run), append(j.readers, r)
		j.parts = append(j.parts, multitask.Part{Name: name, Graph: g, Plan: run.Plan})
	}
	var err error
	if j.graph, err = multitask.Join(j.parts); err != nil {
		return nil, err
	}
	if j.tasks, err = multitask.ReadTasks(j.graph); err != nil {
		return nil, err
	}
	j.info = j.runs[0].Plan.Encoder
	for _, t := range j.tasks {
		j.info.Positions = min(j.info.Positions, t.Positions)
	}
	return j, j.info.Store(j.graph)
}

// deploy makes a trained graph one that computes logits only, with the adapter as constants.
func deploy(g *graph.Graph, p *inject.Plan) error {
	g.SetOutputs(g.Value(p.Logits))
	_, err := constant.change(g, p)
	return err
}

// start gives the joined graph to onnxruntime.
func (j *joint) start(c *cli.Context, o *console) error {
	e, err := openEngine(c.Context, c, o)
	if err != nil {
		return err
	}
	s, err := e.session(c.Context, "the joined adapters", j.graph)
	if err != nil {
		return err
	}
	j.predictor = &train.Predictor{Exec: s, Graph: j.graph, Info: j.info, Tasks: j.tasks}
	j.close = func() { _ = s.Close() }
	return nil
}

// task returns a task's place by its name.
func (j *joint) task(name string) (int, error) {
	var names []string
	for i, t := range j.tasks {
		if t.Name == name {
			return i, nil
		}
		names = append(names, t.Name)
	}
	return 0, usagef("task %q: the adapters given are %s", name, strings.Join(names, ", "))
}

// A request is a text for one task.
type request struct {
	data.Example
	task int
}

// encode makes one data set of all requests, each text cut as its own task's run cut it.
func (j *joint) encode(o *console, requests []request) (*data.Dataset, []int) {
	examples := make([][]data.Example, len(j.tasks))
	tasks := make([]int, len(requests))
	for i, r := range requests {
		examples[r.task], tasks[i] = append(examples[r.task], r.Example), r.task
	}
	sets := make([]*data.Dataset, len(j.tasks))
	for k, r := range j.readers {
		if sets[k] = data.NewDataset(r.tokenizer, examples[k], r.maxLength); sets[k].Truncated > 0 {
			o.note("%s: %d of %d texts are longer than %d tokens and were cut", j.tasks[k].Name, sets[k].Truncated, len(examples[k]), r.maxLength)
		}
	}
	all := &data.Dataset{PadID: sets[0].PadID}
	next := make([]int, len(sets))
	for _, k := range tasks {
		all.Encodings = append(all.Encodings, sets[k].Encodings[next[k]])
		next[k]++
	}
	return all, tasks
}

// predict computes each request's logits, with a progress bar.
func (j *joint) predict(ctx context.Context, o *console, requests []request, batch int) ([][]float32, error) {
	d, tasks := j.encode(o, requests)
	b := o.bar("predicting", false)
	defer b.end()
	return j.predictor.Predict(ctx, d, tasks, batch, func(done, total int) { b.at(int64(done), int64(total), "") })
}

// requests returns what is asked of which task: --task names it for every text, else a line of standard input may, as in
// TASK<TAB>TEXT or TASK<TAB>TEXT<TAB>PAIR; else all tasks get the text.
func (j *joint) requests(c *cli.Context) ([]request, error) {
	var all []int
	for _, name := range c.StringSlice("task") {
		k, err := j.task(name)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	if all == nil {
		for k := range j.tasks {
			all = append(all, k)
		}
	}
	examples, err := texts(c)
	if err != nil {
		return nil, err
	}
	fromLines := len(c.StringSlice("text")) == 0 && !c.IsSet("task")
	var out []request
	for i, e := range examples {
		tasks := all
		if fields := strings.Split(e.Text, "\t"); fromLines && len(fields) > 1 {
			k, err := j.task(fields[0])
			if err != nil || len(fields) > 3 {
				return nil, hintedError{fmt.Errorf("standard input, line %d: want TASK<TAB>TEXT or TASK<TAB>TEXT<TAB>PAIR, with a task of --adapter; got %q", i+1, e.Text),
					"name one task for all lines with --task"}
			}
			tasks, e = []int{k}, data.Example{Text: fields[1]}
			if len(fields) == 3 {
				e.Pair, e.HasPair = fields[2], true
			}
		}
		for _, k := range tasks {
			out = append(out, request{e, k})
		}
	}
	return out, nil
}

// predictJoint is predict with --adapter.
func predictJoint(c *cli.Context, o *console) error {
	j, err := joinTrained(c, o)
	if err != nil {
		return err
	}
	requests, err := j.requests(c)
	if err != nil {
		return err
	}
	if err := j.start(c, o); err != nil {
		return err
	}
	defer j.close()
	logits, err := j.predict(c.Context, o, requests, c.Int("eval-batch-size"))
	if err != nil {
		return err
	}
	for i, r := range requests {
		if err := writeAnswer(o, j.tasks[r.task], &data.Dataset{Examples: []data.Example{r.Example}}, logits[i:i+1], 0, []int{0}); err != nil {
			return err
		}
	}
	return nil
}
