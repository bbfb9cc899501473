package train_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

var labels = []string{"a", "b", "c"}

// injected is a fixture with LoRA on its attention and a head of three classes, every parameter moved off its start so that
// no gradient is zero by construction.
func injected(t *testing.T, f *modelstest.Fixture, task inject.Task, m inject.Method, drop float64) (*graph.Graph, *inject.Plan) {
	t.Helper()
	g := f.Load(t)
	plan := injecttest.Into(t, g, inject.Options{Task: task, HeadDrop: drop, Seed: 5}, m)
	injecttest.Move(t, g, plan, 0.3)
	return g, plan
}

func lora() *inject.LoRA {
	return &inject.LoRA{R: 3, Alpha: 6, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames("query,value")}}
}

// batchOf is the fixture's first run as a batch.
func batchOf(f *modelstest.Fixture) *data.Batch {
	ids := f.Runs[0].Inputs["input_ids"]
	ints := func(name string) []int64 {
		out := make([]int64, len(ids.Data))
		for i, v := range f.Runs[0].Inputs[name].Data {
			out[i] = int64(v)
		}
		return out
	}
	size := int(ids.Shape[0])
	b := &data.Batch{Size: size, Length: int(ids.Shape[1]), InputIDs: ints("input_ids"), AttentionMask: ints("attention_mask"), TokenTypeIDs: ints("token_type_ids")}
	var classes []int64
	for i := range size {
		classes, b.Indices = append(classes, int64(i%len(labels))), append(b.Indices, i)
	}
	return withLabels(b, classes)
}

// withLabels gives a batch its classes.
func withLabels(b *data.Batch, classes []int64) *data.Batch {
	b.Targets = map[string]*graph.Tensor{"label": graph.TensorOf(nil, classes)}
	b.Weights, b.Weight = graph.TensorOf(nil, slices.Repeat([]float32{1}, b.Size)), float64(b.Size)
	return b
}

func feeds(t *testing.T, s *train.StepGraph, g *graph.Graph, b *data.Batch) map[string]*graph.Tensor {
	t.Helper()
	values, err := s.Plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	flat, err := s.Layout.Flatten(values)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Feeds(b, flat, 1/float64(b.Size), 9, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func reference(t *testing.T, g *graph.Graph) *refeval.Program {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkGradients compares every emitted gradient with differences of the loss in float64. Those of a zero derivative, divided
// by their steps, come to about 1e-13 by rounding alone.
func checkGradients(t *testing.T, s *train.StepGraph, g *graph.Graph, f *modelstest.Fixture, seed uint64) {
	t.Helper()
	compareGradients(t, s, feeds(t, s, g, batchOf(f)), seed)
}

func compareGradients(t *testing.T, s *train.StepGraph, feeds map[string]*graph.Tensor, seed uint64) {
	t.Helper()
	results, err := s.CheckGradients(context.Background(), reference(t, s.Graph), feeds, s.Layout.Slots, seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(s.Plan.Trainables) {
		t.Errorf("%d of %d parameters compared", len(results), len(s.Plan.Trainables))
	}
	worst := 0.0
	for _, r := range results {
		difference := math.Abs(r.Emitted - r.Measured)
		worst = max(worst, difference)
		if !(r.RelErr <= 1e-8 || difference <= 5e-13) {
			t.Errorf("%s: emitted %v, measured %v, relative error %.1e", r.Name, r.Emitted, r.Measured, r.RelErr)
		}
	}
	t.Logf("largest difference %.1e", worst)
}

// The whole model's gradients on every exporter form, against central differences in float64; dropout included, since its
// masks are fed.
func TestGradientsOnEveryExporterForm(t *testing.T) {
	for _, f := range modelstest.Encoders(t) {
		t.Run(f.Name, func(t *testing.T) {
			m := lora()
			m.Dropout = 0.2
			g, plan := injected(t, f, inject.Task{Type: "classification", Labels: labels}, m, 0.1)
			s, err := train.NewStepGraph(g, plan, autodiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Masks) != 1+len(plan.Sites) {
				t.Errorf("%d dropout masks for %d sites and a head", len(s.Masks), len(plan.Sites))
			}
			checkGradients(t, s, g, f, 1)
		})
	}
}

// The training graph computes the same logits as the injected model, and the forward graph as both.
func TestTrainingGraphKeepsTheForwardPass(t *testing.T) {
	for _, f := range modelstest.Encoders(t) {
		t.Run(f.Name, func(t *testing.T) {
			g, plan := injected(t, f, inject.Task{Type: "classification", Labels: labels}, lora(), 0)
			s, err := train.NewStepGraph(g, plan, autodiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			forward, err := train.NewForwardGraph(g, plan)
			if err != nil {
				t.Fatal(err)
			}
			all := feeds(t, s, g, batchOf(f))
			run := func(g *graph.Graph) *graph.Tensor {
				own := map[string]*graph.Tensor{}
				for _, in := range g.Inputs() {
					own[in.Name()] = all[in.Name()]
				}
				res, err := reference(t, g).Run(context.Background(), own, []string{plan.Logits})
				if err != nil {
					t.Fatal(err)
				}
				return res[0]
			}
			want := run(g)
			graphtest.Close(t, run(s.Graph), want, 1e-6, 1e-7)
			graphtest.Close(t, run(forward), want, 1e-6, 1e-7)
		})
	}
}

// dataset is a toy task that two layers learn at once: the label is in the first word.
func dataset(n int, seed uint64) *data.Dataset {
	d := &data.Dataset{}
	var classes []int64
	for i := range n {
		e := data.Encoding{IDs: []int64{2, int64(10 + (i*7+int(seed))%3)}, TypeIDs: []int64{0, 0}}
		for k := range i % 5 {
			e.IDs, e.TypeIDs = append(e.IDs, int64(20+(i+k)%9)), append(e.TypeIDs, 0)
		}
		d.Encodings = append(d.Encodings, e)
		classes = append(classes, e.IDs[1]-10)
	}
	d.Targets = []data.Target{data.Scalars("label", classes)}
	return d
}

// taskOf is a task with settings as the command line has them, and what a plan says of it.
func taskOf(t *testing.T, name string, labels []string, settings map[string]string) (task.Task, inject.Task) {
	t.Helper()
	k, err := task.New(name)
	if err != nil {
		t.Fatal(err)
	}
	for flag, text := range settings {
		if ok, err := task.Set(k, flag, text); !ok || err != nil {
			t.Fatal(flag, ok, err)
		}
	}
	of, err := task.ForInjection(k, labels)
	if err != nil {
		t.Fatal(err)
	}
	return k, of
}

// stepGraph is what trains a plan, and the plan's values to start from.
func stepGraph(t *testing.T, g *graph.Graph, plan *inject.Plan) (*train.StepGraph, []float32) {
	t.Helper()
	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	flat, err := s.Layout.Flatten(values)
	if err != nil {
		t.Fatal(err)
	}
	return s, flat
}

// predictor judges on the reference evaluator.
func predictor(t *testing.T, g *graph.Graph, plan *inject.Plan) *train.Predictor {
	t.Helper()
	forward, err := train.NewForwardGraph(g, plan)
	if err != nil {
		t.Fatal(err)
	}
	return train.NewPredictor(reference(t, forward), forward, plan)
}

// trainer is a whole run on the reference evaluator, so that no test here needs libonnxruntime.
func trainer(t *testing.T, settings train.Settings, dropout float64) (*train.Trainer, []float32) {
	t.Helper()
	m := lora()
	m.Dropout = dropout
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	g, plan := injected(t, f, inject.Task{Type: "classification", Labels: labels}, m, dropout)
	s, flat := stepGraph(t, g, plan)
	return &train.Trainer{Settings: settings, Step: s, Exec: reference(t, s.Graph), Train: dataset(22, 1), Eval: dataset(9, 2),
		Forward: predictor(t, g, plan)}, flat
}

func settings() train.Settings {
	s := train.DefaultSettings()
	s.Epochs, s.BatchSize, s.LearningRate, s.EvalBatch = 8, 6, 0.05, 4
	return s
}

func TestRunLearns(t *testing.T) {
	tr, start := trainer(t, settings(), 0)
	tr.Eval = tr.Train
	var losses []float64
	tr.Report = func(e train.Event) {
		if e.Kind == "epoch" {
			losses = append(losses, e.Loss)
		}
	}
	state, err := tr.Run(context.Background(), start, nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.BestMetric["accuracy"] < 1 || losses[len(losses)-1] > losses[0]/2 {
		t.Errorf("accuracy %v, losses %v", state.BestMetric, losses)
	}
	if state.Steps != tr.Steps() || state.Steps != 32 {
		t.Errorf("%d steps, want 32", state.Steps)
	}
}

// A run that is interrupted anywhere, saved, and resumed ends with the very parameters of a run that wasn't; with dropout,
// since the masks depend on seed and batch alone.
func TestResumeEqualsNoInterruption(t *testing.T) {
	s := settings()
	s.Epochs, s.Accumulate = 2, 2
	whole, start := trainer(t, s, 0.25)
	want, err := whole.Run(context.Background(), start, nil)
	if err != nil {
		t.Fatal(err)
	}
	for stopAt := 1; stopAt < want.Steps; stopAt++ {
		ctx, cancel := context.WithCancel(context.Background())
		first, start := trainer(t, s, 0.25)
		path := t.TempDir() + "/checkpoint.safetensors"
		first.Save = func(st train.State) error { return train.SaveState(path, st, s) }
		first.Report = func(e train.Event) {
			if e.Kind == "step" && e.Step == stopAt {
				cancel()
			}
		}
		var stopped *train.InterruptedError
		if _, err := first.Run(ctx, start, nil); !errors.As(err, &stopped) || stopped.Step != stopAt {
			t.Fatalf("stopped with %v, want after step %d", err, stopAt)
		}
		saved, with, err := train.LoadState(path)
		if err != nil || with != s {
			t.Fatalf("loaded %+v, %v", with, err)
		}
		second, start := trainer(t, s, 0.25)
		got, err := second.Run(context.Background(), start, &saved)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("stopped after step %d: the resumed run differs", stopAt)
		}
	}
}

// Accumulating two batches of 3 gives the gradient of one batch of 6: examples weigh alike.
func TestAccumulationEqualsBigBatch(t *testing.T) {
	s := settings()
	s.Epochs, s.Schedule, s.Warmup = 1, "constant", 0
	norms := func(batch, accumulate int) (out []string) {
		s.BatchSize, s.Accumulate = batch, accumulate
		tr, start := trainer(t, s, 0)
		tr.Train = dataset(6, 1)
		tr.Report = func(e train.Event) {
			if e.Kind == "step" {
				out = append(out, fmt.Sprintf("%.6f %.6f", e.Loss, e.Norm))
			}
		}
		if _, err := tr.Run(context.Background(), start, nil); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if a, b := norms(6, 1), norms(3, 2); !reflect.DeepEqual(a, b) {
		t.Errorf("one batch %v, accumulated %v", a, b)
	}
}

func TestDivergenceIsReported(t *testing.T) {
	s := settings()
	s.LearningRate, s.ClipNorm, s.Optimizer = 1e30, 0, "sgd"
	tr, start := trainer(t, s, 0)
	var diverged *train.DivergedError
	if _, err := tr.Run(context.Background(), start, nil); !errors.As(err, &diverged) {
		t.Errorf("got %v, want a DivergedError", err)
	}
}

var _ train.Executor = (*runtime.Session)(nil)
