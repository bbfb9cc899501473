package train_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// five are as many tags as the exported taggers have.
var five = []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}

// A head that a file was exported with is kept, and starts with the file's own logits; with other tags there is a new one.
func TestExportedTaggers(t *testing.T) {
	_, of := taskOf(t, "token-classification", five, nil)
	for _, file := range []string{"bert_torch2_legacy_op14_tokencls", "bert_torch2_dynamo_op18_tokencls"} {
		f := modelstest.Encoder(t, file)
		g := f.Load(t)
		plan := injecttest.Into(t, g, inject.Options{Task: of, Seed: 5}, lora())
		if plan.Head.Kind != inject.HeadExisting {
			t.Errorf("%s: the head is %q", file, plan.Head.Kind)
		}
		graphtest.Close(t, modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0], f.Runs[0].Outputs["logits"].Tensor(graph.Float), 1e-4, 1e-5)
		other := of
		other.Labels = five[:3]
		g = f.Load(t)
		plan = injecttest.Into(t, g, inject.Options{Task: other, Seed: 5}, lora())
		if got := modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0].Dims; plan.Head.Kind != inject.HeadTokens || got[2] != 3 {
			t.Errorf("%s with three tags: the head is %q, the logits %v", file, plan.Head.Kind, got)
		}
		_, err := inject.Inject(injecttest.Recognise(t, f.Load(t)), []inject.Method{lora()}, inject.Options{Task: other, Head: inject.HeadExisting})
		if err == nil || !strings.Contains(err.Error(), "5 outputs and the task 3") {
			t.Errorf("%s: the existing head for three tags: %v", file, err)
		}
	}
}

// A run learns tags that the words decide, and goes on after an interruption as if there had been none.
func TestATaggerLearns(t *testing.T) {
	run := func(stop int) (train.State, *train.Trainer, []float32) {
		_, of := taskOf(t, "token-classification", five, nil)
		f := modelstest.Encoder(t, "bert_torch2_legacy_op14_tokencls")
		g, plan := injected(t, f, of, lora(), 0.1)
		s, flat := stepGraph(t, g, plan)
		d := sentences(30)
		how := settings()
		how.Epochs = 12
		tr := &train.Trainer{Settings: how, Step: s, Exec: reference(t, s.Graph), Train: d, Eval: d, Forward: predictor(t, g, plan)}
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
