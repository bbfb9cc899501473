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

// five are as many tags as the exported taggers have.
var five = []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}

// tagging is the task as a plan has it.
func tagging(t *testing.T) (task.Task, inject.Task) {
	t.Helper()
	k := &task.TokenClassification{}
	of, err := task.ForInjection(k, five)
	if err != nil {
		t.Fatal(err)
	}
	return k, of
}

// tagOutputs are values of g for the fixture's first run.
func tagOutputs(t *testing.T, f *modelstest.Fixture, g *graph.Graph, fetch string) *graph.Tensor {
	t.Helper()
	res, err := reference(t, g).Run(context.Background(), f.Feeds(g, 0), []string{fetch})
	if err != nil {
		t.Fatal(err)
	}
	return res[0]
}

// Every method under a tagger, on files of several exporters, two of them with a tagger's head: it starts with what the head
// alone computes, its gradients are those of central differences, and merged it computes the same.
func TestTaggersWithEveryMethod(t *testing.T) {
	for _, file := range []string{"bert_torch2_legacy_op14_sdpa", "bert_torch2_dynamo_op18_eager", "distilbert_torch2_legacy_op14_eager",
		"roberta_torch2_legacy_op14_sdpa", "bert_torch2_legacy_op14_tokencls", "bert_torch2_dynamo_op18_tokencls"} {
		f := modelstest.Encoder(t, file)
		for _, name := range inject.Names() {
			t.Run(name+"/"+file, func(t *testing.T) {
				t.Parallel()
				if name == "full" && testing.Short() {
					t.Skip("short: every parameter of a model takes a while")
				}
				tags(t, f, name)
			})
		}
	}
}

func tags(t *testing.T, f *modelstest.Fixture, name string) {
	k, of := tagging(t)
	opt := inject.Options{Task: of, Seed: 5}
	plain := f.Load(t)
	alone := injecttest.Into(t, plain, opt, injecttest.New(t, "head-only", nil))
	want := tagOutputs(t, f, plain, alone.Logits)

	g, m := f.Load(t), combo{methods: []string{name}}.build(t, f)
	plan := injecttest.Into(t, g, opt, m...)
	start := tagOutputs(t, f, g, plan.Logits)
	if plan.Logits != inject.LogitsName || !slices.Equal(start.Dims, append(slices.Clone(f.Runs[0].Inputs["input_ids"].Shape), 5)) {
		t.Errorf("%s is %v", plan.Logits, start.Dims)
	}
	why := inject.ChangesAtStart(m[0])
	if changed := graphtest.Differ(start, want, 0, 1e-12); (changed != nil) != (why != "") {
		t.Errorf("at the start, the outputs differ from the head's own by %v; the method's reason is %q", changed, why)
	}

	injecttest.Move(t, g, plan, 0.3)
	trained := tagOutputs(t, f, g, plan.Logits)
	merged := g.Clone()
	if _, err := inject.Merge(merged, plan); err != nil {
		t.Fatal(err)
	}
	graphtest.Close(t, tagOutputs(t, f, merged, plan.Logits), trained, 1e-5, 1e-5)

	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := task.MakeUp(k, five, plan.Encoder.Vocab, 6, 3, 1)
	for i, e := range d.Encodings { // of words with two tokens
		d.Weights = append(d.Weights, make([]float32, len(e.IDs)))
		for at := 1; at < len(e.IDs); at += 2 {
			d.Weights[i][at] = 1
		}
	}
	compareGradients(t, s, feeds(t, s, g, d.Batch([]int{0, 2, 1})), 3)
}

// A head that a file was exported with is kept, and starts with the file's own logits; with other tags there is a new one.
func TestExportedTaggers(t *testing.T) {
	_, of := tagging(t)
	for _, file := range []string{"bert_torch2_legacy_op14_tokencls", "bert_torch2_dynamo_op18_tokencls"} {
		f := modelstest.Encoder(t, file)
		g := f.Load(t)
		plan := injecttest.Into(t, g, inject.Options{Task: of, Seed: 5}, lora())
		if plan.Head.Kind != inject.HeadExisting {
			t.Errorf("%s: the head is %q", file, plan.Head.Kind)
		}
		graphtest.Close(t, tagOutputs(t, f, g, plan.Logits), f.Runs[0].Outputs["logits"].Tensor(graph.Float), 1e-4, 1e-5)
		other := of
		other.Labels = five[:3]
		g = f.Load(t)
		plan = injecttest.Into(t, g, inject.Options{Task: other, Seed: 5}, lora())
		if got := tagOutputs(t, f, g, plan.Logits).Dims; plan.Head.Kind != inject.HeadTokens || got[2] != 3 {
			t.Errorf("%s with three tags: the head is %q, the logits %v", file, plan.Head.Kind, got)
		}
		_, err := inject.Inject(injecttest.Recognise(t, f.Load(t)), []inject.Method{lora()}, inject.Options{Task: other, Head: inject.HeadExisting})
		if err == nil || !strings.Contains(err.Error(), "5 outputs and the task 3") {
			t.Errorf("%s: the existing head for three tags: %v", file, err)
		}
	}
}

// A tagger beside a classifier in one graph: each text has the outputs that its own model gives it.
func TestATaggerInAJoint(t *testing.T) {
	_, of := tagging(t)
	for _, file := range []string{"bert_torch2_legacy_op14_sdpa", "roberta_torch2_legacy_op14_sdpa"} {
		f := modelstest.Encoder(t, file)
		var parts []multitask.Part
		for i, k := range []inject.Task{{Type: "classification", Labels: labels}, of, of} {
			g, plan := injected(t, f, k, injecttest.New(t, []string{"lora", "prefix", "prompt"}[i], nil), 0)
			g.SetOutputs(g.Value(plan.Logits))
			inject.Deploy(g)
			if err := inject.Fold(g); err != nil {
				t.Fatal(err)
			}
			parts = append(parts, multitask.Part{Name: []string{"topic", "names", "places"}[i], Graph: g, Plan: plan})
		}
		joint, err := multitask.Join(parts)
		if err != nil {
			t.Fatal(err)
		}
		of, err := multitask.ReadTasks(joint)
		if err != nil {
			t.Fatal(err)
		}
		d, whose := dataset(9, 1), []int{0, 1, 2, 0, 1, 2, 1, 1, 0}
		p := &train.Predictor{Exec: reference(t, joint), Graph: joint, Info: parts[0].Plan.Encoder, Tasks: of}
		rows, err := p.Predict(context.Background(), d, whose, 4, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			part := parts[whose[i]]
			want, err := train.NewPredictor(reference(t, part.Graph), part.Graph, part.Plan).Predict(context.Background(), &data.Dataset{Encodings: d.Encodings[i : i+1]}, nil, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			n := 3
			if whose[i] > 0 {
				n = 5 * len(d.Encodings[i].IDs)
			}
			if len(row) != n {
				t.Fatalf("%s: %d outputs, want %d", part.Name, len(row), n)
			}
			graphtest.Close(t, graph.TensorOf(nil, row), graph.TensorOf(nil, want[0]), 1e-6, 1e-6)
		}
	}
}

// A run learns tags that the words decide, and goes on after an interruption as if there had been none.
func TestATaggerLearns(t *testing.T) {
	run := func(stop int) (train.State, *train.Trainer, []float32) {
		_, of := tagging(t)
		f := modelstest.Encoder(t, "bert_torch2_legacy_op14_tokencls")
		g, plan := injected(t, f, of, lora(), 0.1)
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
		d := sentences(30)
		how := settings()
		how.Epochs = 12
		tr := &train.Trainer{Settings: how, Step: s, Exec: reference(t, s.Graph), Train: d, Eval: d, Forward: train.NewPredictor(reference(t, forward), forward, plan)}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		tr.Report = func(e train.Event) {
			if e.Kind == "step" && e.Step == stop {
				cancel()
			}
		}
		state, err := tr.Run(ctx, flat, nil)
		if (err != nil) != (stop > 0) {
			t.Fatal(err)
		}
		return state, tr, flat
	}
	whole, _, _ := run(0)
	if whole.BestMetric["f1"] < 0.95 {
		t.Errorf("learned %v", whole.BestMetric)
	}
	half, _, _ := run(7)
	_, again, flat := run(1)
	again.Report = nil
	resumed, err := again.Run(context.Background(), flat, &half)
	if err != nil || !slices.Equal(resumed.Params, whole.Params) {
		t.Errorf("resumed, it ends elsewhere: %v", err)
	}
}

// sentences are words of one token or two, of which the first says the tag.
func sentences(n int) *data.Dataset {
	d := &data.Dataset{}
	target := data.Target{TargetSpec: (&task.TokenClassification{}).Targets(five)[0]}
	for i := range n {
		e := data.Encoding{IDs: []int64{2}, Words: []int{-1}, Offsets: [][2]int{{}}}
		tags, weights := []int64{0}, []float32{0}
		for w := range 2 + i%4 {
			class := int64((i*5 + w*3) % 5)
			for piece := range 1 + (i+w)%2 {
				id := 10 + class
				if piece > 0 {
					id = 30 + int64(i+w)%7
				}
				e.IDs, e.Words, e.Offsets = append(e.IDs, id), append(e.Words, w), append(e.Offsets, [2]int{piece, piece + 1})
				tags, weights = append(tags, class), append(weights, float32(1-piece))
			}
		}
		e.IDs, e.Words, e.Offsets = append(e.IDs, 3), append(e.Words, -1), append(e.Offsets, [2]int{})
		e.TypeIDs = make([]int64, len(e.IDs))
		d.Encodings, d.Examples = append(d.Encodings, e), append(d.Examples, data.Example{Row: i + 1})
		target.Ints, d.Weights = append(target.Ints, append(tags, 0)), append(d.Weights, append(weights, 0))
	}
	d.Targets = []data.Target{target}
	return d
}
