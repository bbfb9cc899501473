package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// A job is a run that is ready to go.
type job struct {
	run     *train.Run
	create  func() error // makes the run's folder; nil for a run that has one
	graph   *graph.Graph // injected
	train   *data.Dataset
	eval    *data.Dataset
	resumed *train.State
	memory  *train.Memory // what a step is expected to need, where that can be told
}

// newJob reads everything and writes nothing.
func newJob(c *cli.Context, o *console) (*job, error) {
	settings := settingsFrom(c)
	if err := settings.Validate(); err != nil {
		return nil, usageError{err.Error()}
	}
	path, err := onePath(c, "model")
	if err != nil {
		return nil, err
	}
	for _, need := range []struct{ flag, example string }{{"data", "--data train.tsv"}, {"output", "-o run/"}} {
		if c.String(need.flag) == "" {
			return nil, hintedError{usagef("train: --%s is needed", need.flag), need.example}
		}
	}
	j := &job{}
	if j.run, err = train.NewRun(c.String("output")); err != nil {
		return nil, err
	}
	plan, set, err := j.model(c, path)
	if err != nil {
		return nil, err
	}
	tokenizer := c.String("tokenizer")
	if tokenizer == "" {
		tokenizer = filepath.Dir(path)
	}
	r, err := newReader(o, tokenizer, c.Int("max-length"), plan.Encoder)
	if err != nil {
		return nil, err
	}
	if err := j.data(c, r, set, plan); err != nil {
		return nil, err
	}
	j.run.Plan, j.run.Settings, j.run.MaxLength = plan, settings, r.maxLength
	j.run.Data = train.DataColumns{Format: set.Format, Text: set.TextColumn, Pair: set.PairColumn, Label: set.LabelColumn, Header: set.Header, Base: set.LabelBase}
	if err := j.run.SetData(c.String("data"), c.String("eval")); err != nil {
		return nil, err
	}
	j.create = func() error { return j.run.Create(r.tokenizer.Path()) }
	return j, j.run.SetModel(path)
}

// model loads the model and the training data, and injects when the model isn't injected yet.
func (j *job) model(c *cli.Context, path string) (*inject.Plan, *data.Set, error) {
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, nil, err
	}
	j.graph = g
	opt := dataOptions(c)
	if plan != nil {
		if c.IsSet("method") {
			return nil, nil, usagef("--method: %s is injected already; train the original model, or leave --method away", path)
		}
		if plan.Task.Type == "" {
			return nil, nil, fmt.Errorf("%s was injected without a head (--task none): inject again with a --task", path)
		}
		t, err := task.Of(plan.Task)
		if err != nil {
			return nil, nil, err
		}
		opt.Schema = t.Schema()
		set, err := data.Read(c.String("data"), opt)
		if err != nil {
			return nil, nil, err
		}
		_, err = t.Labels(set, plan.Task.Labels)
		return plan, set, err
	}
	if !c.IsSet("method") {
		return nil, nil, fmt.Errorf("%s: %w", path, &inject.NoPlanError{})
	}
	enc, err := recognise(path, g)
	if err != nil {
		return nil, nil, err
	}
	t, err := taskFrom(c)
	if err != nil || t == nil {
		return nil, nil, cmp.Or(err, fmt.Errorf("--task none: nothing says what to train for"))
	}
	opt.Schema = t.Schema()
	set, err := data.Read(c.String("data"), opt)
	if err != nil {
		return nil, nil, err
	}
	labels, err := t.Labels(set, labelsFrom(c))
	if err != nil {
		return nil, nil, err
	}
	plan, err = injectInto(c, enc, labels)
	return plan, set, err
}

func (j *job) data(c *cli.Context, r *reader, set *data.Set, plan *inject.Plan) (err error) {
	if j.train, err = r.dataset(set, plan.Task); err != nil {
		return err
	}
	if c.String("eval") == "" {
		return nil
	}
	t, err := task.Of(plan.Task)
	if err != nil {
		return err
	}
	opt := dataOptions(c)
	opt.Schema = t.Schema()
	eval, err := data.Read(c.String("eval"), opt)
	if err != nil {
		return err
	}
	j.eval, err = r.dataset(eval, plan.Task)
	return err
}

// resumable are the flags that may stand beside --resume: those that change nothing of what is computed.
var resumable = []string{"resume", "output", "o", "model", "export", "dump-graph", "provider", "threads", "ort-lib", "json", "quiet", "q"}

// resumedJob rebuilds a job from its folder; the settings are the run's own.
func resumedJob(c *cli.Context, o *console) (*job, error) {
	for _, name := range c.LocalFlagNames() {
		if !slices.Contains(resumable, name) {
			return nil, usagef("--resume continues with the run's own settings: leave --%s away", name)
		}
	}
	dirs := c.Args().Slice()
	if c.IsSet("output") {
		dirs = append(dirs, c.String("output"))
	}
	if len(dirs) != 1 {
		return nil, hintedError{usagef("train --resume: want one run folder, got %d", len(dirs)), "peftgraph train --resume run/"}
	}
	run, err := train.OpenRun(dirs[0])
	if err != nil {
		return nil, err
	}
	if run.Finished {
		return nil, hintedError{fmt.Errorf("%s: the run is finished", run.Dir), "peftgraph export --merge " + shellQuoted(run.Dir) + " -o model.onnx; to train longer, start another run with more --epochs"}
	}
	j := &job{run: run}
	if j.graph, err = injectedModel(run, c.String("model"), false); err != nil {
		return nil, err
	}
	if err := j.reread(o); err != nil {
		return nil, err
	}
	j.resumed, err = checkpoint(run, o)
	return j, err
}

// reread reads the run's data as they were read at its start.
func (j *job) reread(o *console) error {
	if err := j.run.CheckData(); err != nil {
		return err
	}
	r, err := runReader(o, j.run)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		path string
		to   **data.Dataset
	}{{j.run.TrainFile, &j.train}, {j.run.EvalFile, &j.eval}} {
		if part.path == "" {
			continue
		}
		set, err := data.Read(part.path, columns(j.run))
		if err != nil {
			return err
		}
		if *part.to, err = r.dataset(set, j.run.Plan.Task); err != nil {
			return err
		}
	}
	return nil
}

// announce says before the work begins what it will be.
func (j *job) announce(o *console, t *train.Trainer) {
	plan, s := j.run.Plan, j.run.Settings
	o.note("training %s", planText(plan))
	lengths := j.train.Lengths()
	tokens := 0
	for _, n := range lengths {
		tokens += n
	}
	judged := "none to judge on: the last epoch counts as the best"
	if j.eval != nil {
		judged = thousands(len(j.eval.Encodings)) + " to judge on"
	}
	o.note("  data    %s examples, %s tokens an epoch, the longest text %d; %s", thousands(len(lengths)), thousands(tokens), slices.Max(lengths), judged)
	o.note("  steps   %s: %d an epoch, epochs %d, texts a step %d", thousands(t.Steps()), t.Steps()/s.Epochs, s.Epochs, s.BatchSize*s.Accumulate)
	if m, err := t.Step.Memory(min(s.BatchSize, len(lengths)), slices.Max(lengths)); err == nil {
		j.memory = &m
		o.note("  memory  about %s beside the program and onnxruntime: weights %s, mapped; activations %s; optimizer %s", bytesText(m.Total()), bytesText(m.Weights), bytesText(m.Activations), bytesText(m.Optimizer))
	}
	if from := j.stepsTaken(); from > 0 {
		o.note("  resumed after step %d", from)
	}
}

// bytesText writes 90123456 as 90 MB.
func bytesText(n int64) string {
	size, units := float64(n), []string{"B", "kB", "MB", "GB", "TB"}
	for size >= 999.5 && len(units) > 1 {
		size, units = size/1000, units[1:]
	}
	return fmt.Sprintf("%.3g %s", size, units[0])
}
