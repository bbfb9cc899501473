package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
)

func trainCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the run folder to make"},
		&cli.StringFlag{Name: "data", Usage: "labelled text to train on", Category: dataCategory},
		&cli.StringFlag{Name: "eval", Usage: "labelled text that decides which epoch was best", Category: dataCategory},
		&cli.StringFlag{Name: "tokenizer", Usage: "tokenizer.json or vocab.txt (default: the one beside the model)", Category: dataCategory},
		&cli.IntFlag{Name: "max-length", Value: 128, Usage: "tokens after which a text is cut", Category: dataCategory},
		&cli.BoolFlag{Name: "resume", Usage: "continue the run in the folder given with -o, or as the argument"},
		&cli.StringFlag{Name: "dump-graph", Usage: "also write the training graph, as ONNX, to this file"},
		&cli.BoolFlag{Name: "fused-matmul", Usage: "let the gradient graph use com.microsoft.FusedMatMul", Category: "Runtime"},
	}
	flags = append(flags, settingFlags()...)
	flags = append(flags, methodFlags()...)
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "train",
		Usage:     "train an injected model, or inject with --method and train at once",
		ArgsUsage: "MODEL.onnx",
		Flags:     append(flags, outputFlags()...),
		Action:    func(c *cli.Context) error { return runTrain(c, newConsole(c)) },
	}
}

const trainCategory = "Training"

func settingFlags() []cli.Flag {
	d := train.DefaultSettings()
	return []cli.Flag{
		&cli.IntFlag{Name: "epochs", Value: d.Epochs, Usage: "passes over the data", Category: trainCategory},
		&cli.IntFlag{Name: "batch-size", Value: d.BatchSize, Usage: "texts per batch", Category: trainCategory},
		&cli.IntFlag{Name: "accumulate", Value: d.Accumulate, Usage: "batches per optimizer step", Category: trainCategory},
		&cli.IntFlag{Name: "eval-batch-size", Value: d.EvalBatch, Usage: "texts per batch of an evaluation", Category: trainCategory},
		&cli.Float64Flag{Name: "lr", Value: d.LearningRate, Usage: "peak learning rate", Category: trainCategory},
		&cli.Float64Flag{Name: "weight-decay", Value: d.WeightDecay, Usage: "decoupled weight decay; biases and LayerNorms have none", Category: trainCategory},
		&cli.Float64Flag{Name: "warmup", Value: d.Warmup, Usage: "share of the steps over which the learning rate rises", Category: trainCategory},
		&cli.Float64Flag{Name: "clip", Value: d.ClipNorm, Usage: "largest norm of the gradient; 0 for no limit", Category: trainCategory},
		&cli.StringFlag{Name: "optimizer", Value: d.Optimizer, Usage: optimizerUsage(), Category: trainCategory},
		&cli.StringFlag{Name: "schedule", Value: d.Schedule, Usage: scheduleUsage(), Category: trainCategory},
	}
}

func settingsFrom(c *cli.Context) train.Settings {
	return train.Settings{Epochs: c.Int("epochs"), BatchSize: c.Int("batch-size"), Accumulate: c.Int("accumulate"), EvalBatch: c.Int("eval-batch-size"),
		LearningRate: c.Float64("lr"), WeightDecay: c.Float64("weight-decay"), Warmup: c.Float64("warmup"), ClipNorm: c.Float64("clip"),
		Optimizer: c.String("optimizer"), Schedule: c.String("schedule"), Seed: c.Uint64("seed")}
}

// A job is a run that is ready to go.
type job struct {
	run     *train.Run
	graph   *graph.Graph // injected
	train   *data.Dataset
	eval    *data.Dataset
	resumed *train.State
}

func runTrain(c *cli.Context, o *console) error {
	settings := settingsFrom(c)
	if err := settings.Validate(); err != nil {
		return usageError{err.Error()}
	}
	prepare := newJob
	if c.Bool("resume") {
		prepare = resumedJob
	}
	j, err := prepare(c, o, settings)
	if err != nil {
		return err
	}
	return j.start(c, o)
}

// newJob reads everything before it makes the run folder, so that bad input leaves nothing behind.
func newJob(c *cli.Context, o *console, settings train.Settings) (*job, error) {
	path, err := onePath(c, "model")
	if err != nil {
		return nil, err
	}
	if c.String("data") == "" || c.String("output") == "" {
		return nil, usagef("train: --data and -o are needed; see peftgraph train --help")
	}
	set, err := data.Read(c.String("data"), dataOptions(c))
	if err != nil {
		return nil, err
	}
	j := &job{}
	plan, err := j.model(c, path, set)
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
	if j.run, err = train.NewRun(c.String("output")); err != nil {
		return nil, err
	}
	j.run.Plan, j.run.Settings, j.run.MaxLength = plan, settings, r.maxLength
	j.run.Data = train.DataColumns{Format: set.Format, Text: set.TextColumn, Pair: set.PairColumn, Label: set.LabelColumn, Header: set.Header}
	if err := errors.Join(absolute(c.String("data"), &j.run.TrainFile), absolute(c.String("eval"), &j.run.EvalFile)); err != nil {
		return nil, err
	}
	if err := j.run.SetModel(path); err != nil {
		return nil, err
	}
	if err := j.run.TakeTokenizer(r.tokenizer.Path()); err != nil {
		return nil, err
	}
	return j, j.run.Write()
}

func absolute(path string, to *string) (err error) {
	if path != "" {
		*to, err = filepath.Abs(path)
	}
	return err
}

// model loads the model, injecting first when it isn't injected yet.
func (j *job) model(c *cli.Context, path string, set *data.Set) (*inject.Plan, error) {
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, err
	}
	j.graph = g
	if plan != nil {
		if c.IsSet("method") {
			return nil, usagef("--method: %s is injected already; train the original model, or leave --method away", path)
		}
		if plan.Task.Type == "" {
			return nil, fmt.Errorf("%s was injected without a head (--task none): inject again with a --task", path)
		}
		return plan, nil
	}
	if !c.IsSet("method") {
		return nil, fmt.Errorf("%s: %w", path, &inject.NoPlanError{})
	}
	enc, err := recognise(path, g)
	if err != nil {
		return nil, err
	}
	labels := labelsFrom(c)
	if c.String("task") == "classification" && labels == nil {
		classes, err := data.InferLabels(set)
		if err != nil {
			return nil, err
		}
		labels = classes.Names()
	}
	return injectInto(c, enc, labels)
}

func (j *job) data(c *cli.Context, r *reader, set *data.Set, plan *inject.Plan) (err error) {
	if j.train, err = r.dataset(set, plan.Task); err != nil {
		return err
	}
	if c.String("eval") == "" {
		return nil
	}
	eval, err := data.Read(c.String("eval"), dataOptions(c))
	if err != nil {
		return err
	}
	j.eval, err = r.dataset(eval, plan.Task)
	return err
}

// resumedJob rebuilds a job from its folder; the settings are the run's own.
func resumedJob(c *cli.Context, o *console, _ train.Settings) (*job, error) {
	dir := c.String("output")
	if dir == "" {
		dir = c.Args().First()
	}
	run, err := train.OpenRun(dir)
	if err != nil {
		return nil, err
	}
	if run.Finished {
		return nil, fmt.Errorf("%s: the run is finished; train into another folder", dir)
	}
	j := &job{run: run}
	if j.graph, err = injectedModel(run, ""); err != nil {
		return nil, err
	}
	r, err := newReader(o, run.TokenizerPath(), run.MaxLength, run.Plan.Encoder)
	if err != nil {
		return nil, err
	}
	for path, to := range map[string]**data.Dataset{run.TrainFile: &j.train, run.EvalFile: &j.eval} {
		if path == "" {
			continue
		}
		set, err := data.Read(path, columns(run))
		if err != nil {
			return nil, err
		}
		if *to, err = r.dataset(set, run.Plan.Task); err != nil {
			return nil, err
		}
	}
	state, err := run.Checkpoint()
	if err != nil {
		return nil, err
	}
	j.resumed = &state
	return j, nil
}

// start builds the graphs, trains, and keeps the run folder up to date.
func (j *job) start(c *cli.Context, o *console) error {
	ctx := c.Context
	t, done, err := j.trainer(ctx, c, o)
	if err != nil {
		return err
	}
	defer done()
	layout := t.Step.Layout
	values, err := j.run.Plan.Values(j.graph)
	if err != nil {
		return err
	}
	initial, err := layout.Flatten(values)
	if err != nil {
		return err
	}
	after := 0
	if j.resumed != nil {
		after = j.resumed.Steps
	}
	log, err := j.run.Metrics(after)
	if err != nil {
		return err
	}
	defer log.Close()
	p := newProgress(o, log, t)
	t.Report = p.report
	t.Save = j.save
	o.note("training %s on %s examples", planText(j.run.Plan), thousands(len(j.train.Encodings)))
	state, err := t.Run(ctx, initial, j.resumed)
	p.bar.end()
	if p.err != nil {
		return fmt.Errorf("metrics: %w", p.err)
	}
	var stopped *train.InterruptedError
	if errors.As(err, &stopped) {
		o.note("stopped after step %d of %d; continue with: peftgraph train --resume -o %s", stopped.Step, stopped.Steps, j.run.Dir)
	}
	if err != nil {
		return err
	}
	return j.finish(o, state, layout.Size)
}

// save keeps the best adapter first and then the checkpoint that counts on it.
func (j *job) save(s train.State) error {
	if s.BestEpoch > 0 && s.BestEpoch != j.run.BestEpoch {
		if err := j.run.SaveAdapter(s); err != nil {
			return err
		}
		j.run.BestEpoch, j.run.Best = s.BestEpoch, s.BestMetric
		if err := j.run.Write(); err != nil {
			return err
		}
	}
	return j.run.SaveCheckpoint(s)
}

func (j *job) finish(o *console, s train.State, size int) error {
	j.run.Finished = true
	if err := j.run.Write(); err != nil {
		return err
	}
	v := struct {
		Run       string             `json:"run"`
		Steps     int                `json:"steps"`
		BestEpoch int                `json:"best_epoch"`
		Metrics   map[string]float64 `json:"metrics,omitempty"`
		Trainable int                `json:"trainable_parameters"`
		Share     float64            `json:"trainable_share"`
	}{j.run.Dir, s.Steps, s.BestEpoch, s.BestMetric, size, float64(size) / float64(j.run.Plan.Encoder.Parameters)}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d steps, best after epoch %d%s\n", j.run.Dir, s.Steps, s.BestEpoch, metricsText(s.BestMetric))
	})
}

// trainer gives the training graph and the forward graph to onnxruntime.
func (j *job) trainer(ctx context.Context, c *cli.Context, o *console) (*train.Trainer, func(), error) {
	step, err := train.NewStepGraph(j.graph, j.run.Plan, autodiff.Options{FusedMatMul: c.Bool("fused-matmul")})
	if err != nil {
		return nil, nil, err
	}
	if path := c.String("dump-graph"); path != "" {
		if err := onnxfile.Save(step.Graph, path, onnxfile.Options{Weights: onnxfile.SelfContained, ValueInfo: true}); err != nil {
			return nil, nil, err
		}
		o.note("training graph: %s", path)
	}
	e, err := openEngine(ctx, c, o)
	if err != nil {
		return nil, nil, err
	}
	exec, err := e.session(ctx, "training graph", step.Graph)
	if err != nil {
		return nil, nil, err
	}
	t := &train.Trainer{Settings: j.run.Settings, Step: step, Exec: exec, Train: j.train, Eval: j.eval}
	if j.eval == nil {
		return t, func() { _ = exec.Close() }, nil
	}
	forward, err := train.NewForwardGraph(j.graph, j.run.Plan)
	if err != nil {
		return nil, nil, err
	}
	fexec, err := e.session(ctx, "evaluation graph", forward)
	if err != nil {
		return nil, nil, err
	}
	t.Forward = &train.Predictor{Exec: fexec, Graph: forward, Plan: j.run.Plan}
	return t, func() { _ = exec.Close(); _ = fexec.Close() }, nil
}

// progress turns the trainer's events into lines of metrics.jsonl and a bar.
type progress struct {
	o     *console
	log   io.Writer
	bar   *bar
	loss  float64
	steps int
	err   error
}

func newProgress(o *console, log io.Writer, t *train.Trainer) *progress {
	return &progress{o: o, log: log, bar: o.bar("training", false)}
}

func (p *progress) report(e train.Event) {
	switch e.Kind {
	case "step":
		p.loss += e.Loss
		p.steps++
		p.bar.at(int64(e.Step), int64(e.Steps), fmt.Sprintf(" epoch %d, loss %.4f", e.Epoch, e.Loss))
	case "eval":
		return
	case "epoch":
		p.bar.end()
		p.bar = p.o.bar("training", false)
		mark := ""
		if e.Best && len(e.Metrics) > 0 {
			mark = ", best so far"
		}
		p.o.note("epoch %d: loss %.4f%s%s", e.Epoch, e.Loss, metricsText(e.Metrics), mark)
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = p.log.Write(append(line, '\n'))
	}
	if p.err == nil {
		p.err = err
	}
}
