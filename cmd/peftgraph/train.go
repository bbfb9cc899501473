package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/optim"
	"github.com/peftgraph/peftgraph/train/task"
)

func trainCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the run folder to make"},
		&cli.StringFlag{Name: "data", Usage: "labelled text to train on", Category: dataCategory},
		&cli.StringFlag{Name: "eval", Usage: "labelled text that decides which epoch was best", Category: dataCategory},
		&cli.StringFlag{Name: "tokenizer", Usage: "tokenizer.json or vocab.txt (default: the one beside the model)", Category: dataCategory},
		&cli.IntFlag{Name: "max-length", Value: 128, Usage: "tokens after which a text is cut", Category: dataCategory},
		&cli.BoolFlag{Name: "resume", Usage: "continue the run in the folder given with -o, or as the argument"},
		&cli.StringFlag{Name: "export", Usage: "once it is trained, also write the deployable model to this file, merged where that can be, and prove it"},
		&cli.StringFlag{Name: "dump-graph", Usage: "also write the training graph, as ONNX, to this file"},
		&cli.BoolFlag{Name: "fused-matmul", Usage: "let the gradient graph use com.microsoft.FusedMatMul", Category: "Runtime"},
		modelFlag(),
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
		&cli.StringFlag{Name: "optimizer", Value: d.Optimizer, Usage: optimizerUsage(), Category: trainCategory, Action: oneOf("optimizer", optim.Names()...)},
		&cli.StringFlag{Name: "schedule", Value: d.Schedule, Usage: scheduleUsage(), Category: trainCategory, Action: oneOf("schedule", optim.ScheduleNames()...)},
	}
}

func settingsFrom(c *cli.Context) train.Settings {
	return train.Settings{Epochs: c.Int("epochs"), BatchSize: c.Int("batch-size"), Accumulate: c.Int("accumulate"), EvalBatch: c.Int("eval-batch-size"),
		LearningRate: c.Float64("lr"), WeightDecay: c.Float64("weight-decay"), Warmup: c.Float64("warmup"), ClipNorm: c.Float64("clip"),
		Optimizer: c.String("optimizer"), Schedule: c.String("schedule"), Seed: c.Uint64("seed")}
}

func runTrain(c *cli.Context, o *console) error {
	if out := c.String("export"); c.IsSet("export") && (filepath.Ext(out) != ".onnx" || isFolder(out)) {
		return hintedError{usagef("train: --export %s: want a file that ends in .onnx", shellQuoted(out)), "--export deploy/model.onnx"}
	}
	prepare := newJob
	if c.Bool("resume") {
		prepare = resumedJob
	}
	j, err := prepare(c, o)
	if err != nil {
		return err
	}
	if err := j.start(c, o); err != nil || !c.IsSet("export") {
		return err
	}
	return exportAfter(c, j.run.Dir)
}

// exportAfter does what the export command does, with the flags that both commands have.
func exportAfter(c *cli.Context, dir string) error {
	args := []string{c.App.Name, "export", "--merge", "--output", c.String("export")}
	for _, name := range []string{"model", "provider", "threads", "ort-lib", "json", "quiet"} {
		if c.IsSet(name) {
			args = append(args, fmt.Sprintf("--%s=%v", name, c.Value(name)))
		}
	}
	if err := c.App.RunContext(c.Context, append(args, "--", dir)); err != nil {
		return fmt.Errorf("%s is trained, but not exported: %w", dir, err)
	}
	return nil
}

// start builds the graphs, trains, and keeps the run folder up to date.
func (j *job) start(c *cli.Context, o *console) error {
	t, done, err := j.trainer(c.Context, c, o)
	if err != nil {
		return err
	}
	defer done()
	values, err := j.run.Plan.Values(j.graph)
	if err != nil {
		return err
	}
	initial, err := t.Step.Layout.Flatten(values)
	if err != nil {
		return err
	}
	// Everything is known to work: bad input has left nothing behind.
	if j.create != nil {
		if err := j.create(); err != nil {
			return err
		}
	}
	log, err := j.run.Metrics(j.stepsTaken())
	if err != nil {
		return err
	}
	defer log.Close()
	p := &progress{o: o, log: log, bar: o.bar("training", false)}
	t.Report, t.Save = p.report, j.save
	state, err := t.Run(c.Context, initial, j.resumed)
	p.bar.end()
	var stopped *train.InterruptedError
	switch {
	case errors.As(err, &stopped):
		return hintedError{err, "peftgraph train --resume " + shellQuoted(j.run.Dir)}
	case err != nil:
		return err
	case p.err != nil:
		return fmt.Errorf("metrics: %w", p.err)
	}
	return j.finish(o, state, t, p)
}

func (j *job) stepsTaken() int {
	if j.resumed == nil {
		return 0
	}
	return j.resumed.Steps
}

// save keeps the best adapter first and then the checkpoint that counts on it. What was trained on weights that changed under
// the training is not kept.
func (j *job) save(s train.State) error {
	if err := onnxfile.Unchanged(j.graph); err != nil {
		return hintedError{err, "put the model back as it was, then peftgraph train --resume " + shellQuoted(j.run.Dir)}
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

func (j *job) finish(o *console, s train.State, t *train.Trainer, p *progress) error {
	j.run.Finished = true
	if err := j.run.Write(); err != nil {
		return err
	}
	size := t.Step.Layout.Size
	v := struct {
		Run       string        `json:"run"`
		Steps     int           `json:"steps"`
		BestEpoch int           `json:"best_epoch"`
		Metrics   task.Scores   `json:"metrics,omitempty"`
		Examples  int           `json:"examples"`
		Cut       int           `json:"truncated"` // examples longer than --max-length
		Trainable int           `json:"trainable_parameters"`
		Share     float64       `json:"trainable_share"`
		Estimate  *train.Memory `json:"memory_estimate,omitempty"`
		PerStep   float64       `json:"seconds_per_step,omitempty"` // mean without the first
		Peak      int64         `json:"peak_memory,omitempty"`      // bytes, mapped weights included
	}{j.run.Dir, s.Steps, s.BestEpoch, s.BestMetric, len(j.train.Encodings), j.train.Truncated, size, float64(size) / float64(j.run.Plan.Encoder.Parameters), j.memory, p.perStep(), peakMemory()}
	if v.PerStep > 0 && v.Peak > 0 {
		o.note("  took    %.3g s a step, at most %s of memory, mapped weights included", v.PerStep, bytesText(v.Peak))
	}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d steps, best after epoch %d%s\n", j.run.Dir, s.Steps, s.BestEpoch, metricsText(s.BestMetric))
	})
}

// trainer gives the training graph and the forward graph to onnxruntime.
func (j *job) trainer(ctx context.Context, c *cli.Context, o *console) (*train.Trainer, func(), error) {
	step, err := train.NewStepGraph(j.graph, j.run.Plan, autodiff.Options{FusedMatMul: c.Bool("fused-matmul")})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", j.run.ModelAt, err)
	}
	t := &train.Trainer{Settings: j.run.Settings, Step: step, Train: j.train, Eval: j.eval}
	j.announce(o, t)
	if path := c.String("dump-graph"); path != "" {
		if _, err := saveModel(step.Graph, path, onnxfile.Options{Weights: onnxfile.SelfContained, ValueInfo: true}); err != nil {
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
	t.Exec = exec
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
	t.Forward = train.NewPredictor(fexec, forward, j.run.Plan)
	return t, func() { _ = exec.Close(); _ = fexec.Close() }, nil
}

// checkpoint returns the state to go on from, nil for a run that was killed before it wrote one.
func checkpoint(run *train.Run, o *console) (*train.State, error) {
	state, err := run.Checkpoint()
	if errors.Is(err, fs.ErrNotExist) {
		o.note("%s has no checkpoint yet: starting from the beginning", run.Dir)
		return nil, nil
	}
	if err != nil {
		return nil, hintedError{err, "the best adapter so far can still be exported; to train, start again in another folder"}
	}
	return &state, nil
}

// shellQuoted is a path as it can be pasted into a shell.
func shellQuoted(path string) string {
	if strings.ContainsAny(path, " '\"$&|;<>()*?[]\\`!#~\t\n") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
