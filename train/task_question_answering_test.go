package train_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// answering is the question answering task as a plan has it.
func answering(t *testing.T) (task.Task, inject.Task) {
	t.Helper()
	k, err := task.New("question-answering")
	if err != nil {
		t.Fatal(err)
	}
	of, err := task.ForInjection(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k, of
}

// evaluated returns values of g for the fixture's first run.
func evaluated(t *testing.T, f *modelstest.Fixture, g *graph.Graph, fetches ...string) []*graph.Tensor {
	t.Helper()
	res, err := reference(t, g).Run(context.Background(), f.Feeds(g, 0), fetches)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Every method with a head of question answering: it starts with the outputs of the head alone, its gradients are those of
// central differences, and merged it computes the same. The files are of several exporters, one with such a head of its own.
func TestQuestionAnsweringWithEveryMethod(t *testing.T) {
	for _, file := range []string{"bert_torch2_legacy_op14_sdpa", "bert_torch2_dynamo_op18_eager", "distilbert_torch2_legacy_op14_eager",
		"roberta_torch2_legacy_op14_sdpa", "bert_torch2_legacy_op14_qa", "bert_torch2_dynamo_op18_qa"} {
		f := modelstest.Encoder(t, file)
		for _, name := range inject.Names() {
			t.Run(name+"/"+file, func(t *testing.T) {
				t.Parallel()
				if name == "full" && testing.Short() {
					t.Skip("short: every parameter of a model takes a while")
				}
				answers(t, f, name)
			})
		}
	}
}

func answers(t *testing.T, f *modelstest.Fixture, name string) {
	k, of := answering(t)
	opt := inject.Options{Task: of, Seed: 5}
	plain := f.Load(t)
	alone := injecttest.Into(t, plain, opt, injecttest.New(t, "head-only", nil))
	want := evaluated(t, f, plain, alone.Logits)[0]

	g, m := f.Load(t), combo{methods: []string{name}}.build(t, f)
	plan := injecttest.Into(t, g, opt, m...)
	start := evaluated(t, f, g, plan.Logits)[0]
	if plan.Logits != inject.LogitsName || !slices.Equal(start.Dims, append(slices.Clone(f.Runs[0].Inputs["input_ids"].Shape), 2)) {
		t.Errorf("%s is %v", plan.Logits, start.Dims)
	}
	why := inject.ChangesAtStart(m[0])
	if changed := graphtest.Differ(start, want, 0, 1e-12); (changed != nil) != (why != "") {
		t.Errorf("at the start, the outputs differ from the head's own by %v; the method's reason is %q", changed, why)
	}

	injecttest.Move(t, g, plan, 0.3)
	trained := evaluated(t, f, g, plan.Logits)[0]
	merged := g.Clone()
	if _, err := inject.Merge(merged, plan); err != nil {
		t.Fatal(err)
	}
	graphtest.Close(t, evaluated(t, f, merged, plan.Logits)[0], trained, 1e-5, 1e-5)

	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := task.MakeUp(k, nil, plan.Encoder.Vocab, 6, 3, 1)
	compareGradients(t, s, feeds(t, s, g, d.Batch([]int{0, 2, 1})), 3)
}

// A head that a file was exported with is recognised and kept: what is trained starts with the file's own outputs, which its
// own names go on giving.
func TestExportedQuestionAnsweringHeads(t *testing.T) {
	_, of := answering(t)
	for _, file := range []string{"bert_torch2_legacy_op14_qa", "bert_torch2_dynamo_op18_qa"} {
		f := modelstest.Encoder(t, file)
		for _, method := range []string{"lora", "prompt"} {
			g := f.Load(t)
			plan := injecttest.Into(t, g, inject.Options{Task: of, Seed: 5}, injecttest.New(t, method, nil))
			if plan.Head.Kind != inject.HeadExisting {
				t.Errorf("%s: the head is %q", file, plan.Head.Kind)
			}
			if method == "prompt" {
				injecttest.Move(t, g, plan, 0.1)
			}
			got := evaluated(t, f, g, plan.Logits, "start_logits", "end_logits")
			both, err := got[0].Float64s()
			if err != nil {
				t.Fatal(err)
			}
			for k, name := range []string{"start_logits", "end_logits"} {
				column := make([]float64, 0, len(both)/2)
				for i := k; i < len(both); i += 2 {
					column = append(column, both[i])
				}
				graphtest.Close(t, got[1+k], graph.FloatTensor(graph.Float, got[1+k].Dims, column), 0, 1e-6)
				if base := f.Runs[0].Outputs[name]; method == "lora" {
					graphtest.Close(t, got[1+k], base.Tensor(graph.Float), 1e-4, 1e-5)
				}
			}
		}
	}
}

// Question answering beside classification in one graph: each text has the outputs that its own model gives it, as many as it
// has tokens.
func TestQuestionAnsweringInAJoint(t *testing.T) {
	_, of := answering(t)
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	var parts []multitask.Part
	for i, k := range []inject.Task{{Type: "classification", Labels: labels}, of} {
		g, plan := injected(t, f, k, injecttest.New(t, []string{"lora", "prompt"}[i], nil), 0)
		g.SetOutputs(g.Value(plan.Logits))
		inject.Deploy(g)
		if err := inject.Fold(g); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, multitask.Part{Name: []string{"kind", "answer"}[i], Graph: g, Plan: plan})
	}
	joint, err := multitask.Join(parts)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := multitask.ReadTasks(joint)
	if err != nil {
		t.Fatal(err)
	}
	d, of1 := dataset(9, 1), []int{0, 1, 1, 0, 1, 0, 1, 1, 0}
	p := &train.Predictor{Exec: reference(t, joint), Graph: joint, Info: parts[0].Plan.Encoder, Tasks: tasks}
	rows, err := p.Predict(context.Background(), d, of1, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, part := range parts {
		own := train.NewPredictor(reference(t, part.Graph), part.Graph, part.Plan)
		for i, row := range rows {
			if of1[i] != k {
				continue
			}
			alone, err := own.Predict(context.Background(), &data.Dataset{Encodings: d.Encodings[i : i+1]}, nil, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			width := part.Plan.Task.Outputs()
			if n := width * map[int]int{0: 1, 1: len(d.Encodings[i].IDs)}[k]; len(row) != n || len(alone[0]) != n {
				t.Fatalf("%s: %d outputs, alone %d; want %d", part.Name, len(row), len(alone[0]), n)
			}
			graphtest.Close(t, graph.TensorOf(nil, row), graph.TensorOf(nil, alone[0]), 1e-5, 1e-5)
		}
	}
}

// A run of question answering learns a toy: the answer is one certain token, wherever it stands.
func TestQuestionAnsweringLearns(t *testing.T) {
	k, of := answering(t)
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	g, plan := injected(t, f, of, lora(), 0)
	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	forward, err := train.NewForwardGraph(g, plan)
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
	d := &data.Dataset{}
	var starts []int64
	for i := range 24 {
		const n = 7
		at := 2 + i%4
		e := data.Encoding{IDs: make([]int64, n), TypeIDs: make([]int64, n), Offsets: make([][2]int, n), Sequence: make([]int8, n)}
		for j := range n {
			e.IDs[j], e.Sequence[j], e.Offsets[j] = int64(20+(i*3+j*5)%11), 1, [2]int{2 * j, 2*j + 1}
		}
		e.IDs[0], e.Sequence[0], e.IDs[at] = 2, -1, int64(40)
		d.Encodings, starts = append(d.Encodings, e), append(starts, int64(at))
		d.Examples = append(d.Examples, data.Example{Pair: "0 1 2 3 4 5 6 7", HasPair: true, Fields: map[string][]string{"answers": {string(rune('0' + at))}}})
	}
	d.Targets = []data.Target{data.Scalars("start", starts), data.Scalars("end", starts)}
	tr := &train.Trainer{Settings: settings(), Step: s, Exec: reference(t, s.Graph), Train: d, Eval: d, Forward: train.NewPredictor(reference(t, forward), forward, plan)}
	state, err := tr.Run(context.Background(), flat, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f1 := state.BestMetric["f1"]; f1 < 95 {
		t.Errorf("F1 %v of %s", f1, strings.Join(k.Metrics(), ", "))
	}
}
