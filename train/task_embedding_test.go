package train_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// embeddingForms are forms of each architecture and exporter.
func embeddingForms(t *testing.T) []*modelstest.Fixture {
	t.Helper()
	var out []*modelstest.Fixture
	for _, name := range []string{"bert_torch2_legacy_op14_sdpa", "bert_torch2_dynamo_op20_sdpa_tf5", "distilbert_torch2_legacy_op14_eager", "roberta_torch2_legacy_op14_sdpa"} {
		out = append(out, modelstest.Encoder(t, name))
	}
	return out
}

// Every loss, pooling and length of the vectors has the gradients that differences say.
func TestGradientsOfEmbeddingLosses(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	for _, c := range []struct {
		head     inject.HeadKind
		settings map[string]string
	}{
		{"mean", map[string]string{"loss": "mnrl", "symmetric": "true"}},
		{"mean", map[string]string{"loss": "mnrl", "hard-negatives": "true"}},
		{"cls", map[string]string{"loss": "mnrl", "symmetric": "true", "hard-negatives": "true", "scale": "5"}},
		{"mean", map[string]string{"loss": "cosine"}},
		{"pooler", map[string]string{"loss": "cosine", "normalize": "false"}},
		{"mean", map[string]string{"loss": "cosent"}},
		{"mean", map[string]string{"loss": "triplet", "margin": "2"}},
		{"cls", map[string]string{"loss": "triplet", "distance": "euclidean", "margin": "5", "normalize": "false"}},
	} {
		t.Run(combo{[]string{string(c.head)}, c.settings}.String(), func(t *testing.T) {
			k, of := taskOf(t, "embedding", nil, c.settings)
			g := f.Load(t)
			m := lora()
			m.Dropout = 0.2
			plan := injecttest.Into(t, g, inject.Options{Task: of, Head: c.head, Seed: 5}, m)
			injecttest.Move(t, g, plan, 0.3)
			checkEmbeddingGradients(t, k, g, plan)
		})
	}
}

func checkEmbeddingGradients(t *testing.T, k task.Task, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := task.MakeUp(k, nil, plan.Encoder.Vocab, 6, 3, 1)
	compareGradients(t, s, feeds(t, s, g, d.Batch([]int{0, 2, 1})), 1)
	// Whether a trained position table was broadcast is only known when the graph runs, whatever the task.
	if _, err := s.Memory(3, 6); err != nil && plan.Find("full", "embeddings.position_embeddings", "weight") == nil {
		t.Error(err)
	}
}

// Every method × a form of each architecture: the vectors start as the base's, they are the mean of the hidden states that are
// the other output, the gradients are right, and merging keeps the vectors.
func TestEmbeddingOfEveryMethod(t *testing.T) {
	k, of := taskOf(t, "embedding", nil, nil)
	for _, f := range embeddingForms(t) {
		base := f.Load(t)
		hidden, err := reference(t, base).Run(context.Background(), f.Feeds(base, 0), []string{injecttest.Recognise(t, base).LastHidden.Name()})
		if err != nil {
			t.Fatal(err)
		}
		want := pooled(t, f, hidden[0])
		for _, name := range inject.Names() {
			if name == "head-only" {
				continue // an embedding has no head to train
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				m := injecttest.New(t, name, nil)
				g := f.Load(t)
				plan := injecttest.Into(t, g, inject.Options{Task: of, Head: "mean", Seed: 5}, m)
				start, why := outputsOf(t, f, g, plan), inject.ChangesAtStart(m)
				if changed := graphtest.Differ(start[1], want, 0, 1e-9); (changed != nil) != (why != "") {
					t.Errorf("changed at the start by %v; the method's reason is %q", changed, why)
				}
				injecttest.Move(t, g, plan, 0.3)
				trained := outputsOf(t, f, g, plan)
				if graphtest.Differ(trained[1], start[1], 0, 1e-4) == nil {
					t.Error("other parameters don't change the vectors")
				}
				graphtest.Close(t, pooled(t, f, trained[0]), trained[1], 1e-9, 1e-9)
				merged := g.Clone()
				if _, err := inject.Merge(merged, plan); err != nil {
					t.Fatal(err)
				}
				merged.SetOutputs(plan.Outputs(merged)...)
				merged.Prune()
				if err := merged.Check(); err != nil {
					t.Fatal(err)
				}
				for i, out := range outputsOf(t, f, merged, plan) {
					graphtest.Close(t, out, trained[i], 1e-5, 1e-5)
				}
				if testing.Short() && name == "full" {
					t.Skip("short: every parameter of a model takes a while")
				}
				checkEmbeddingGradients(t, k, g, plan)
			})
		}
	}
}

// outputsOf computes a deployed model's outputs: the hidden states and the vectors.
func outputsOf(t *testing.T, f *modelstest.Fixture, g *graph.Graph, plan *inject.Plan) []*graph.Tensor {
	t.Helper()
	var names []string
	for _, v := range plan.Outputs(g) {
		names = append(names, v.Name())
	}
	if !slices.Equal(names, []string{inject.HiddenName, inject.EmbeddingName}) {
		t.Fatalf("the outputs are %v", names)
	}
	return modelstest.Evaluate(t, g, f.Runs[0].Inputs, names...)
}

// pooled is the mean of the hidden states over the mask, scaled to length 1.
func pooled(t *testing.T, f *modelstest.Fixture, hidden *graph.Tensor) *graph.Tensor {
	t.Helper()
	x, err := hidden.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	mask := f.Runs[0].Inputs["attention_mask"]
	texts, tokens, width := int(hidden.Dims[0]), int(hidden.Dims[1]), int(hidden.Dims[2])
	out := make([]float64, texts*width)
	for b := range texts {
		row := out[b*width : (b+1)*width]
		for s := range tokens {
			for k := range row {
				row[k] += x[(b*tokens+s)*width+k] * mask.Data[b*tokens+s]
			}
		}
		norm := 0.0 // the mean's divisor is in it
		for _, v := range row {
			norm += v * v
		}
		for k := range row {
			row[k] /= math.Sqrt(norm)
		}
	}
	return graph.FloatTensor(graph.Double, []int64{int64(texts), int64(width)}, out)
}

// A run learns to tell which texts belong together, and rows that are no pairs are left out.
func TestEmbeddingLearns(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	k, of := taskOf(t, "embedding", nil, nil)
	g := f.Load(t)
	m := lora()
	plan := injecttest.Into(t, g, inject.Options{Task: of, Head: "mean", Seed: 5}, m)
	s, flat := stepGraph(t, g, plan)
	d := task.MakeUp(k, nil, plan.Encoder.Vocab, 5, 8, 3)
	for i, ids := range d.Target("texts").Ints {
		ids[0], ids[1] = int64(2*i), int64(2*i+1)
		d.Weights = append(d.Weights, []float32{float32(min(i, 1))})
	}
	set := settings()
	set.Epochs, set.BatchSize, set.Schedule = 40, 8, "constant"
	tr := &train.Trainer{Settings: set, Step: s, Exec: reference(t, s.Graph), Train: d, Eval: d, Forward: predictor(t, g, plan)}
	var losses []float64
	tr.Report = func(e train.Event) {
		if e.Kind == "epoch" {
			losses = append(losses, e.Loss)
		}
	}
	state, err := tr.Run(context.Background(), flat, nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.BestMetric["recall@1"] < 1 || losses[len(losses)-1] > losses[0]/4 {
		t.Errorf("%v, losses from %v to %v", state.BestMetric, losses[0], losses[len(losses)-1])
	}
	other := &train.Trainer{Settings: set, Step: s, Train: &data.Dataset{Encodings: d.Encodings, Targets: d.Targets, Group: 1}}
	if _, err := other.Run(context.Background(), flat, nil); err == nil || !strings.Contains(err.Error(), "1 texts a row") {
		t.Errorf("texts without a second one: %v", err)
	}
	other.Train = &data.Dataset{Encodings: d.Encodings, Targets: d.Targets, Group: 2, Weights: slices.Repeat([][]float32{{0}}, d.Units())}
	if _, err := other.Run(context.Background(), flat, nil); err == nil || !strings.Contains(err.Error(), "weighs 0") {
		t.Errorf("rows that weigh nothing: %v", err)
	}
}
