package train_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// matrixForms are the files on which every task is tried with every method: one of each architecture and of both exporters.
var matrixForms = []string{"bert_torch2_dynamo_op20_sdpa_tf5", "distilbert_torch2_legacy_op14_eager", "roberta_torch2_legacy_op14_sdpa", "mpnet_torch2_legacy_op14_eager"}

// A tried task is one with names for as many outputs as a file's own head has.
type triedTask struct {
	task.Task
	of     inject.Task
	labels []string
}

func tried(t *testing.T, name string, outputs int) triedTask {
	t.Helper()
	k, err := task.New(name)
	if err != nil {
		t.Fatal(err)
	}
	out := triedTask{Task: k}
	for i := range outputs {
		out.labels = append(out.labels, fmt.Sprint("label ", i))
	}
	if _, err := k.Labels(nil, out.labels); err != nil {
		out.labels = nil // its outputs have no names
	}
	if out.of, err = task.ForInjection(k, out.labels); err != nil {
		t.Fatal(err)
	}
	return out
}

// made is made-up data for the task.
func (k triedTask) made(plan *inject.Plan, units int) *data.Dataset {
	return task.MakeUp(k.Task, k.labels, plan.Encoder.Vocab, 6, units, 1)
}

// formsFor are the files for a task, and how many outputs their own heads have: those of the matrix, and the files that were
// exported with a head of its kind.
func formsFor(t *testing.T, head models.Task) map[*modelstest.Fixture]int {
	t.Helper()
	out := map[*modelstest.Fixture]int{}
	for _, f := range modelstest.Encoders(t) {
		e := injecttest.Recognise(t, f.Load(t))
		switch own := e.Task == head && e.Classifier != nil; {
		case own && head == models.MaskedLM:
			out[f] = 0
		case own:
			out[f] = e.Classifier.Out
		case slices.Contains(matrixForms, f.Name):
			out[f] = 3
		}
	}
	return out
}

// Every task with every method on every architecture: it starts with what the head alone computes unless the method says why
// not, its gradients are those of central differences, and merged it computes the same.
func TestEveryTaskWithEveryMethod(t *testing.T) {
	for _, name := range task.Names() {
		k, err := task.New(name)
		if err != nil {
			t.Fatal(err)
		}
		for f, outputs := range formsFor(t, k.Head()) {
			for _, method := range inject.Names() {
				headless := k.Head() == models.FeatureExtraction || k.Head() == models.MaskedLM && outputs == 0
				if method == "head-only" && headless || method == "prefix" && f.IsRelative() {
					continue // there is nothing to train; refused
				}
				t.Run(name+"/"+method+"/"+f.Name, func(t *testing.T) {
					t.Parallel()
					if method == "full" && testing.Short() {
						t.Skip("short: every parameter of a model takes a while")
					}
					tryTask(t, tried(t, name, outputs), method, f)
				})
			}
		}
	}
}

func tryTask(t *testing.T, k triedTask, method string, f *modelstest.Fixture) {
	opt := inject.Options{Task: k.of, Seed: 5}
	compute := func(g *graph.Graph, plan *inject.Plan) *graph.Tensor {
		return modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0]
	}
	m := injecttest.New(t, method, nil)
	g := f.Load(t)
	plan := injecttest.Into(t, g, opt, m)
	if want := headAlone(t, k, f); want != nil {
		changed, why := graphtest.Differ(compute(g, plan), want, 0, 1e-9), inject.ChangesAtStart(m)
		if (changed != nil) != (why != "") {
			t.Errorf("at the start, the outputs differ from the head's own by %v; the method's reason is %q", changed, why)
		}
	}

	injecttest.Move(t, g, plan, 0.3)
	merged := g.Clone()
	if _, err := inject.Merge(merged, plan); err != nil {
		t.Fatal(err)
	}
	graphtest.Close(t, compute(merged, plan), compute(g, plan), 1e-5, 1e-5)

	s, flat := stepGraph(t, g, plan)
	const size = 5 // of the losses at most: rounding noise of differences grows with it
	b := k.made(plan, 3).Batch([]int{0, 2, 1})
	all, err := s.Feeds(b, flat, 1/(size*b.Weight), 9, 1)
	if err != nil {
		t.Fatal(err)
	}
	compareGradients(t, s, all, 3)
}

// headAlone is what the task's head computes on the base: the file's own logits where the head is the file's own; nil for an
// embedding, which has none.
func headAlone(t *testing.T, k triedTask, f *modelstest.Fixture) *graph.Tensor {
	g := f.Load(t)
	e := injecttest.Recognise(t, g)
	switch {
	case k.Head() == models.FeatureExtraction:
		return nil
	case e.Classifier != nil && e.Task == k.Head() && (e.Classifier.Out == k.of.Outputs() || k.Head() == models.MaskedLM):
		return modelstest.Evaluate(t, g, f.Runs[0].Inputs, e.Logits.Name())[0]
	}
	plan := injecttest.Into(t, g, inject.Options{Task: k.of, Seed: 5}, injecttest.New(t, "head-only", nil))
	return modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0]
}

// A run of every task that is interrupted, dropout and all, goes on from its checkpoint to the same bits.
func TestEveryTaskResumes(t *testing.T) {
	for _, name := range task.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := tried(t, name, 3)
			trainer := func() (*train.Trainer, []float32) {
				m := lora()
				m.Dropout = 0.2
				g, plan := injected(t, modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa"), k.of, m, 0)
				s, flat := stepGraph(t, g, plan)
				how := train.DefaultSettings()
				how.Epochs, how.BatchSize = 2, 3
				return &train.Trainer{Settings: how, Step: s, Exec: reference(t, s.Graph), Train: k.made(plan, 11)}, flat
			}
			whole, start := trainer()
			want, err := whole.Run(context.Background(), start, nil)
			if err != nil {
				t.Fatal(err)
			}
			first, start := trainer()
			ctx, cancel := context.WithCancel(context.Background())
			first.Report = func(e train.Event) {
				if e.Kind == "step" && e.Step == 6 {
					cancel()
				}
			}
			path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
			first.Save = func(s train.State) error { return train.SaveState(path, s, first.Settings) }
			if _, err := first.Run(ctx, start, nil); err == nil {
				t.Fatal("it wasn't interrupted")
			}
			saved, _, err := train.LoadState(path)
			if err != nil {
				t.Fatal(err)
			}
			second, start := trainer()
			if got, err := second.Run(context.Background(), start, &saved); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("the resumed run ends elsewhere: %v", err)
			}
		})
	}
}

// Every task in one graph, each by another method: a text has the outputs that its own model gives it.
func TestEveryTaskInAJoint(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	methods := []string{"lora", "prefix", "prompt", "adapter"}
	var parts []multitask.Part
	for i, name := range task.Names() {
		g, plan := injected(t, f, tried(t, name, 3).of, injecttest.New(t, methods[i%len(methods)], nil), 0)
		g.SetOutputs(g.Value(plan.Logits))
		inject.Deploy(g)
		if err := inject.Fold(g); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, multitask.Part{Name: name, Graph: g, Plan: plan})
	}
	joint, err := multitask.Join(parts)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := multitask.ReadTasks(joint)
	if err != nil {
		t.Fatal(err)
	}
	d := dataset(3*len(parts), 1)
	whose := make([]int, len(d.Encodings))
	for i := range whose {
		whose[i] = i * 5 % len(parts)
	}
	p := &train.Predictor{Exec: reference(t, joint), Graph: joint, Info: parts[0].Plan.Encoder, Tasks: tasks}
	rows, err := p.Predict(context.Background(), d, whose, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		part := parts[whose[i]]
		own := train.NewPredictor(reference(t, part.Graph), part.Graph, part.Plan)
		want, err := own.Predict(context.Background(), &data.Dataset{Encodings: d.Encodings[i : i+1]}, nil, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(row) != len(want[0]) || len(row) == 0 {
			t.Fatalf("%s: %d outputs, want %d", part.Name, len(row), len(want[0]))
		}
		graphtest.Close(t, graph.TensorOf(nil, row), graph.TensorOf(nil, want[0]), 1e-6, 1e-6)
	}
}
