package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/optim"
	"github.com/peftgraph/peftgraph/train/task"
)

func trainCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the run folder to make"},
		&cli.StringSliceFlag{Name: "data", Usage: "labelled text to train on: " + filesUsage, Category: dataCategory},
		&cli.StringSliceFlag{Name: "eval", Usage: "labelled text that decides which epoch was best, as --data", Category: dataCategory},
		&cli.Float64Flag{Name: "split", Usage: "without --eval: the share of the data to hold out and judge by, such as 0.1, each class by its own share", Category: dataCategory, Action: rightSplit},
		&cli.StringFlag{Name: "tokenizer", Usage: "tokenizer.json or vocab.txt (default: the one beside the model)", Category: dataCategory},
		&cli.IntFlag{Name: "max-length", Value: peftgraph.DefaultMaxLength, Usage: "tokens after which a text is cut", Category: dataCategory},
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
		Action:    action(runTrain),
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
		&cli.StringFlag{Name: "optimizer", Value: d.Optimizer, Usage: "one of " + strings.Join(optim.Names(), ", "), Category: trainCategory, Action: oneOf("optimizer", optim.Names()...)},
		&cli.StringFlag{Name: "schedule", Value: d.Schedule, Usage: "how the learning rate falls after the warm-up: " + strings.Join(optim.ScheduleNames(), ", "), Category: trainCategory, Action: oneOf("schedule", optim.ScheduleNames()...)},
	}
}

func settingsFrom(c *cli.Context) train.Settings {
	return train.Settings{Epochs: c.Int("epochs"), BatchSize: c.Int("batch-size"), Accumulate: c.Int("accumulate"), EvalBatch: c.Int("eval-batch-size"),
		LearningRate: c.Float64("lr"), WeightDecay: c.Float64("weight-decay"), Warmup: c.Float64("warmup"), ClipNorm: c.Float64("clip"),
		Optimizer: c.String("optimizer"), Schedule: c.String("schedule"), Seed: c.Uint64("seed")}
}

func runTrain(c *cli.Context, o *console) error {
	if out := c.String("export"); c.IsSet("export") && (filepath.Ext(out) != ".onnx" || isFolder(out)) {
		return hinted(usagef("train: --export %s: want a file that ends in .onnx", shellQuoted(out)), "--export deploy/model.onnx")
	}
	work := trainNew
	if c.Bool("resume") {
		work = resume
	}
	run, err := work(c, o)
	if err != nil {
		return err
	}
	if err := printTraining(o, run); err != nil || !c.IsSet("export") {
		return err
	}
	if err := export(c.Context, o, run, peftgraph.ExportOptions{Engine: engineFrom(c, o), Path: c.String("export")}); err != nil {
		return fmt.Errorf("%s is trained, but not exported: %w", run.Dir, err)
	}
	return nil
}

func trainNew(c *cli.Context, o *console) (*peftgraph.Run, error) {
	settings := settingsFrom(c)
	if err := settings.Validate(); err != nil {
		return nil, usageError{err.Error()}
	}
	path, err := onePath(c, "model")
	if err != nil {
		return nil, err
	}
	for _, need := range []struct {
		flag, example string
		given         bool
	}{{"data", "--data train.tsv", len(c.StringSlice("data")) > 0}, {"output", "-o run/", c.String("output") != ""}} {
		if !need.given {
			return nil, hinted(usagef("train: --%s is needed", need.flag), need.example)
		}
	}
	opt, err := injectOptions(c)
	if err != nil {
		return nil, err
	}
	m, err := peftgraph.Open(path)
	if err != nil {
		return nil, err
	}
	if err := settledBy(c, m); err != nil {
		return nil, err
	}
	run, err := m.Train(c.Context, peftgraph.TrainOptions{Engine: engineFrom(c, o), Watch: watch(c, o), InjectOptions: opt, Output: c.String("output"),
		Data: c.StringSlice("data"), Eval: c.StringSlice("eval"), Split: c.Float64("split"), DataOptions: dataOptions(c), MaxLength: c.Int("max-length"), Settings: settings, FusedMatMul: c.Bool("fused-matmul")})
	if slices.Contains(slices.Concat(c.StringSlice("data"), c.StringSlice("eval")), data.Stdin) {
		return run, err // there is no going on
	}
	return run, stopped(err, c.String("output"))
}

// settledBy refuses flags that say something about the injection where the model has one: they would change nothing.
func settledBy(c *cli.Context, m *peftgraph.Model) error {
	if m.Plan == nil {
		return nil
	}
	for _, f := range methodFlags() {
		switch name := f.Names()[0]; {
		case !c.IsSet(name), name == "method", name == "seed": // the library refuses methods, and a run has a seed of its own
		case name == "task" && c.String(name) == m.Plan.Task.Type:
		case name == "task":
			return usagef("--task %s: %s is injected for %s", c.String(name), m.Path, cmp.Or(m.Plan.Task.Type, "no task"))
		default:
			return hinted(usagef("--%s: %s is injected already, with its own settings", name, m.Path), "give it to peftgraph inject, or train the original model with --method")
		}
	}
	return nil
}

// rightSplit is the action of --split.
func rightSplit(c *cli.Context, share float64) error {
	switch {
	case !(share > 0 && share < 1):
		return usagef("--split %v: must be above 0 and below 1", share)
	case c.IsSet("eval"):
		return usagef("--split: --eval has what to judge on; leave one of both away")
	}
	return nil
}

func watch(c *cli.Context, o *console) peftgraph.Watch {
	graph := c.String("dump-graph")
	var of inject.Task
	return peftgraph.Watch{Report: func(e train.Event) { o.report(of, e) }, DumpGraph: graph, Begin: func(b peftgraph.Begun) {
		of = b.Plan.Task
		o.announce(b)
		if graph != "" {
			o.note("training graph: %s", graph)
		}
	}}
}

// stopped gives the error of a training that was interrupted the command that goes on.
func stopped(err error, dir string) error {
	var interrupted *train.InterruptedError
	if errors.As(err, &interrupted) {
		return hinted(err, "peftgraph train --resume "+shellQuoted(dir))
	}
	return err
}

// resumable are the flags that may stand beside --resume: those that change nothing of what is computed.
var resumable = []string{"resume", "output", "o", "model", "export", "dump-graph", "provider", "threads", "ort-lib", "json", "quiet", "q"}

func resume(c *cli.Context, o *console) (*peftgraph.Run, error) {
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
		return nil, hinted(usagef("train --resume: want one run folder, got %d", len(dirs)), "peftgraph train --resume run/")
	}
	run, err := peftgraph.Resume(c.Context, dirs[0], peftgraph.ResumeOptions{Engine: engineFrom(c, o), Watch: watch(c, o), Model: c.String("model")})
	var finished *peftgraph.FinishedError
	if errors.As(err, &finished) {
		return nil, hinted(err, "peftgraph export --merge "+shellQuoted(dirs[0])+" -o model.onnx; to train longer, start another run with more --epochs")
	}
	return run, stopped(err, dirs[0])
}

func printTraining(o *console, run *peftgraph.Run) error {
	t, size := run.Training, run.Plan.Parameters()
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
	}{run.Dir, t.Steps, run.BestEpoch, run.Best, t.Examples, t.Truncated, size, float64(size) / float64(run.Plan.Encoder.Parameters), t.Memory, t.PerStep, peakMemory()}
	o.end()
	if v.PerStep > 0 && v.Peak > 0 {
		o.note("  took    %.3g s a step, at most %s of memory, mapped weights included", v.PerStep, bytesText(v.Peak))
	}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d steps, best after epoch %d%s\n", run.Dir, v.Steps, v.BestEpoch, metricsText(run.Plan.Task, v.Metrics))
	})
}
