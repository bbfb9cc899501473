package peftgraph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
)

// A job is a run that is ready to go.
type job struct {
	Engine
	Watch
	run      *train.Run
	create   func() error // makes the run's folder; nil for a run that has one
	graph    *graph.Graph // injected
	reader   *reader
	train    *data.Dataset
	eval     *data.Dataset
	resumed  *train.State
	autodiff autodiff.Options
	memory   *train.Memory
	log      io.Writer
	logErr   error     // the first of writing the metrics
	seconds  []float64 // of each step
}

// start builds the graphs, trains, and keeps the run folder up to date.
func (j *job) start(ctx context.Context) (*Run, error) {
	t, done, err := j.trainer(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	values, err := j.run.Plan.Values(j.graph)
	if err != nil {
		return nil, err
	}
	initial, err := t.Step.Layout.Flatten(values)
	if err != nil {
		return nil, err
	}
	// Everything is known to work: bad input has left nothing behind.
	if j.create != nil {
		if err := j.create(); err != nil {
			return nil, err
		}
	}
	log, err := j.run.Metrics(j.stepsTaken())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	j.log, t.Report, t.Save = log, j.report, j.save
	state, err := t.Run(ctx, initial, j.resumed)
	if err != nil {
		return nil, err
	}
	if j.logErr != nil {
		return nil, fmt.Errorf("metrics: %w", j.logErr)
	}
	j.run.Finished = true
	if err := j.run.Write(); err != nil {
		return nil, err
	}
	return &Run{Run: j.run, Training: &Training{state.Steps, len(j.train.Windows()), j.train.Truncated, j.memory, j.perStep()}}, nil
}

// trainer gives the training graph and the forward graph to onnxruntime.
func (j *job) trainer(ctx context.Context) (*train.Trainer, func(), error) {
	step, err := train.NewStepGraph(j.graph, j.run.Plan, j.autodiff)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", j.run.ModelAt, err)
	}
	t := &train.Trainer{Settings: j.run.Settings, Step: step, Train: j.train, Eval: j.eval}
	if err := j.begin(t); err != nil {
		return nil, nil, err
	}
	e, err := j.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	exec, err := e.session(ctx, "training graph", step.Graph)
	if err != nil {
		return nil, nil, err
	}
	t.Exec = exec
	if j.eval == nil {
		return t, func() { _ = exec.Close() }, nil
	}
	forward, err := train.NewForwardGraph(j.graph, j.run.Plan)
	if err != nil {
		return nil, nil, errors.Join(err, exec.Close())
	}
	fexec, err := e.session(ctx, "evaluation graph", forward)
	if err != nil {
		return nil, nil, errors.Join(err, exec.Close())
	}
	t.Forward = train.NewPredictor(fexec, forward, j.run.Plan)
	return t, func() { _ = exec.Close(); _ = fexec.Close() }, nil
}

// begin says what the work will be, and writes the training graph where that is wanted.
func (j *job) begin(t *train.Trainer) error {
	lengths := j.train.Lengths()
	b := Begun{Plan: j.run.Plan, Settings: j.run.Settings, Examples: len(j.train.Windows()), Longest: slices.Max(lengths), Steps: t.Steps(), After: j.stepsTaken()}
	for _, n := range lengths {
		b.Tokens += n
	}
	if j.eval != nil {
		b.EvalExamples = len(j.eval.Windows())
	}
	if m, err := t.Step.Memory(min(b.Settings.BatchSize, len(lengths)), b.Longest); err == nil {
		b.Memory, j.memory = &m, &m
	}
	if j.DumpGraph != "" {
		if _, err := saveGraph(t.Step.Graph, j.DumpGraph, onnxfile.Options{Weights: onnxfile.SelfContained, ValueInfo: true}); err != nil {
			return err
		}
	}
	if j.Begin != nil {
		j.Begin(b)
	}
	return nil
}

func (j *job) stepsTaken() int {
	if j.resumed == nil {
		return 0
	}
	return j.resumed.Steps
}

// report writes an event into the run's metrics, and passes it on.
func (j *job) report(e train.Event) {
	if j.Report != nil {
		j.Report(e)
	}
	switch e.Kind {
	case "step":
		j.seconds = append(j.seconds, e.Seconds)
	case "eval":
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.log.Write(append(line, '\n'))
	}
	j.logErr = cmp.Or(j.logErr, err)
}

// perStep is the mean time of a step in seconds, without the first.
func (j *job) perStep() float64 {
	if len(j.seconds) < 2 {
		return 0
	}
	sum := 0.0
	for _, s := range j.seconds[1:] {
		sum += s
	}
	return sum / float64(len(j.seconds)-1)
}

// save keeps the best adapter first and then the checkpoint that counts on it. What was trained on weights that changed under
// the training is not kept.
func (j *job) save(s train.State) error {
	if err := onnxfile.Unchanged(j.graph); err != nil {
		return hinted(err, "put the model back as it was, then resume "+j.run.Dir)
	}
	if s.BestEpoch > 0 && s.BestEpoch != j.run.BestEpoch {
		if err := j.run.SaveAdapter(s, j.graph); err != nil {
			return err
		}
		j.run.BestEpoch, j.run.Best = s.BestEpoch, s.BestMetric
		if err := j.run.Write(); err != nil {
			return err
		}
	}
	return j.run.SaveCheckpoint(s)
}
