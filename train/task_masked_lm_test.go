package train_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// maskedLM injects for masked language modelling.
func maskedLM(t *testing.T, f *modelstest.Fixture, head inject.HeadKind, ms ...inject.Method) (*graph.Graph, *inject.Plan) {
	t.Helper()
	_, of := taskOf(t, "masked-lm", nil, nil)
	g := f.Load(t)
	return g, injecttest.Into(t, g, inject.Options{Task: of, Head: head, Seed: 5}, ms...)
}

// someTokens are made-up texts of which some tokens count.
func someTokens(t *testing.T, vocab, units int) *data.Dataset {
	t.Helper()
	k, _ := taskOf(t, "masked-lm", nil, nil)
	return task.MakeUp(k, nil, vocab, 6, units, 3)
}

// Every method × every kind of head × exporter forms: gradients by central differences in float64, outputs that are the base's
// before training, and merged ones that are the unmerged ones.
func TestMaskedLMMatrix(t *testing.T) {
	forms := []struct {
		file  string
		heads []inject.HeadKind
	}{
		{"bert_torch2_legacy_op14_sdpa", []inject.HeadKind{inject.HeadLM}},
		{"bert_torch2_legacy_op11_tf436", []inject.HeadKind{inject.HeadLM}},
		{"bert_torch2_legacy_op14_mlm", []inject.HeadKind{inject.HeadOwnLM, inject.HeadTunedLM, inject.HeadLM}},
		{"bert_torch2_dynamo_op18_mlm", []inject.HeadKind{inject.HeadOwnLM, inject.HeadTunedLM}},
		{"distilbert_torch2_legacy_op14_mlm", []inject.HeadKind{inject.HeadOwnLM, inject.HeadTunedLM, inject.HeadLM}},
		{"roberta_torch2_legacy_op14_mlm", []inject.HeadKind{inject.HeadOwnLM, inject.HeadTunedLM}},
	}
	for _, name := range inject.Names() {
		for _, form := range forms {
			for _, head := range form.heads {
				if name == "head-only" && head == inject.HeadOwnLM {
					continue // nothing trains
				}
				t.Run(name+"/"+form.file+"/"+string(head), func(t *testing.T) {
					t.Parallel()
					if name == "full" && testing.Short() {
						t.Skip("short: every parameter of a model takes a while")
					}
					maskedLMMatrix(t, modelstest.Encoder(t, form.file), injecttest.New(t, name, nil), head)
				})
			}
		}
	}
}

func maskedLMMatrix(t *testing.T, f *modelstest.Fixture, m inject.Method, head inject.HeadKind) {
	t.Helper()
	base := f.Load(t)
	g, plan := maskedLM(t, f, head, m)
	if v := base.Value("logits"); v != nil && head != inject.HeadLM && inject.ChangesAtStart(m) == "" {
		want := modelstest.Evaluate(t, base, f.Runs[0].Inputs, "logits")[0]
		graphtest.Close(t, modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0], want, 0, 1e-12)
	}
	nudge(t, g, plan)
	s, flat := stepGraph(t, g, plan)
	b := someTokens(t, plan.Encoder.Vocab, 3).Batch([]int{0, 2, 1})
	const size = 5 // of the loss: rounding noise of differences grows with it
	all, err := s.Feeds(b, flat, 1/(size*b.Weight), 9, 1)
	if err != nil {
		t.Fatal(err)
	}
	compareGradients(t, s, all, 1)

	want := modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0]
	if _, err := inject.Merge(g, plan); err != nil {
		t.Fatal(err)
	}
	graphtest.Close(t, modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0], want, 1e-5, 1e-5)
}

// A model that was exported with a new head goes on with it as its own: the same outputs, and the same checks.
func TestAnExportedLanguageModelGoesOn(t *testing.T) {
	for _, name := range []string{"bert_torch2_legacy_op14_sdpa", "bert_torch2_legacy_op11_tf436"} {
		f := modelstest.Encoder(t, name)
		g, plan := maskedLM(t, f, inject.HeadLM, lora())
		injecttest.Move(t, g, plan, 0.3)
		if _, err := inject.Merge(g, plan); err != nil {
			t.Fatal(err)
		}
		g.RemoveMeta(inject.MetadataKey)
		path := filepath.Join(t.TempDir(), "adapted.onnx")
		if err := onnxfile.Save(g, path, onnxfile.Options{}); err != nil {
			t.Fatal(err)
		}
		adapted := *f
		adapted.Path = path
		want := modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0]
		for _, head := range []inject.HeadKind{inject.HeadOwnLM, inject.HeadTunedLM} {
			t.Run(name+"/"+string(head), func(t *testing.T) {
				again, own := maskedLM(t, &adapted, head, lora())
				if own.Head.Kind != head || own.Logits != "logits" {
					t.Errorf("head %q, logits %q", own.Head.Kind, own.Logits)
				}
				graphtest.Close(t, modelstest.Evaluate(t, again, f.Runs[0].Inputs, own.Logits)[0], want, 0, 1e-12)
				maskedLMMatrix(t, &adapted, lora(), head)
			})
		}
	}
}

// The loss of the cut training graph equals that of Hugging Face's model with the same masks.
func TestMaskedLMLossEqualsHuggingFace(t *testing.T) {
	var fixtures []struct {
		Model  string
		Loss   float64
		Labels [][]int64
		IDs    [][]int64 `json:"input_ids"`
		Mask   [][]int64 `json:"attention_mask"`
		Types  [][]int64 `json:"token_type_ids"`
	}
	graphtest.ReadJSON(t, "testdata/masked_lm/loss.json", &fixtures)
	for _, x := range fixtures {
		t.Run(x.Model, func(t *testing.T) {
			g, plan := maskedLM(t, modelstest.Encoder(t, x.Model), inject.HeadTunedLM)
			s, err := train.NewStepGraph(g, plan, autodiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			b := &data.Batch{Size: len(x.IDs), Length: len(x.IDs[0]), InputIDs: slices.Concat(x.IDs...), AttentionMask: slices.Concat(x.Mask...), TokenTypeIDs: slices.Concat(x.Types...)}
			var targets []int64
			for _, row := range x.Labels {
				var chosen []int
				for at, id := range row {
					if id >= 0 {
						chosen, targets = append(chosen, at), append(targets, id)
					}
				}
				b.Chosen = append(b.Chosen, chosen)
			}
			b.Targets = map[string]*graph.Tensor{"token": graph.TensorOf(nil, targets)}
			b.Weights = graph.TensorOf(nil, slices.Repeat([]float32{0.25}, 4))
			values, err := plan.Values(g)
			if err != nil {
				t.Fatal(err)
			}
			flat, err := s.Layout.Flatten(values)
			if err != nil {
				t.Fatal(err)
			}
			all, err := s.Feeds(b, flat, 1, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			out, err := reference(t, s.Graph).Run(context.Background(), all, []string{train.LossOutput})
			if err != nil {
				t.Fatal(err)
			}
			loss, err := out[0].Float64s()
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(loss[0] - x.Loss); !(d < 1e-6) {
				t.Errorf("loss %v, Hugging Face's is %v", loss[0], x.Loss)
			}
		})
	}
}

// What the cut graphs compute is what the whole model computes for the tokens that count, in the reference evaluator and in
// onnxruntime, also where a text, or a whole batch, has none.
func TestSparseOutputsAreTheWholeModels(t *testing.T) {
	r := runtimetest.Open(t)
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_mlm")
	for _, head := range []inject.HeadKind{inject.HeadTunedLM, inject.HeadLM} {
		t.Run(string(head), func(t *testing.T) {
			g, plan := maskedLM(t, f, head, injecttest.New(t, "prompt", nil), lora())
			injecttest.Move(t, g, plan, 0.3)
			forward, err := train.NewForwardGraph(g, plan)
			if err != nil {
				t.Fatal(err)
			}
			values, err := plan.Values(g)
			if err != nil {
				t.Fatal(err)
			}
			flat, err := train.NewLayout(plan).Flatten(values)
			if err != nil {
				t.Fatal(err)
			}
			deployed := g.Clone()
			inject.Deploy(deployed)
			cut, err := train.Cut(deployed, plan)
			if err != nil {
				t.Fatal(err)
			}
			d := someTokens(t, plan.Encoder.Vocab, 5)
			clear(d.Weights[1])
			clear(d.Weights[3])
			for _, size := range []int{5, 1} {
				whole := train.NewPredictor(reference(t, g), g, plan)
				want := predictAll(t, whole, d, size)
				for name, exec := range map[string]train.Executor{"reference": reference(t, forward), "onnxruntime": session(t, r, forward)} {
					p := train.NewPredictor(exec, forward, plan)
					p.Params = flat
					sameAnswers(t, name, predictAll(t, p, d, size), want)
				}
				sameAnswers(t, "cut", predictAll(t, train.NewPredictor(session(t, r, cut), cut, plan), d, size), want)
			}
		})
	}
}

// A training step in onnxruntime gives the reference's loss and gradient, zeros for a batch in which nothing counts.
func TestSparseStepsInOnnxruntime(t *testing.T) {
	r := runtimetest.Open(t)
	g, plan := maskedLM(t, modelstest.Encoder(t, "bert_torch2_legacy_op14_mlm"), inject.HeadLM, lora())
	injecttest.Move(t, g, plan, 0.3)
	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := someTokens(t, plan.Encoder.Vocab, 4)
	clear(d.Weights[1])
	ort := session(t, r, s.Graph)
	for _, units := range [][]int{{0, 1, 2, 3}, {1}} {
		all := feeds(t, s, g, d.Batch(units))
		fetches := []string{train.LossOutput, train.GradsOutput}
		got, err := ort.Run(context.Background(), all, fetches)
		if err != nil {
			t.Fatal(err)
		}
		want, err := reference(t, s.Graph).Run(context.Background(), all, fetches)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fetches {
			graphtest.Close(t, got[i], want[i], 1e-3, 1e-5)
		}
		x, err := got[0].Float64s()
		if err != nil || (x[0] == 0) != (len(units) == 1) {
			t.Errorf("loss %v of %d texts, %v", x, len(units), err)
		}
	}
}

func session(t *testing.T, r *runtime.Runtime, g *graph.Graph) train.Executor {
	t.Helper()
	model, err := onnxfile.Marshal(g, onnxfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.NewSession(context.Background(), model, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func predictAll(t *testing.T, p *train.Predictor, d *data.Dataset, size int) [][]float32 {
	t.Helper()
	rows, err := p.Predict(context.Background(), d, nil, size, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// sameAnswers compares reduced rows: tokens with probabilities.
func sameAnswers(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	total := 0
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Fatalf("%s: text %d has %d values, want %d", what, i, len(got[i]), len(want[i]))
		}
		total += len(want[i])
		for k := range want[i] {
			if d := math.Abs(float64(got[i][k] - want[i][k])); !(d < 1e-4) {
				t.Errorf("%s: text %d, value %d: %v, want %v", what, i, k, got[i][k], want[i][k])
			}
		}
	}
	if total == 0 {
		t.Error("nothing was compared")
	}
}

// Beside a classifier on one base, the language model answers as it does alone.
func TestMaskedLMBesideAClassifier(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	g, plan := maskedLM(t, f, inject.HeadLM, lora())
	injecttest.Move(t, g, plan, 0.3)
	other, otherPlan := injected(t, f, inject.Task{Type: "classification", Labels: labels}, lora(), 0)
	parts := []multitask.Part{{Name: "words", Graph: g, Plan: plan}, {Name: "class", Graph: other, Plan: otherPlan}}
	d := someTokens(t, plan.Encoder.Vocab, 4)
	alone := predictAll(t, train.NewPredictor(reference(t, g), g, plan), d, 4)
	class := predictAll(t, train.NewPredictor(reference(t, other), other, otherPlan), d, 4)
	for _, p := range parts {
		inject.Deploy(p.Graph)
	}
	joint, err := multitask.Join(parts)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := multitask.ReadTasks(joint)
	if err != nil {
		t.Fatal(err)
	}
	p := &train.Predictor{Exec: reference(t, joint), Graph: joint, Info: plan.Encoder, Tasks: tasks}
	rows, err := p.Predict(context.Background(), d, []int{0, 1, 0, 1}, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameAnswers(t, "joint", rows, [][]float32{alone[0], class[1], alone[2], class[3]})
}
